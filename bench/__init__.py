"""Benchmarks of the codec, as rows of JSON: what a cache costs, how far answers move, and how fast it goes.

May import: codec, the engine and the model store, the readers of datasets, and the statistics and drawing of
experiments. One file per thing that is measured; ``kvwire codec bench`` runs them. A codec is added in ``specs.py``.
``services/`` measures services that run, ``peers/`` other projects' codecs.
"""

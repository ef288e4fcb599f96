"""Benchmarks of the codec, as rows of JSON.

May import: codec, kvwire.errors. One file per thing that is measured; ``kvwire codec bench`` runs them.
"""

"""Token pruning: which tokens of a layer are worth their bytes, one selector per file.

May import: torch, ``codec.parameters`` and ``kvwire.errors``. A new one subclasses ``base.Selector`` and writes only
``score()``; then one line in ``codec/registry.py`` and one row in ``tests/codec/test_prune.py``.
"""

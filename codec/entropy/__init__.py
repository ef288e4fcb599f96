"""Entropy coders: one plane's bytes <-> fewer bytes, without knowing what they mean; one coder per file.

May import: compression libraries and ``kvwire.errors``. A new one gets a plane encoding in docs/wire-format.md and a
line in ``codec/entries.py``.
"""

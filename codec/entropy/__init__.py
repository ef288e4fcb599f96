"""Entropy coders: numbers <-> fewer bytes, without knowing what they mean; one coder per file.

``zstd`` is for whole planes, by ``entropy=``; ``rans`` for integers whose distribution a quantizer knows. May import:
numpy, compression libraries, ``codec.kernels`` and ``kvwire.errors``. A new one for planes gets an encoding in
docs/wire-format.md and a line in ``codec/entries.py``.
"""

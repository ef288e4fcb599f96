"""Quantizers: one layer's keys or values <-> typed byte planes, one algorithm per file.

May import: torch, numpy, ``codec.planes``, ``codec.kernels``, ``codec.entropy``, ``codec.calibration`` and
``kvwire.errors``. A new one subclasses ``base.Quantizer``; its fields are its parameters in a codec spec. Then one line
in ``codec/registry.py``, one conformance row, one golden file.
"""

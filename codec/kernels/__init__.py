"""Fused loops for tensors in main memory, compiled by numba; each is bit for bit its quantizer's plain torch path.

May import: torch, numpy, numba and its llvmlite. One file per family of codes. A loop takes whole rows from ``first``
to ``last`` and knows no threads; ``share.py`` decides how many loops run side by side, so bytes do not depend on it. A
new kernel is a loop, its two callers (one thread, several), and a test against the plain path in
``tests/codec/kernels``. ``rd`` has loops only, which stand beside it; ``tile.py`` is their matrix product.
"""

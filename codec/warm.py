"""Readies loops before a service's first request: each is compiled, or read from disk, when first called."""

import torch

from codec import registry
from codec.quantize.base import Context, Kind

#: Enough numbers that work is shared among threads, which is compiled apart.
_FEW, _MANY = (1, 2, 64), (2, 1024, 64)


def warm(dtype: torch.dtype) -> None:
    """Encode and decode zeros with every quantizer that needs no calibration, from tensors of ``dtype``."""
    for name in (name for name, kind in registry.QUANTIZERS.items() if not kind.needs_calibration):
        quantizer = registry.resolve(name, {})
        for shape in (_FEW, _MANY):
            heads, tokens, head_dim = shape
            ctx = Context(0, Kind.KEY, heads, tokens, head_dim, torch.arange(tokens))
            quantizer.decode(quantizer.encode(torch.zeros(shape, dtype=dtype), ctx), ctx)

"""Readies loops before a service's first request: each is compiled, or read from disk, when first called."""

import torch

from codec import registry
from codec.calibration import Calibration
from codec.quantize.base import Context, Kind, Quantizer
from codec.quantize.rd import Rd

#: Enough numbers that work is shared among threads, which is compiled apart.
_FEW, _MANY = (1, 2, 64), (2, 1024, 64)
_MIDDLE_STEP = 128


def warm(dtype: torch.dtype, calibration: Calibration | None = None) -> None:
    """Encode and decode zeros with every quantizer, from tensors of ``dtype``.

    Those that need a calibration only if there is one: whoever has none is not asked for them.
    """
    if calibration is not None:
        _, _, heads, head_dim = calibration.tensors["means"].shape
        _there_and_back(Rd(step=_MIDDLE_STEP), torch.zeros((heads, _MANY[1], head_dim), dtype=dtype), calibration)
    for name in (name for name, kind in registry.QUANTIZERS.items() if not kind.needs_calibration):
        for shape in (_FEW, _MANY):
            _there_and_back(registry.resolve(name, {}), torch.zeros(shape, dtype=dtype))


def _there_and_back(quantizer: Quantizer, x: torch.Tensor, calibration: Calibration | None = None) -> None:
    heads, tokens, head_dim = x.shape
    ctx = Context(0, Kind.KEY, heads, tokens, head_dim, torch.arange(tokens), calibration)
    quantizer.decode(quantizer.encode(x, ctx), ctx)

"""``nf4``: 16 levels at quantiles of the normal distribution, scaled to [-1, 1], in blocks of one absmax each.

A code is found by looking up x / scale on a grid of 4097 steps, so a number within 1/4096 of the middle between two
levels may take either; deterministic, and thirteen times as fast as searching (1.0 against 0.07 GB/s of bf16).
Source: QLoRA, arXiv 2305.14314, appendix E.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codec.kernels.fourbit import Grid
from codec.quantize.fourbit import FourBit
from codec.quantize.nibbles import pairs_of

_LEVELS = torch.tensor(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ]
)
_HALF = 2048
_GRID = torch.arange(-_HALF, _HALF + 1) / _HALF
_NEAREST = torch.bucketize(_GRID, (_LEVELS[1:] + _LEVELS[:-1]) / 2).to(torch.uint8)


@dataclass(frozen=True)
class Nf4(FourBit):
    """``nf4`` or ``nf4:block=32``."""

    levels: ClassVar[Tensor] = _LEVELS
    pairs: ClassVar[Tensor] = pairs_of(_LEVELS)
    grid: ClassVar[Grid] = Grid.of(_NEAREST, steps=_HALF, top=1)

    def codes(self, scaled: Tensor) -> Tensor:
        """The level nearest to the nearest grid point (halves to even); a NaN gets any code, its scale tells."""
        grid = scaled.mul_(_HALF).round_().add_(_HALF).to(torch.int32).clamp_(0, 2 * _HALF)
        return _NEAREST.to(scaled.device).index_select(0, grid.reshape(-1)).reshape(scaled.shape)

    def error_bound(self, x: Tensor) -> Tensor:
        """Half the widest gap and half a grid step on top."""
        widest = float(self.levels.diff().max()) / 2
        return super().error_bound(x) * (1 + 0.5 / _HALF / widest)

"""``hadamard``: turn each vector so that its numbers look Gaussian, then code them on a Gaussian's best levels.

Per token and head: flip fixed random signs, turn by a Hadamard matrix, divide by the root mean square (a float16), and
take the nearest of 2 ** bits Lloyd-Max levels of the normal distribution. bits + 16 / head_dim bits per value. The turn
spreads an outlier over all numbers of its vector, so that the same few levels fit every vector and nothing is clipped
hard. It is made of additions in a fixed order, so bytes and floats are the same on every CPU.

A head_dim that is no power of two takes two turns of the largest power of two below it, over its first and then its
last channels: they overlap, so every number mixes with every other, at no byte's cost.
Source: TurboQuant, arXiv 2504.19874, algorithm 1 (TurboQuant-mse); rotation as in QuaRot, arXiv 2404.00456, section 3;
levels: Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory 6 (1960). Two turns: ours.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize.base import Context, Quantizer
from codec.quantize.bits import pack, packed_bytes, unpack
from codec.quantize.halving import sum_in_halves
from codec.quantize.scale import SMALLEST
from kvwire.errors import SpecError

#: Bits -> the positive levels; the negative ones mirror them. Solved in float64 until they stood still.
_POSITIVE = {
    2: (0.452780035, 1.510417608),
    3: (0.245094179, 0.756005281, 1.343909279, 2.151945705),
    4: (
        *(0.12839503, 0.388048299, 0.656759119, 0.942340456),
        *(1.256231197, 1.618046386, 2.069017227, 2.732589571),
    ),
    5: (
        *(0.06588966, 0.19805183, 0.331378306, 0.466699523, 0.604933624, 0.747135704, 0.894565117, 1.04878332),
        *(1.211804381, 1.38634034, 1.576228079, 1.787233218, 2.028728399, 2.317739404, 2.691119577, 3.260732493),
    ),
}
_LEVELS = {bits: torch.tensor([-level for level in reversed(half)] + [*half]) for bits, half in _POSITIVE.items()}


@dataclass(frozen=True)
class Hadamard(Quantizer):
    """``hadamard`` or ``hadamard:bits=3``."""

    bits: int = 4

    def __post_init__(self) -> None:
        if self.bits not in _LEVELS:
            raise SpecError(f"bits must be 2, 3, 4 or 5; {self.bits} is not")

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q`` (bytes,); root mean squares ``s`` (kv_heads, tokens, 1)."""
        codes = ctx.kv_heads * ctx.tokens * ctx.head_dim
        return (
            PlaneShape("q", torch.uint8, (packed_bytes(codes, self.bits),)),
            PlaneShape("s", torch.float16, (ctx.kv_heads, ctx.tokens, 1)),
        )

    def quantize(self, x: Tensor, ctx: Context) -> Planes:  # noqa: ARG002  # the seam's signature
        """Turn, scale, find codes, pack; values are float32 throughout."""
        values = x.float().contiguous()
        scale = _root_mean_square(values)
        levels = _LEVELS[self.bits].to(x.device)
        between = (levels[1:] + levels[:-1]) / 2
        codes = torch.bucketize(_turn(values) / scale.float().clamp(min=SMALLEST), between, out_int32=True)
        return Plane("q", pack(codes.to(torch.uint8), self.bits)), Plane("s", scale)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Look up, multiply, turn back."""
        packed, scale = (plane.data for plane in planes)
        codes = unpack(packed, self.bits, ctx.kv_heads * ctx.tokens * ctx.head_dim).to(torch.int32)
        levels = _LEVELS[self.bits].to(packed.device).index_select(0, codes).reshape(ctx.shape)
        return _turn_back(levels.mul_(scale.float()))

    def error_bound(self, x: Tensor) -> Tensor:
        """Length of the vector's error, which turning does not change: half the widest gap, or what lies beyond."""
        levels, turned = _LEVELS[self.bits], _turn(x.float())
        scale = _root_mean_square(x.float()).float()
        inside = scale * (levels.diff().max() / 2)
        beyond = turned.abs() - scale * levels[-1]
        length: Tensor = torch.maximum(inside, beyond).double().norm(dim=-1, keepdim=True)
        return length.float()


def _turn(x: Tensor) -> Tensor:
    """``x`` turned over its first and, if that is not all, its last channels; signs flip before each, lengths stay."""
    turned = x
    for start, size, signs in _turns(x.shape[-1]):
        turned = turned * signs.to(x.device)
        turned[..., start : start + size] = _hadamard(turned[..., start : start + size])
    return turned


def _turn_back(turned: Tensor) -> Tensor:
    """The inverse of :func:`_turn`: a Hadamard matrix is its own; may overwrite ``turned``."""
    for start, size, signs in reversed(_turns(turned.shape[-1])):
        turned[..., start : start + size] = _hadamard(turned[..., start : start + size])
        turned = turned * signs.to(turned.device)
    return turned


def _turns(head_dim: int) -> list[tuple[int, int, Tensor]]:
    """Start, size, and signs before it, ``(head_dim,)``, of each turn; without fresh signs a second one would undo."""
    size = _largest_power(head_dim)
    starts = sorted({0, head_dim - size})
    return list(zip(starts, [size] * len(starts), _signs(len(starts), head_dim), strict=True))


def _hadamard(x: Tensor) -> Tensor:
    """Times the Hadamard matrix over the square root of its size, a power of two; numbers 1 apart meet first."""
    size = x.shape[-1]
    done, span = x, 1
    while span < size:
        left, right = done.reshape(*x.shape[:-1], size // (2 * span), 2, span).unbind(dim=-2)
        done = torch.stack((left + right, left - right), dim=-2)
        span *= 2
    scaled: Tensor = done.reshape(x.shape) * size**-0.5
    return scaled


def _root_mean_square(x: Tensor) -> Tensor:
    """``(..., 1)`` float16."""
    return (sum_in_halves(x.square(), dim=-1) / x.shape[-1]).sqrt().to(torch.float16)


def _largest_power(size: int) -> int:
    return 1 << (size.bit_length() - 1)


@cache
def _signs(turns: int, channels: int) -> Tensor:
    """1 or -1, ``(turns, channels)``: top bits of a linear congruential generator (Numerical Recipes, ranqd1)."""
    state, signs = 0, []
    for _ in range(turns * channels):
        state = (1664525 * state + 1013904223) % 2**32
        signs.append(1.0 - 2.0 * (state >> 31))
    return torch.tensor(signs).reshape(turns, channels)

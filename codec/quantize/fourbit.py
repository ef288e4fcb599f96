"""What ``int4`` and ``nf4`` share: blocks of channels, a float16 scale each, and a code for one of 16 levels per value.

A block is ``block`` consecutive channels of one token and head; the last of a vector may be short. The scale is
absmax / (largest level), rounded up to float16, so that nothing is clipped. 4 + 16 / block bits per value if ``block``
divides head_dim.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from codec.kernels import fourbit as kernel
from codec.kernels.fourbit import Grid
from codec.kernels.memory import in_main_memory
from codec.planes import Plane, Planes, PlaneShape, empty_planes
from codec.quantize.base import Context, Quantizer
from codec.quantize.nibbles import look_up, pack, packed_bytes
from codec.quantize.scale import SMALLEST, float16_above
from kvwire.errors import SpecError


@dataclass(frozen=True)
class FourBit(Quantizer):
    """A subclass gives its 16 ``levels``, ascending, and how to find a number's code, in torch and as a grid."""

    block: int = 64

    levels: ClassVar[Tensor]
    #: ``(256, 2)`` float32; :func:`~codec.quantize.nibbles.pairs_of` the levels.
    pairs: ClassVar[Tensor]
    #: :meth:`codes`, for the kernel.
    grid: ClassVar[Grid]

    def __post_init__(self) -> None:
        if self.block < 1:
            raise SpecError(f"block must be at least 1 channel; {self.block} is not")

    @abstractmethod
    def codes(self, scaled: Tensor) -> Tensor:
        """uint8 codes of numbers that lie between minus and plus the largest level; may overwrite ``scaled``."""

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q``, two to a byte, (bytes,); scales ``s`` (kv_heads, tokens, blocks)."""
        values = ctx.kv_heads * ctx.tokens * ctx.head_dim
        blocks = -(-ctx.head_dim // self.block)
        return (
            PlaneShape("q", torch.uint8, (packed_bytes(values),)),
            PlaneShape("s", torch.float16, (ctx.kv_heads, ctx.tokens, blocks)),
        )

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Scale, divide, find codes, pack; in one pass where there is a kernel."""
        if not in_main_memory(x):
            return self.quantize_plainly(x)
        packed, scale = planes = empty_planes(self.layout(ctx))
        kernel.encode(x, packed.data, scale.data, self.block, self.grid)
        return planes

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Look up and multiply."""
        packed, scale = (plane.data for plane in planes)
        if not in_main_memory(packed):
            return self.dequantize_plainly(planes, ctx)
        return kernel.decode(packed, scale, self.block, self.pairs, ctx.head_dim)

    def quantize_plainly(self, x: Tensor) -> Planes:
        """What the kernel computes, in torch; values are float32 throughout."""
        blocks = self._split(x.float())
        scale = self._scale(blocks)
        codes = self.codes(blocks / scale.float().clamp(min=SMALLEST))
        return Plane("q", pack(self._join(codes, x.shape[-1]))), Plane("s", scale.squeeze(-1))

    def dequantize_plainly(self, planes: Planes, ctx: Context) -> Tensor:
        """What the kernel computes, in torch."""
        packed, scale = (plane.data for plane in planes)
        levels = look_up(packed, self.pairs.to(packed.device), ctx.kv_heads * ctx.tokens * ctx.head_dim)
        blocks = self._split(levels.reshape(ctx.shape))
        return self._join(blocks.mul_(scale.float()[..., None]), ctx.head_dim)

    def error_bound(self, x: Tensor) -> Tensor:
        """Half the widest gap between levels, times the block's scale."""
        blocks = self._split(x.float())
        bound = self._scale(blocks).float() * (self.levels.diff().max() / 2)
        return self._join(bound.expand_as(blocks), x.shape[-1])

    def _split(self, x: Tensor) -> Tensor:
        """``(kv_heads, tokens, blocks, block)``; a short last block is filled up with zeros; no absmax notices."""
        width = min(self.block, x.shape[-1])
        short = -x.shape[-1] % width
        return (pad(x, (0, short)) if short else x).reshape(*x.shape[:-1], -1, width)

    def _join(self, blocks: Tensor, head_dim: int) -> Tensor:
        return blocks.flatten(-2)[..., :head_dim]

    def _scale(self, blocks: Tensor) -> Tensor:
        return float16_above(blocks.abs().amax(dim=-1, keepdim=True) / float(self.levels[-1]))

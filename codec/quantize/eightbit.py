"""What ``int8`` and ``fp8`` share: a code of one byte per value, under a float16 scale per token and head, or per head.

scale = absmax / (largest code), rounded **up** to float16, so that no code is clipped, also where float16 is subnormal.
A group of zeros has scale 0. A group beyond 65504 x (largest code) is refused: its scale would be infinite. A code is
the one nearest to x / scale; x = code x scale. 8 + 16 / head_dim bits per value per token and head, 8 per head.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from codec.kernels import eightbit as kernel
from codec.kernels.memory import in_main_memory
from codec.planes import Plane, Planes, PlaneShape, empty_planes
from codec.quantize.base import Context, Quantizer
from codec.quantize.scale import SMALLEST, float16_above


@dataclass(frozen=True)
class EightBit(Quantizer):
    """A subclass gives its codes' ``dtype``, the largest of them, ``top``, and how to round to them in torch."""

    per: Literal["token", "head"] = "token"

    dtype: ClassVar[torch.dtype]
    top: ClassVar[int]

    @abstractmethod
    def codes(self, scaled: Tensor) -> Tensor:
        """Codes, of ``dtype``, of numbers that lie between minus and plus ``top``; may overwrite ``scaled``."""

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q`` (kv_heads, tokens, head_dim); scales ``s`` (kv_heads, tokens or 1, 1)."""
        rows = ctx.tokens if self.per == "token" else 1
        return PlaneShape("q", self.dtype, ctx.shape), PlaneShape("s", torch.float16, (ctx.kv_heads, rows, 1))

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Scale, divide, round; in one pass where there is a kernel."""
        if not in_main_memory(x):
            return self.quantize_plainly(x)
        codes, scale = planes = empty_planes(self.layout(ctx))
        kernel.encode(x, codes.data, scale.data, self.top)
        return planes

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Look up and multiply."""
        codes, scale = (plane.data for plane in planes)
        if not in_main_memory(codes):
            return self.dequantize_plainly(planes, ctx)
        return kernel.decode(codes, scale)

    def quantize_plainly(self, x: Tensor) -> Planes:
        """What the kernel computes, in torch; values are float32 throughout."""
        values = x.float()
        scale = self._scale(values)
        return Plane("q", self.codes(values / scale.float().clamp(min=SMALLEST))), Plane("s", scale)

    def dequantize_plainly(self, planes: Planes, ctx: Context) -> Tensor:  # noqa: ARG002  # as FourBit has it
        """What the kernel computes, in torch."""
        codes, scale = (plane.data for plane in planes)
        return codes.float().mul_(scale.float())

    def _scale(self, values: Tensor) -> Tensor:
        group = (-1,) if self.per == "token" else (-2, -1)
        return float16_above(values.abs().amax(dim=group, keepdim=True) / self.top)

"""``fp32``, ``fp16``, ``bf16``: IEEE 754 binary32 and binary16, and the upper half of binary32; no scales.

Rounding is to nearest, ties to even. A number beyond the format's range (65504 for fp16) is refused, not saturated: a
saturated attention sink changes every later token, and the message names the formats that carry it.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize.base import Context, Quantizer


@dataclass(frozen=True)
class Fp32(Quantizer):
    """Exact; also the widest of the family, which only differs in dtype."""

    dtype: ClassVar[torch.dtype] = torch.float32

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """One plane ``x``, ``(kv_heads, tokens, head_dim)``."""
        return (PlaneShape("x", self.dtype, ctx.shape),)

    def quantize(self, x: Tensor, ctx: Context) -> Planes:  # noqa: ARG002  # the seam's signature
        """Round to the format."""
        return (Plane("x", x.to(self.dtype)),)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:  # noqa: ARG002  # the seam's signature
        """Widen, which is exact."""
        return planes[0].data.float()

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a unit in the last place, and half the smallest number where that is coarser."""
        format_ = torch.finfo(self.dtype)
        return x.float().abs() * (format_.eps / 2) + format_.smallest_normal * format_.eps / 2


@dataclass(frozen=True)
class Fp16(Fp32):
    """10 bits of fraction, up to 65504."""

    dtype: ClassVar[torch.dtype] = torch.float16


@dataclass(frozen=True)
class Bf16(Fp32):
    """7 bits of fraction, range of float32; exact for models that run in bfloat16."""

    dtype: ClassVar[torch.dtype] = torch.bfloat16

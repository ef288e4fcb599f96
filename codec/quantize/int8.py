"""``int8``: symmetric absmax, codes -127 to 127 and one float16 scale per token and head, or per head.

scale = absmax / 127, rounded **up** to float16, so that no code is clipped and the error is half a scale everywhere,
also where float16 is subnormal. A group of zeros has scale 0. A group beyond 65504 x 127 is refused (its scale would be
infinite). code = round half to even (x / scale); x = code x scale.

Per token and head: 8 + 16 / head_dim bits per value. Source: the absmax scheme of LLM.int8 (arXiv 2208.07339, eq. 3),
on cache vectors instead of weight rows.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize.base import Context, Quantizer
from codec.quantize.scale import SMALLEST, float16_above

_TOP = 127


@dataclass(frozen=True)
class Int8(Quantizer):
    """``int8`` or ``int8:per=head``."""

    per: Literal["token", "head"] = "token"

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q`` (kv_heads, tokens, head_dim); scales ``s`` (kv_heads, tokens or 1, 1)."""
        rows = ctx.tokens if self.per == "token" else 1
        return PlaneShape("q", torch.int8, ctx.shape), PlaneShape("s", torch.float16, (ctx.kv_heads, rows, 1))

    def quantize(self, x: Tensor, ctx: Context) -> Planes:  # noqa: ARG002  # the seam's signature
        """Scale, divide, round; values are float32 throughout."""
        values = x.float()
        scale = self._scale(values)
        codes = (values / scale.float().clamp(min=SMALLEST)).round_().clamp_(-_TOP, _TOP).to(torch.int8)
        return Plane("q", codes), Plane("s", scale)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:  # noqa: ARG002  # the seam's signature
        """Multiply."""
        codes, scale = planes
        return codes.data.float().mul_(scale.data.float())

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a scale."""
        return self._scale(x.float()).float() / 2

    def _scale(self, values: Tensor) -> Tensor:
        group = (-1,) if self.per == "token" else (-2, -1)
        return float16_above(values.abs().amax(dim=group, keepdim=True) / _TOP)

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

from codec.kernels import eightbit
from codec.kernels.memory import in_main_memory
from codec.planes import Plane, Planes, PlaneShape, empty_planes
from codec.quantize.base import Context, Quantizer
from codec.quantize.scale import SMALLEST, float16_above

_TOP = 127
#: All codes by their byte.
_NUMBERS = torch.arange(256, dtype=torch.uint8).view(torch.int8).float()


@dataclass(frozen=True)
class Int8(Quantizer):
    """``int8`` or ``int8:per=head``."""

    per: Literal["token", "head"] = "token"

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q`` (kv_heads, tokens, head_dim); scales ``s`` (kv_heads, tokens or 1, 1)."""
        rows = ctx.tokens if self.per == "token" else 1
        return PlaneShape("q", torch.int8, ctx.shape), PlaneShape("s", torch.float16, (ctx.kv_heads, rows, 1))

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Scale, divide, round; in one pass where there is a kernel."""
        if not in_main_memory(x):
            return self.quantize_plainly(x)
        codes, scale = planes = empty_planes(self.layout(ctx))
        eightbit.encode(x, codes.data, scale.data, _TOP)
        return planes

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:  # noqa: ARG002  # the seam's signature
        """Multiply."""
        codes, scale = (plane.data for plane in planes)
        if not in_main_memory(codes):
            return self.dequantize_plainly(planes)
        return eightbit.decode(codes, scale, _NUMBERS)

    def quantize_plainly(self, x: Tensor) -> Planes:
        """What the kernel computes, in torch; values are float32 throughout."""
        values = x.float()
        scale = self._scale(values)
        codes = (values / scale.float().clamp(min=SMALLEST)).round_().clamp_(-_TOP, _TOP).to(torch.int8)
        return Plane("q", codes), Plane("s", scale)

    def dequantize_plainly(self, planes: Planes) -> Tensor:
        """What the kernel computes, in torch."""
        codes, scale = planes
        return codes.data.float().mul_(scale.data.float())

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a scale."""
        return self._scale(x.float()).float() / 2

    def _scale(self, values: Tensor) -> Tensor:
        group = (-1,) if self.per == "token" else (-2, -1)
        return float16_above(values.abs().amax(dim=group, keepdim=True) / _TOP)

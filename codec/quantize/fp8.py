"""``fp8``: 8-bit floats with 4 bits of exponent and 3 of fraction (OCP E4M3), rounded half to even, -448 to 448.

The scale only centres the range; an E4M3 number is as precise at any magnitude, so one scale per head is the default.

Source: OCP 8-bit Floating Point Specification 1.0; arXiv 2209.05433.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from codec.quantize.eightbit import EightBit


@dataclass(frozen=True)
class Fp8(EightBit):
    """``fp8`` or ``fp8:per=token``."""

    per: Literal["token", "head"] = "head"

    dtype: ClassVar[torch.dtype] = torch.float8_e4m3fn
    top: ClassVar[int] = 448

    def codes(self, scaled: Tensor) -> Tensor:
        """The nearest E4M3 number."""
        return scaled.clamp_(-self.top, self.top).to(self.dtype)

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a unit in the last of 3 bits, and half the smallest code where that is coarser."""
        return x.float().abs() * 2**-4 + self._scale(x.float()).float() * 2**-10

"""``int8``: symmetric absmax, codes -127 to 127, rounded half to even; the error is half a scale everywhere.

Source: the absmax scheme of LLM.int8 (arXiv 2208.07339, eq. 3), on cache vectors instead of weight rows.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codec.quantize.eightbit import EightBit


@dataclass(frozen=True)
class Int8(EightBit):
    """``int8`` or ``int8:per=head``."""

    dtype: ClassVar[torch.dtype] = torch.int8
    top: ClassVar[int] = 127

    def codes(self, scaled: Tensor) -> Tensor:
        """The nearest whole number."""
        return scaled.round_().clamp_(-self.top, self.top).to(self.dtype)

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a scale."""
        return self._scale(x.float()).float() / 2

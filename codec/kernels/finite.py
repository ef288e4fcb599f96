"""Whether all numbers of a plane are finite, in one pass over their bits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.kernels.compile import loop
from codec.kernels.memory import Array, flat

#: Element type -> its bits' type, those without the sign, and the least that are no finite number (E4M3 has one NaN).
_FORMATS = {
    torch.float32: (torch.uint32, np.uint32(0x7FFFFFFF), 0x7F800000),
    torch.bfloat16: (torch.uint16, np.uint16(0x7FFF), 0x7F80),
    torch.float16: (torch.uint16, np.uint16(0x7FFF), 0x7C00),
    torch.float8_e4m3fn: (torch.uint8, np.uint8(0x7F), 0x7F),
}


def finite(x: Tensor) -> bool:
    """Of any shape; float32, bfloat16, float16 or float8_e4m3fn."""
    bits, magnitude, limit = _FORMATS[x.dtype]
    return int(_largest(flat(x.detach(), bits), magnitude)) < limit


@loop
def _largest(bits: Array, magnitude: Any) -> Any:
    largest = bits.dtype.type(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & magnitude)
    return largest

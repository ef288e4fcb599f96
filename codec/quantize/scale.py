"""Scales travel as float16, rounded up, so that dividing by one never leaves the range of codes it was made for."""

import torch
from torch import Tensor

#: The smallest positive float16; what to divide by where a scale is 0 and every value is 0 too.
SMALLEST = 2.0**-24


def float16_above(scale: Tensor) -> Tensor:
    """The least float16 that is not below each element of ``scale`` (float32, not negative); infinite beyond 65504."""
    nearest = scale.to(torch.float16)
    # Bit patterns of non-negative floats are ordered like the floats, so adding one is the next float up.
    return (nearest.view(torch.int16) + (nearest.float() < scale)).view(torch.float16)

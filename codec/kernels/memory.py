"""Tensors as the flat arrays that loops read and write; nothing is copied."""

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

#: What the loops read float types as.
_BITS = {torch.float32: torch.float32, torch.bfloat16: torch.uint16, torch.float16: torch.int16}


def in_main_memory(x: Tensor) -> bool:
    """Whether the loops can reach it; where not, torch computes."""
    return x.device.type == "cpu"


class Rows(NamedTuple):
    """Vectors of ``head_dim`` numbers in a flat array: that of a head and a token starts at the sum of both strides."""

    numbers: Array
    heads: int
    tokens: int
    head_dim: int
    head_stride: int
    token_stride: int


def rows(x: Tensor) -> Rows:
    """``x``, ``(kv_heads, tokens, head_dim)``, as it lies; copied only if a vector's numbers lie apart."""
    x = x.detach()
    if x.dtype not in _BITS:
        x = x.float()
    heads, tokens, head_dim = x.shape
    if x.stride(2) != 1 and head_dim > 1:
        x = x.contiguous()
    head_stride, token_stride, _ = x.stride()
    reach = (heads - 1) * head_stride + (tokens - 1) * token_stride + head_dim
    flat = x.as_strided((reach,), (1,)).view(_BITS[x.dtype])
    return Rows(flat.numpy(), heads, tokens, head_dim, head_stride, token_stride)


def flat(x: Tensor, bits: torch.dtype) -> Array:
    """A contiguous tensor's elements, row-major, as another type of their size."""
    array: Array = x.reshape(-1).view(bits).numpy()
    return array

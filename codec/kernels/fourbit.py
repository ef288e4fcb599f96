"""Codes of four bits under one scale per block of channels, two codes to a byte: ``int4`` and ``nf4``.

A number's code is found on a grid: divided by its scale, times the grid's steps, rounded to a whole number, looked up.
A block with a number that no scale can cover gets an infinite scale and no codes.

Codes of a vector of odd length end in the middle of a byte, so a loop works on spans: one vector, or two if head_dim
is odd. Every span but the last fills whole bytes.
"""

from typing import NamedTuple

import numpy as np
import torch
from numba import prange
from torch import Tensor

from codec.kernels.compile import loop, loops
from codec.kernels.memory import Array, Rows, flat, rows
from codec.kernels.numbers import INFINITE_HALF, SMALLEST, from_half, half_above, magnitude, whole, widen
from codec.kernels.share import shares


class Grid(NamedTuple):
    """The code of a scaled number, which is from -top to top, is ``codes[round(steps * number) + offset]``."""

    codes: Array
    steps: np.float32
    offset: int
    top: np.float32

    @classmethod
    def of(cls, codes: Tensor, steps: float, top: float) -> "Grid":
        """From ``codes``, uint8, the middle one that of 0; ``top`` is what a block's largest magnitude scales to."""
        return cls(codes.numpy(), np.float32(steps), len(codes) // 2, np.float32(top))


def encode(x: Tensor, packed: Tensor, scales: Tensor, block: int, grid: Grid) -> None:
    """Fill ``packed`` and ``scales`` from ``x``.

    x: ``(kv_heads, tokens, head_dim)``, any float dtype, any strides.
    packed: ``(bytes,)`` uint8, an earlier code in the low half. scales: ``(kv_heads, tokens, blocks)`` float16.
    """
    source, scaled, out = rows(x), flat(scales, torch.int16), flat(packed, torch.uint8)
    spans = _spans(source.heads * source.tokens, source.head_dim)
    width = min(block, source.head_dim)
    if (ranges := shares(x.numel(), spans)) == 1:
        _encode(source, out, scaled, width, grid, 0, spans)
    else:
        _encode_shared(source, out, scaled, width, grid, spans, ranges)


def decode(packed: Tensor, scales: Tensor, block: int, pairs: Tensor, head_dim: int) -> Tensor:
    """``(kv_heads, tokens, head_dim)`` float32: each code's level times its block's scale.

    pairs: ``(256, 2)`` float32, both levels of each byte.
    """
    heads, tokens, _ = scales.shape
    x = torch.empty((heads, tokens, head_dim))
    out, scaled, stored = x.view(-1, head_dim).numpy(), flat(scales, torch.int16), flat(packed, torch.uint8)
    table = flat(pairs, torch.int64)  # a pair is one number of 64 bits
    spans = _spans(heads * tokens, head_dim)
    width = min(block, head_dim)
    if (ranges := shares(x.numel(), spans)) == 1:
        _decode(stored, scaled, width, table, out, 0, spans)
    else:
        _decode_shared(stored, scaled, width, table, out, spans, ranges)
    return x


def _spans(vectors: int, head_dim: int) -> int:
    return -(-vectors // (1 + head_dim % 2))


@loop
def _encode(x: Rows, packed: Array, scales: Array, width: int, grid: Grid, first: int, last: int) -> None:
    dim, vectors = x.head_dim, x.heads * x.tokens
    together, blocks = 1 + dim % 2, -(-dim // width)
    scaled, at = np.empty(dim, np.float32), np.empty(dim, np.int32)
    codes = np.empty(2 * dim, np.uint8)
    pairs = codes.view(np.uint16)
    for span in range(first, last):
        begin, end = span * together, min((span + 1) * together, vectors)
        codes[(end - begin) * dim - 1 :] = 0
        for row in range(begin, end):
            start = row // x.tokens * x.head_stride + row % x.tokens * x.token_stride
            for block in range(blocks):
                low, high = block * width, min((block + 1) * width, dim)
                source, out = x.numbers[start + low : start + high], codes[(row - begin) * dim + low :]
                largest = np.uint32(0)
                for i in range(high - low):
                    number = widen(source[i])
                    scaled[i] = number
                    largest = max(largest, magnitude(number))
                scale = half_above(np.uint32(largest).view(np.float32) / grid.top)
                scales[row * blocks + block] = scale
                if scale == INFINITE_HALF:
                    continue
                divisor = max(from_half(scale), SMALLEST)
                for i in range(high - low):
                    at[i] = whole(scaled[i] / divisor * grid.steps) + grid.offset
                for i in range(high - low):
                    out[i] = grid.codes[at[i]]
        out = packed[begin * dim // 2 : (end * dim + 1) // 2]
        for i in range(out.size):
            out[i] = pairs[i] | (pairs[i] >> 4)


@loops
def _encode_shared(x: Rows, packed: Array, scales: Array, width: int, grid: Grid, spans: int, ranges: int) -> None:
    for part in prange(ranges):
        _encode(x, packed, scales, width, grid, spans * part // ranges, spans * (part + 1) // ranges)


@loop
def _decode(packed: Array, scales: Array, width: int, pairs: Array, x: Array, first: int, last: int) -> None:
    vectors, dim = x.shape
    together, blocks = 1 + dim % 2, -(-dim // width)
    looked_up = np.empty(dim, np.int64)
    levels = looked_up.view(np.float32)
    for span in range(first, last):
        begin, end = span * together, min((span + 1) * together, vectors)
        stored = packed[begin * dim // 2 : (end * dim + 1) // 2]
        for i in range(stored.size):
            looked_up[i] = pairs[stored[i]]
        for row in range(begin, end):
            for block in range(blocks):
                low, high = block * width, min((block + 1) * width, dim)
                scale = from_half(scales[row * blocks + block])
                source, out = levels[(row - begin) * dim + low : (row - begin) * dim + high], x[row, low:high]
                for i in range(high - low):
                    out[i] = source[i] * scale


@loops
def _decode_shared(packed: Array, scales: Array, width: int, pairs: Array, x: Array, spans: int, ranges: int) -> None:
    for part in prange(ranges):
        _decode(packed, scales, width, pairs, x, spans * part // ranges, spans * (part + 1) // ranges)

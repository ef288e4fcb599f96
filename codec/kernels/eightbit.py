"""Codes of one byte under one scale per group of rows: ``int8`` and ``fp8``.

A group is one vector (a scale per token and head) or all vectors of a head. A group with a number that no scale can
cover gets an infinite scale and no codes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange, types
from torch import Tensor

from codec.kernels.compile import loop, loops, overload
from codec.kernels.memory import Array, Rows, flat, rows
from codec.kernels.numbers import INFINITE_HALF, SMALLEST, from_half, half_above, magnitude, whole, widen
from codec.kernels.share import shares


def encode(x: Tensor, codes: Tensor, scales: Tensor, top: float) -> None:
    """Fill ``codes`` and ``scales`` from ``x``.

    x: ``(kv_heads, tokens, head_dim)``, any float dtype, any strides.
    codes: like ``x``, contiguous, int8 or float8_e4m3fn, which also says how to round.
    scales: float16, contiguous; a scale is for as many consecutive vectors as all numbers allow.
    top: the largest code; a scale is a group's largest magnitude over it, rounded up.
    """
    source, bits = rows(x), torch.int8 if codes.dtype == torch.int8 else torch.uint8
    out, scaled = flat(codes, bits), flat(scales, torch.int16)
    if (ranges := shares(x.numel(), scales.numel())) == 1:
        _encode(source, out, scaled, np.float32(top), 0, scaled.size)
    else:
        _encode_shared(source, out, scaled, np.float32(top), ranges)


def decode(codes: Tensor, scales: Tensor) -> Tensor:
    """Float32 of the codes' shape: each code, int8 or float8_e4m3fn, times its scale."""
    x = torch.empty(codes.shape)
    out, stored = flat(x, torch.float32), flat(codes, torch.uint8)
    scaled, table = flat(scales, torch.int16), _numbers(codes.dtype)
    if (ranges := shares(x.numel(), scales.numel())) == 1:
        _decode(stored, scaled, table, out, 0, scaled.size)
    else:
        _decode_shared(stored, scaled, table, out, ranges)
    return x


@cache
def _numbers(dtype: torch.dtype) -> Array:
    """What the 256 bytes stand for as codes of ``dtype``, float32: numba knows no 8-bit floats."""
    table: Array = torch.arange(256, dtype=torch.uint8).view(dtype).float().numpy()
    return table


def nearest(number: Any, like: Any) -> Any:
    """The code of a scaled number, of the type of ``like``. Only compiled code calls it."""
    raise NotImplementedError


@overload(nearest)
def _nearest(number: Any, like: Any) -> Callable[[Any, Any], Any]:  # noqa: ARG001  # numba's signature
    return _nearest_int8 if like is types.int8 else _nearest_e4m3


def _nearest_int8(number: Any, like: Any) -> Any:  # noqa: ARG001  # numba's signature
    return np.int8(whole(number))


def _nearest_e4m3(number: Any, like: Any) -> Any:  # noqa: ARG001  # numba's signature
    """Round to nearest even: where numbers have full precision by a carry, in steps of 2^-9 below 2^-6."""
    bits = np.float32(number).view(np.uint32)
    size = np.uint32(bits & np.uint32(0x7FFFFFFF))
    odd = np.uint32((size >> np.uint32(20)) & np.uint32(1))
    normal = (size - np.uint32(120 << 23) + np.uint32(0x7FFFF) + odd) >> np.uint32(20)
    # 2^14 has steps of 2^-9, so adding it rounds to them.
    small = np.float32(size.view(np.float32) + np.float32(2.0**14)).view(np.uint32) - np.uint32(0x46800000)
    code = small if size < np.uint32(121 << 23) else normal
    return np.uint8(code | ((bits >> np.uint32(24)) & np.uint32(0x80)))


@loop
def _encode(x: Rows, codes: Array, scales: Array, top: np.float32, first: int, last: int) -> None:
    dim = x.head_dim
    together = x.heads * x.tokens // scales.size
    vector = np.empty(dim, np.float32)
    for group in range(first, last):
        largest = np.uint32(0)
        for row in range(group * together, (group + 1) * together):
            start = row // x.tokens * x.head_stride + row % x.tokens * x.token_stride
            source = x.numbers[start : start + dim]
            for i in range(dim):
                largest = max(largest, magnitude(widen(source[i])))
        scale = half_above(np.uint32(largest).view(np.float32) / top)
        scales[group] = scale
        if scale == INFINITE_HALF:
            continue
        divisor = max(from_half(scale), SMALLEST)
        for row in range(group * together, (group + 1) * together):
            start = row // x.tokens * x.head_stride + row % x.tokens * x.token_stride
            source, out = x.numbers[start : start + dim], codes[row * dim : (row + 1) * dim]
            for i in range(dim):
                vector[i] = widen(source[i]) / divisor
            for i in range(dim):
                out[i] = nearest(vector[i], out[i])


@loops
def _encode_shared(x: Rows, codes: Array, scales: Array, top: np.float32, ranges: int) -> None:
    for part in prange(ranges):
        _encode(x, codes, scales, top, scales.size * part // ranges, scales.size * (part + 1) // ranges)


@loop
def _decode(codes: Array, scales: Array, numbers: Array, x: Array, first: int, last: int) -> None:
    together = x.size // scales.size
    for group in range(first, last):
        scale = from_half(scales[group])
        stored, out = codes[group * together : (group + 1) * together], x[group * together : (group + 1) * together]
        for i in range(together):
            out[i] = numbers[stored[i]] * scale


@loops
def _decode_shared(codes: Array, scales: Array, numbers: Array, x: Array, ranges: int) -> None:
    for part in prange(ranges):
        _decode(codes, scales, numbers, x, scales.size * part // ranges, scales.size * (part + 1) // ranges)

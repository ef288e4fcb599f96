"""Sums over the tokens of each channel, and whether taking a mean out makes every vector short enough.

Sums are in the order of codec/quantize/halving.py: of n numbers the later half is added to the earlier ceil(n / 2)
until one is left.
"""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from codec.kernels.compile import inlined, loop, loops
from codec.kernels.memory import Array, Rows, flat, rows
from codec.kernels.numbers import widen
from codec.kernels.share import shares


def sums(x: Tensor) -> Tensor:
    """``(kv_heads, 1, head_dim)`` float32, over the tokens of ``x``, ``(kv_heads, tokens, head_dim)``, any float."""
    source = rows(x)
    total = torch.empty((source.heads, 1, source.head_dim))
    out = total.view(source.heads, source.head_dim).numpy()
    if (ranges := shares(x.numel(), source.heads)) == 1:
        _sum(source, out, 0, source.heads)
    else:
        _sum_shared(source, out, ranges)
    return total


def all_shorter(x: Tensor, mean: Tensor, share: float) -> Tensor:
    """``(kv_heads, 1, 1)`` bool: every vector of a head has less than ``share`` of its energy around the mean.

    x: as for :func:`sums`. mean: ``(kv_heads, 1, head_dim)`` float16. Energies, and ``share``, are float32.
    """
    source, means = rows(x), flat(mean, torch.int16)
    shorter = torch.empty((source.heads, 1, 1), dtype=torch.bool)
    out = flat(shorter, torch.bool)
    if (ranges := shares(x.numel(), source.heads)) == 1:
        _compare(source, means, np.float32(share), out, 0, source.heads)
    else:
        _compare_shared(source, means, np.float32(share), out, ranges)
    return shorter


@inlined
def _in_halves(numbers: Array) -> np.float32:
    """Their sum; overwrites them."""
    count = numbers.size
    while count > 1:
        half, kept = count // 2, count - count // 2
        for i in range(half):
            numbers[i] += numbers[kept + i]
        count = kept
    return numbers[0]  # type: ignore[no-any-return]  # numpy's element


@loop
def _sum(x: Rows, sums: Array, first: int, last: int) -> None:
    dim = x.head_dim
    half, kept = x.tokens // 2, x.tokens - x.tokens // 2
    partial = np.empty((kept, dim), np.float32)
    for head in range(first, last):
        for token in range(kept):
            start = head * x.head_stride + token * x.token_stride
            source, out = x.numbers[start : start + dim], partial[token]
            if token < half:
                start += kept * x.token_stride
                later = x.numbers[start : start + dim]
                for i in range(dim):
                    out[i] = widen(source[i]) + widen(later[i])
            else:
                for i in range(dim):
                    out[i] = widen(source[i])
        count = kept
        while count > 1:
            stay = count - count // 2
            for token in range(count // 2):
                out, later = partial[token], partial[stay + token]
                for i in range(dim):
                    out[i] += later[i]
            count = stay
        sums[head] = partial[0]


@loops
def _sum_shared(x: Rows, sums: Array, ranges: int) -> None:
    for part in prange(ranges):
        _sum(x, sums, x.heads * part // ranges, x.heads * (part + 1) // ranges)


@loop
def _compare(x: Rows, means: Array, share: np.float32, shorter: Array, first: int, last: int) -> None:
    dim = x.head_dim
    mean, around, whole = np.empty(dim, np.float32), np.empty(dim, np.float32), np.empty(dim, np.float32)
    for head in range(first, last):
        for i in range(dim):
            mean[i] = widen(means[head * dim + i])
        shorter[head] = True
        for token in range(x.tokens):
            start = head * x.head_stride + token * x.token_stride
            source = x.numbers[start : start + dim]
            for i in range(dim):
                number = widen(source[i])
                whole[i] = number * number
                rest = number - mean[i]
                around[i] = rest * rest
            # Not ">=": a NaN is not shorter either.
            if not _in_halves(around) < _in_halves(whole) * share:
                shorter[head] = False
                break


@loops
def _compare_shared(x: Rows, means: Array, share: np.float32, shorter: Array, ranges: int) -> None:
    for part in prange(ranges):
        _compare(x, means, share, shorter, x.heads * part // ranges, x.heads * (part + 1) // ranges)

"""Which tokens a frame keeps, as bytes: per row a bitmap, or the lengths of alternating gaps and runs.

A row is the layer's, or one head's. A bitmap costs a bit per token; runs cost two or three bytes for a recent or a
first stretch of any length. The writer takes the smaller form for all rows together.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.varint import Reader, varint
from kvwire.errors import DataLossError

_Bools = NDArray[np.bool_]


def write_bitmap(slots: Tensor, tokens: int) -> bytes:
    """Row by row, token 0 in the lowest bit of the first byte; each row starts a byte."""
    return np.packbits(_mask(slots, tokens), axis=-1, bitorder="little").tobytes()


def write_runs(slots: Tensor, tokens: int) -> bytes:
    """Row by row: varints gap, run, gap, run, ... until all kept tokens are told; only a first gap may be 0."""
    return b"".join(varint(length) for row in _mask(slots, tokens) for length in _runs(row))


def read_bitmap(reader: Reader, rows: int, kept: int, tokens: int) -> Tensor:
    """Slots ``(rows, kept)``, int64.

    Raises:
        DataLossError: A row keeps another number of tokens than announced, or has bits beyond its tokens.
    """
    width = -(-tokens // 8)
    packed = np.frombuffer(reader.take(rows * width, "selection bitmap"), dtype=np.uint8).reshape(rows, width)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    counts = bits[:, :tokens].sum(axis=-1)
    if (counts != kept).any() or bits[:, tokens:].any():
        raise DataLossError(f"selection bitmap keeps {counts.tolist()} of {tokens} tokens, {kept} announced")
    return torch.from_numpy(bits[:, :tokens].nonzero()[1].reshape(rows, kept))


def read_runs(reader: Reader, rows: int, kept: int, tokens: int) -> Tensor:
    """Slots ``(rows, kept)``, int64.

    Raises:
        DataLossError: Gaps and runs do not add up to the announced tokens.
    """
    slots = torch.empty((rows, kept), dtype=torch.int64)
    for row in slots:
        told, at = 0, 0
        while told < kept:
            at += reader.varint("selection gap", top=tokens - at, least=min(told, 1))
            run = reader.varint("selection run", top=min(kept - told, tokens - at), least=1)
            row[told : told + run] = torch.arange(at, at + run)
            told, at = told + run, at + run
    return slots


def _mask(slots: Tensor, tokens: int) -> _Bools:
    rows = slots.cpu().reshape(-1, slots.shape[-1])
    mask = torch.zeros((rows.shape[0], tokens), dtype=torch.bool)
    kept: _Bools = mask.scatter_(1, rows, True).numpy()
    return kept


def _runs(row: _Bools) -> list[int]:
    """Lengths of a row's gaps and runs by turns, up to its last kept token."""
    edges = np.flatnonzero(np.diff(row, prepend=False, append=False))
    return [int(end - start) for start, end in pairwise([0, *edges])]

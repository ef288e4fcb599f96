"""Codes of 1 to 8 bits in a row, no bit between them: code i fills bits i x width and up, bit 0 of byte 0 first."""

import torch
from torch import Tensor
from torch.nn.functional import pad

#: Eight codes of any width fill whole bytes, and up to 64 bits: an int64 holds them.
_TOGETHER = 8


def packed_bytes(codes: int, width: int) -> int:
    """Bytes that so many codes take."""
    return -(-codes * width // 8)


def pack(codes: Tensor, width: int) -> Tensor:
    """``(bytes,)`` uint8 from codes 0 to 2 ** width - 1, uint8, any shape, row-major; unused last bits are 0."""
    flat = codes.reshape(-1)
    rows = pad(flat, (0, -flat.numel() % _TOGETHER)).reshape(-1, _TOGETHER)
    word = torch.zeros(rows.shape[0], dtype=torch.int64, device=codes.device)
    for at, column in enumerate(rows.unbind(dim=-1)):
        word |= column.long() << (at * width)
    bytes_ = word.view(torch.uint8).reshape(-1, _TOGETHER)[:, :width]
    return bytes_.reshape(-1)[: packed_bytes(flat.numel(), width)]


def unpack(packed: Tensor, width: int, count: int) -> Tensor:
    """``(count,)`` uint8 codes from ``(bytes,)`` uint8, of which there are :func:`packed_bytes`."""
    rows = pad(packed, (0, -packed.numel() % width)).reshape(-1, width)
    word = pad(rows, (0, _TOGETHER - width)).contiguous().view(torch.int64).squeeze(-1)
    codes = torch.stack([(word >> (at * width)) & ((1 << width) - 1) for at in range(_TOGETHER)], dim=-1)
    return codes.to(torch.uint8).reshape(-1)[:count]

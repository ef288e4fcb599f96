"""Frames: whatever the bytes, decoding ends with a finite cache or with one of the two errors it documents.

Mutated bodies get a right checksum, or nothing behind it would ever be reached. Seeds are the golden frames, those of
``rd`` with their tables.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codec import frame
from codec.calibration import Calibration, serialize
from codec.codec import decode_layer
from kvwire.errors import BindingError, DataLossError

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
with np.load(GOLDEN / "rd-tables.npz") as _stored:
    _TABLES = Calibration.parse(serialize("nobody/none", bytes(32), dict(_stored)), "golden tables")
_BODY_AT = 8
_SMALL = frame.Limits(max_layers=64, max_kv_heads=16, max_head_dim=256, max_tokens=4096, max_decoded_bytes=1 << 20)


def seeds() -> Iterator[bytes]:
    """A body of every kind."""
    for golden in sorted(GOLDEN.glob("*.frame")):
        yield golden.read_bytes()[_BODY_AT:]


def run(body: bytes) -> None:
    """One run: any other exception, and running out of memory or time, is a finding."""
    data = frame.MAGIC + bytes([frame.VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body
    try:
        kv = decode_layer(data, _SMALL, calibration=_TABLES)
    except (DataLossError, BindingError):
        return
    heads, kept, head_dim = kv.keys.shape
    assert kv.values.shape == (heads, kept, head_dim)
    assert kept == (kv.tokens if kv.slots is None else kv.slots.shape[-1])
    assert kv.keys.nbytes + kv.values.nbytes <= _SMALL.max_decoded_bytes

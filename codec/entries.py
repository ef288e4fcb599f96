"""The planes of a frame: a table of entries, then their bytes. docs/wire-format.md is normative."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from codec.entropy import zstd
from codec.planes import Plane, Planes
from codec.varint import Reader, varint
from kvwire.errors import DataLossError

#: Codes of element types; a code is never given a second meaning.
DTYPES = (torch.uint8, torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn)

#: The tag: encoding in bits 0 and 1, keys or values in bit 2, group of heads above.
_RAW, _ZSTD, _ENCODING = 0, 1, 3
_VALUES_BIT = 4
_GROUP_AT = 3
MAX_GROUPS = 1 << (8 - _GROUP_AT)
_NAME = re.compile(rb"[a-z][a-z0-9_]{0,15}")


@dataclass(frozen=True)
class Entry:
    """One row of the table; ``stored_bytes`` is None for a raw plane, whose length its dims tell."""

    is_values: bool
    group: int
    name: str
    dtype: torch.dtype
    dims: tuple[int, ...]
    stored_bytes: int | None

    @property
    def raw_bytes(self) -> int:
        """Length of the plane itself."""
        return math.prod(self.dims) * self.dtype.itemsize


def write_planes(keys: Planes, values: Planes, *, compress: bool) -> list[bytes | memoryview]:
    """The table and the payload; with ``compress`` each plane in the shorter of its two forms."""
    table, payload = [varint(len(keys) + len(values))], list[bytes | memoryview]()
    for tag, planes in ((0, keys), (_VALUES_BIT, values)):
        for plane in planes:
            stored: bytes | memoryview = _elements(plane)
            squeezed = zstd.compress(stored) if compress else None
            if squeezed is not None and len(squeezed) + len(varint(len(squeezed))) < len(stored):
                stored = squeezed
                table.append(_entry(plane, tag | _ZSTD) + varint(len(squeezed)))
            else:
                table.append(_entry(plane, tag | _RAW))
            payload.append(stored)
    return [*table, *payload]


def read_table(reader: Reader, max_planes: int, max_raw_bytes: int) -> list[Entry]:
    """Entries in their order; ``max_raw_bytes`` is what all compressed planes together may unpack to.

    Raises:
        DataLossError: An entry is not defined, too large, or out of order.
    """
    table = [_read_entry(reader, max_raw_bytes) for _ in range(reader.varint("planes", max_planes))]
    if table != sorted(table, key=lambda entry: (entry.is_values, entry.group)):
        raise DataLossError("planes of keys after those of values, or groups of heads out of order")
    unpacked = sum(entry.raw_bytes for entry in table if entry.stored_bytes is not None)
    if unpacked > max_raw_bytes:
        raise DataLossError(f"compressed planes unpack to {unpacked} bytes; the layer itself has {max_raw_bytes}")
    return table


def read_planes(reader: Reader, table: Iterable[Entry]) -> list[Plane]:
    """The planes, copied out of the reader's bytes.

    Raises:
        DataLossError: Bytes are missing, or do not unpack to the announced size.
    """
    return [_read_plane(reader, entry) for entry in table]


def entry_bytes(name: str, dims: tuple[int, ...]) -> int:
    """Length of a raw plane's row in the table."""
    return 2 + len(varint(len(name))) + len(name) + sum(len(varint(dim)) for dim in dims)


def _entry(plane: Plane, tag: int) -> bytes:
    dims = plane.data.shape
    name = plane.name.encode("ascii")
    kind = DTYPES.index(plane.data.dtype) | len(dims) << 4
    head = bytes([tag | plane.group << _GROUP_AT, kind]) + varint(len(name)) + name
    return head + b"".join(varint(dim) for dim in dims)


def _read_entry(reader: Reader, max_raw_bytes: int) -> Entry:
    tag = reader.byte("plane tag")
    encoding = tag & _ENCODING
    if encoding not in {_RAW, _ZSTD}:
        raise DataLossError(f"plane tag {tag:#04x} is not defined; this build reads raw and Zstandard planes")
    kind = reader.byte("plane type")
    code, ndim = kind & 0xF, kind >> 4
    if code >= len(DTYPES):
        raise DataLossError(f"plane type {code} is not defined; 0 to {len(DTYPES) - 1} are")
    name = bytes(reader.take(reader.varint("plane name length", 16, least=1), "plane name"))
    if not _NAME.fullmatch(name):
        raise DataLossError(f"plane name {name!r} is not a name")
    # An element takes a byte or more of the frame, or of what may be unpacked; only a lone dimension may be 0.
    top = max_raw_bytes if encoding == _ZSTD else len(reader.data)
    dims = tuple(reader.varint("plane dimension", top, least=int(ndim > 1)) for _ in range(ndim))
    stored = reader.varint("plane length", len(reader.data), least=1) if encoding == _ZSTD else None
    is_values, group = bool(tag & _VALUES_BIT), tag >> _GROUP_AT
    return Entry(is_values, group, name.decode("ascii"), DTYPES[code], dims, stored)


def _elements(plane: Plane) -> memoryview:
    flat = plane.data.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _read_plane(reader: Reader, entry: Entry) -> Plane:
    what = f"plane {entry.name!r}"
    if entry.stored_bytes is None:
        data: bytes | memoryview = reader.take(entry.raw_bytes, what)
    else:
        data = zstd.decompress(reader.take(entry.stored_bytes, what), entry.raw_bytes, what)
    flat = torch.empty(len(data), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(data, dtype=np.uint8)
    return Plane(entry.name, flat.view(entry.dtype).reshape(entry.dims), entry.group)

"""One layer's planes <-> one versioned, checksummed, self-describing byte string. docs/wire-format.md is normative."""

import math
import re
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec import selection
from codec.planes import TOKENS_PER_BYTE, Plane, Planes
from codec.spec import MAX_CHARACTERS, RopePhase
from codec.varint import Reader, varint
from kvwire.errors import BindingError, DataLossError

MAGIC = b"KVF"
VERSION = 1
_CRC_AT = len(MAGIC) + 1
_BODY_AT = _CRC_AT + 4

#: Codes of element types; a code is never given a second meaning.
DTYPES = (torch.uint8, torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn)

# The flags byte; bits from _UNDEFINED up are zero.
_POST_ROPE, _LAYER_SCOPE, _HEAD_SCOPE, _RUNS, _UNDEFINED = 1, 2, 4, 8, 16
_RAW = 0
_VALUES_BIT = 4
_NAME = re.compile(rb"[a-z][a-z0-9_]{0,15}")


@dataclass(frozen=True)
class Limits:
    """What a reader is ready to decode; a frame beyond it is refused before anything is allocated."""

    max_layers: int = 1024
    max_kv_heads: int = 1024
    max_head_dim: int = 4096
    max_tokens: int = 1 << 20
    max_planes: int = 256
    max_decoded_bytes: int = 1 << 30


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame's contents. ``slots`` is None (all tokens), ``(kept,)`` or ``(kv_heads, kept)``, ascending, int64."""

    spec: str
    layer: int
    kv_heads: int
    head_dim: int
    tokens: int
    rope: RopePhase
    slots: Tensor | None
    keys: Planes
    values: Planes

    @property
    def kept(self) -> int:
        """Tokens per head that the planes hold."""
        return self.tokens if self.slots is None else self.slots.shape[-1]

    @property
    def scope(self) -> str | None:
        """Whether the heads of the layer keep the same tokens; None if all are kept."""
        return None if self.slots is None else ("layer", "head")[self.slots.ndim - 1]


def write(frame: Frame) -> bytes:
    """The frame's bytes; equal frames give equal bytes."""
    flags, chosen = _write_slots(frame)
    header = b"".join(
        (
            _text(frame.spec),
            *(varint(count) for count in (frame.layer, frame.kv_heads, frame.head_dim, frame.tokens)),
            bytes([flags | (_POST_ROPE if frame.rope is RopePhase.POST else 0)]),
            chosen,
            varint(len(frame.keys) + len(frame.values)),
            *(_plane_entry(plane, 0) for plane in frame.keys),
            *(_plane_entry(plane, _VALUES_BIT) for plane in frame.values),
        )
    )
    parts: list[bytes | memoryview] = [header, *(_elements(plane) for plane in (*frame.keys, *frame.values))]
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join((MAGIC, bytes([VERSION]), crc.to_bytes(4, "little"), *parts))


def read(data: bytes | memoryview, limits: Limits) -> Frame:
    """Check and take apart a frame; its planes are copies and outlive ``data``.

    Raises:
        DataLossError: The bytes are not a whole, undamaged frame within the limits.
        BindingError: The frame is of another version.
    """
    reader = _checked_body(memoryview(data).cast("B"))
    spec = _read_spec(reader)
    layer = reader.varint("layer", limits.max_layers - 1)
    kv_heads = reader.varint("kv_heads", limits.max_kv_heads, least=1)
    head_dim = reader.varint("head_dim", limits.max_head_dim, least=1)
    tokens = reader.varint("tokens", limits.max_tokens, least=1)
    flags = reader.byte("flags")
    kept = reader.varint("kept", tokens, least=1) if flags & (_LAYER_SCOPE | _HEAD_SCOPE) else tokens
    _check_size(kv_heads, head_dim, kept, limits, len(reader.data))
    slots = _read_slots(reader, flags, kv_heads, kept, tokens)
    table = [_read_entry(reader) for _ in range(reader.varint("planes", limits.max_planes))]
    planes = [(is_values, _read_plane(reader, name, dtype, dims)) for is_values, name, dtype, dims in table]
    if reader.left or table != sorted(table, key=lambda entry: entry[0]):
        raise DataLossError(f"{reader.left} bytes after the last plane, or planes of keys after those of values")
    return Frame(
        spec=spec,
        layer=layer,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tokens=tokens,
        rope=RopePhase.POST if flags & _POST_ROPE else RopePhase.PRE,
        slots=slots,
        keys=tuple(plane for is_values, plane in planes if not is_values),
        values=tuple(plane for is_values, plane in planes if is_values),
    )


def _checked_body(data: memoryview) -> Reader:
    if len(data) < _BODY_AT or bytes(data[: len(MAGIC)]) != MAGIC:
        raise DataLossError(f"{len(data)} bytes beginning {bytes(data[:4])!r} are no frame; it begins {MAGIC!r}")
    if data[len(MAGIC)] != VERSION:
        raise BindingError(f"frame version {data[len(MAGIC)]}, this build reads {VERSION}; upgrade the older side")
    stored = int.from_bytes(data[_CRC_AT:_BODY_AT], "little")
    actual = zlib.crc32(data[_BODY_AT:])
    if stored != actual:
        raise DataLossError(f"frame of {len(data)} bytes: checksum {actual:08x}, {stored:08x} written; send it again")
    return Reader(data[_BODY_AT:])


def _check_size(kv_heads: int, head_dim: int, kept: int, limits: Limits, frame_bytes: int) -> None:
    decoded = 2 * 4 * kv_heads * head_dim * kept
    if decoded > limits.max_decoded_bytes:
        raise DataLossError(
            f"{kv_heads} heads of {kept} tokens of {head_dim} values decode to {decoded} bytes; "
            f"this reader takes {limits.max_decoded_bytes}"
        )
    if kv_heads * kept > TOKENS_PER_BYTE * frame_bytes:
        raise DataLossError(
            f"{kv_heads} heads of {kept} tokens announced in {frame_bytes} bytes; a frame has a byte for every "
            f"{TOKENS_PER_BYTE} of them"
        )


def _text(text: str) -> bytes:
    encoded = text.encode("ascii")
    return varint(len(encoded)) + encoded


def _read_spec(reader: Reader) -> str:
    spec = bytes(reader.take(reader.varint("spec length", MAX_CHARACTERS, least=1), "spec"))
    if not spec.isascii():
        raise DataLossError(f"spec {spec!r} is not ASCII")
    return spec.decode("ascii")


def _write_slots(frame: Frame) -> tuple[int, bytes]:
    if frame.slots is None:
        return 0, b""
    scope = _LAYER_SCOPE if frame.slots.ndim == 1 else _HEAD_SCOPE
    runs = selection.write_runs(frame.slots, frame.tokens)
    bitmap = selection.write_bitmap(frame.slots, frame.tokens)
    flags, form = (scope | _RUNS, runs) if len(runs) <= len(bitmap) else (scope, bitmap)
    return flags, varint(frame.kept) + form


def _read_slots(reader: Reader, flags: int, kv_heads: int, kept: int, tokens: int) -> Tensor | None:
    scope, form = flags & (_LAYER_SCOPE | _HEAD_SCOPE), flags & _RUNS
    if flags >= _UNDEFINED or scope == _LAYER_SCOPE | _HEAD_SCOPE or (form and not scope):
        raise DataLossError(f"flags {flags:#04x} are not defined in version {VERSION}")
    if not scope:
        return None
    rows = kv_heads if scope == _HEAD_SCOPE else 1
    slots = (selection.read_runs if form else selection.read_bitmap)(reader, rows, kept, tokens)
    return slots if scope == _HEAD_SCOPE else slots[0]


def _plane_entry(plane: Plane, tag: int) -> bytes:
    dims = plane.data.shape
    kind = DTYPES.index(plane.data.dtype) | len(dims) << 4
    return b"".join((bytes([tag | _RAW, kind]), _text(plane.name), *(varint(dim) for dim in dims)))


_Entry = tuple[bool, str, torch.dtype, tuple[int, ...]]


def _read_entry(reader: Reader) -> _Entry:
    tag = reader.byte("plane tag")
    if tag & ~_VALUES_BIT != _RAW:
        raise DataLossError(f"plane tag {tag:#04x} is not defined; this build reads raw planes of keys and values")
    kind = reader.byte("plane type")
    code, ndim = kind & 0xF, kind >> 4
    if code >= len(DTYPES):
        raise DataLossError(f"plane type {code} is not defined; 0 to {len(DTYPES) - 1} are")
    name = bytes(reader.take(reader.varint("plane name length", 16, least=1), "plane name"))
    if not _NAME.fullmatch(name):
        raise DataLossError(f"plane name {name!r} is not a name")
    # Every element takes a byte or more, so no dimension exceeds the frame; only a lone dimension may be 0.
    dims = tuple(reader.varint("plane dimension", len(reader.data), least=int(ndim > 1)) for _ in range(ndim))
    return bool(tag & _VALUES_BIT), name.decode("ascii"), DTYPES[code], dims


def _elements(plane: Plane) -> memoryview:
    flat = plane.data.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _read_plane(reader: Reader, name: str, dtype: torch.dtype, dims: tuple[int, ...]) -> Plane:
    stored = reader.take(math.prod(dims) * dtype.itemsize, f"plane {name!r}")
    flat = torch.empty(len(stored), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(stored, dtype=np.uint8)
    return Plane(name, flat.view(dtype).reshape(dims))

"""One layer's planes <-> one versioned, checksummed, self-describing byte string. docs/wire-format.md is normative."""

import zlib
from dataclasses import dataclass

from torch import Tensor

from codec import selection
from codec.entries import read_planes, read_table, write_planes
from codec.planes import TOKENS_PER_BYTE, Planes, nbytes
from codec.spec import MAX_CHARACTERS, Entropy, RopePhase
from codec.varint import Reader, varint
from kvwire.errors import BindingError, DataLossError

MAGIC = b"KVF"
VERSION = 1
_CRC_AT = len(MAGIC) + 1
_BODY_AT = _CRC_AT + 4

# The flags byte; bits from _UNDEFINED up are zero.
_POST_ROPE, _LAYER_SCOPE, _HEAD_SCOPE, _RUNS, _UNDEFINED = 1, 2, 4, 8, 16


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
    """A frame's contents. ``slots`` is None (all tokens), ``(kept,)`` or ``(kv_heads, kept)``, ascending, int64.

    ``entropy``: what the writer may try on planes; what a reader found on some of them.
    """

    spec: str
    layer: int
    kv_heads: int
    head_dim: int
    tokens: int
    rope: RopePhase
    slots: Tensor | None
    keys: Planes
    values: Planes
    entropy: Entropy = "none"

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
    parts = [_header(frame), *write_planes(frame.keys, frame.values, compress=frame.entropy == "zstd")]
    too_short = TOKENS_PER_BYTE * sum(map(len, parts)) < frame.kv_heads * frame.kept
    decoded = _decoded_bytes(frame.kv_heads, frame.head_dim, frame.kept)
    if too_short or nbytes(frame.keys) + nbytes(frame.values) > decoded:
        # What readers would refuse, because it promises too much for its length.
        parts = [parts[0], *write_planes(frame.keys, frame.values, compress=False)]
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join((MAGIC, bytes([VERSION]), crc.to_bytes(4, "little"), *parts))


def _header(frame: Frame) -> bytes:
    flags, chosen = _write_slots(frame)
    return b"".join(
        (
            _text(frame.spec),
            *(varint(count) for count in (frame.layer, frame.kv_heads, frame.head_dim, frame.tokens)),
            bytes([flags | (_POST_ROPE if frame.rope is RopePhase.POST else 0)]),
            chosen,
        )
    )


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
    decoded = _checked_size(kv_heads, head_dim, kept, limits, len(reader.data))
    slots = _read_slots(reader, flags, kv_heads, kept, tokens)
    table = read_table(reader, limits.max_planes, decoded)
    planes = read_planes(reader, table)
    if reader.left:
        raise DataLossError(f"{reader.left} bytes after the last plane")
    return Frame(
        spec=spec,
        layer=layer,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tokens=tokens,
        rope=RopePhase.POST if flags & _POST_ROPE else RopePhase.PRE,
        slots=slots,
        keys=tuple(plane for entry, plane in zip(table, planes, strict=True) if not entry.is_values),
        values=tuple(plane for entry, plane in zip(table, planes, strict=True) if entry.is_values),
        entropy="zstd" if any(entry.stored_bytes is not None for entry in table) else "none",
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


def _decoded_bytes(kv_heads: int, head_dim: int, kept: int) -> int:
    """Of keys and values in float32."""
    return 2 * 4 * kv_heads * head_dim * kept


def _checked_size(kv_heads: int, head_dim: int, kept: int, limits: Limits, frame_bytes: int) -> int:
    """Bytes that the layer decodes to."""
    decoded = _decoded_bytes(kv_heads, head_dim, kept)
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
    return decoded


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

"""Decodes a frame with the standard library and numpy, written from docs/wire-format.md and nothing else.

It shares no line with the package `codec`, so that where both give the same floats the document is enough to write a
third reader; its errors are its own for the same reason. Zstandard alone is borrowed. Planes of `rd` need a model's
tables, so what decodes them (standalone_rd.py) is passed in. `entropy=ans` is refused: the document reserves it.
"""

import itertools
import math
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

#: This reader's own limit on what a layer's keys and values decode to.
MOST_BYTES = 1 << 30

UINT8, INT8, FLOAT16, BFLOAT16, FLOAT32, FLOAT8 = range(6)
STORED_AS = {UINT8: "u1", INT8: "i1", FLOAT16: "<f2", BFLOAT16: "<u2", FLOAT32: "<f4", FLOAT8: "u1"}

NF4_LEVELS = np.array(
    [-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
     -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
     0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
    np.float32,
)  # fmt: skip
POSITIVE_HADAMARD_LEVELS = {
    2: [0.452780035, 1.510417608],
    3: [0.245094179, 0.756005281, 1.343909279, 2.151945705],
    4: [0.12839503, 0.388048299, 0.656759119, 0.942340456, 1.256231197, 1.618046386, 2.069017227, 2.732589571],
    5: [0.06588966, 0.19805183, 0.331378306, 0.466699523, 0.604933624, 0.747135704, 0.894565117, 1.04878332,
        1.211804381, 1.38634034, 1.576228079, 1.787233218, 2.028728399, 2.317739404, 2.691119577, 3.260732493],
}  # fmt: skip

# In canonical order; of the choices the first is the default, and a number stands for itself.
CENTER = ("auto", "channel", "none")
PARAMETERS: dict[str, dict[str, tuple[str, ...] | int]] = {
    "fp32": {},
    "fp16": {},
    "bf16": {},
    "fp8": {"per": ("head", "token")},
    "int8": {"per": ("token", "head"), "center": ("none", "auto", "channel")},
    "int4": {"block": 64, "center": CENTER},
    "nf4": {"block": 64, "center": CENTER},
    "kivi": {"bits": ("4", "2", "3"), "group": 32},
    "hadamard": {"bits": ("4", "2", "3", "5"), "center": CENTER},
    "omit": {},
}
LEAST = {"block": 1, "group": 3}
OPTIONS = re.compile(
    r"(\+keep=(?P<ratio>[0-9.e-]+)(,by=(?!recency\b)[a-z][a-z0-9_]*)?(?P<head>,scope=head)?(,sinks=[1-9][0-9]{0,8})?)?"
    r"(?P<pre>\+rope=pre)?(\+entropy=(?P<entropy>zstd|ans))?(\+mix=(?P<mix>[^+]+))?(\+of=latents)?",
)
_WHOLE = "(?:0|[1-9][0-9]{0,4})"
PART = re.compile(
    f"(?P<kind>[kv])?(L(?P<a>{_WHOLE})-(?P<b>{_WHOLE}))?(H(?P<c>{_WHOLE})-(?P<d>{_WHOLE}))?@(?P<base>.+)",
)


#: Decodes a plane of `rd`: its bytes; layer, and 0 for keys or 1 for values; D; positions (H, T).
Rd = Callable[[bytes, tuple[int, int], int, NDArray[np.int64]], Floats]
RD_PARAMETERS = ("bits", "quality", "step")


class DamagedError(Exception):
    """The bytes are no frame of version 1: DATA_LOSS in the document."""


class DisagreementError(Exception):
    """The frame may be sound, but it is of a version or a spec that this reader does not have."""


@dataclass(frozen=True)
class Layer:
    """What a frame says.

    keys, values: (kv_heads, kept, head_dim), float32. slots: the kept tokens' indices before pruning, (kept,) or
    (kv_heads, kept); None where nothing was pruned.
    """

    spec: str
    layer: int
    tokens: int
    keys_after_rope: bool
    slots: NDArray[np.int64] | None
    keys: Floats
    values: Floats


@dataclass(frozen=True)
class Base:
    """One codec. parameters: every one that it has, defaults filled in."""

    name: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class Part:
    """What a part of a mix covers (None and "": all of it; ends inclusive), and the base that codes it."""

    kind: str
    layers: tuple[int, int] | None
    heads: tuple[int, int] | None
    base: Base

    def rank(self) -> tuple[str, tuple[int, int], tuple[int, int]]:
        """Where the part stands among others; what covers all stands first."""
        return self.kind, self.layers or (-1, -1), self.heads or (-1, -1)

    def overlaps(self, other: "Part") -> bool:
        """Whether some head of some layer is covered by both."""
        ranges = ((self.layers, other.layers), (self.heads, other.heads))
        meet = (one is None or two is None or (one[0] <= two[1] and two[0] <= one[1]) for one, two in ranges)
        return (not self.kind or not other.kind or self.kind == other.kind) and all(meet)


@dataclass(frozen=True)
class Spec:
    """A canonical codec spec, taken apart."""

    base: Base
    scope: str | None
    pre_rope: bool
    entropy: str
    mix: tuple[Part, ...]


@dataclass(frozen=True)
class Entry:
    """A plane entry. stored_bytes: None where the plane is raw."""

    kind: str
    group: int
    name: str
    element: int
    dims: Shape
    stored_bytes: int | None

    @property
    def raw_bytes(self) -> int:
        """Length of the plane's content."""
        return math.prod(self.dims) * np.dtype(STORED_AS[self.element]).itemsize


def require(sound: bool, fault: str) -> None:  # noqa: FBT001  # reads as a sentence: require(x, "what is wrong")
    """Raise DamagedError unless sound."""
    if not sound:
        raise DamagedError(fault)


class Cursor:
    """Reads fields one after another and never past the end."""

    def __init__(self, data: bytes) -> None:
        """Stand before the first of `data`."""
        self.data = data
        self.at = 0

    def take(self, size_bytes: int) -> bytes:
        """Read that many bytes."""
        require(size_bytes <= len(self.data) - self.at, f"{size_bytes} bytes announced, fewer left at {self.at}")
        self.at += size_bytes
        return self.data[self.at - size_bytes : self.at]

    def varint(self, least: int = 0) -> int:
        """Read an unsigned LEB128 integer in its shortest form."""
        value = 0
        for place in range(5):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                require(place == 0 or byte > 0, "varint longer than need be")
                require(value >= least, f"{value} is below {least}")
                return value
        raise DamagedError("varint of more than 5 bytes")


class Planes:
    """Hands out one group's planes in order, each against the name, type and dims that the quantizer expects."""

    def __init__(self, entries: list[tuple[Entry, bytes]]) -> None:
        """Stand before the first entry and its content."""
        self.left = entries

    def take(self, name: str, element: int, *dims: int) -> NDArray[Any]:
        """Read the next plane; of float16, bfloat16 and float8 the float32 equals."""
        require(bool(self.left), f"no plane {name}")
        (found, content), self.left = self.left[0], self.left[1:]
        due = name, element, dims
        require((found.name, found.element, found.dims) == due, f"{found} where {due} is due")
        stored: NDArray[Any] = np.frombuffer(content, STORED_AS[element]).reshape(dims)
        if element in (UINT8, INT8):
            return stored
        if element == BFLOAT16:
            floats: Floats = (stored.astype(np.uint32) << 16).view(np.float32)
        elif element == FLOAT8:
            floats = E4M3[stored]
        else:
            floats = stored.astype(np.float32)
        require(bool(np.isfinite(floats).all()), f"NaN or infinity in plane {name}")
        return floats


def e4m3(code: int) -> float:
    """Value of an OCP E4M3 byte: 4 bits of exponent, bias 7, 3 of mantissa, subnormal where the exponent is 0."""
    if code & 0x7F == 0x7F:
        return math.nan
    exponent, mantissa = code >> 3 & 15, code & 7
    magnitude = math.ldexp(8 + mantissa, exponent - 10) if exponent else math.ldexp(mantissa, -9)
    return math.copysign(magnitude, -1 if code & 0x80 else 1)


E4M3 = np.array([e4m3(code) for code in range(256)], np.float32)


def unpack(q: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.intp]:
    """Take `count` codes of `bits` bits each out of a plane, (count,)."""
    return np.unpackbits(q, bitorder="little")[: count * bits].reshape(count, bits) @ (1 << np.arange(bits))


def plain(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:  # noqa: ARG001
    """Decode fp32, fp16 and bf16."""
    return planes.take("x", {"fp32": FLOAT32, "fp16": FLOAT16, "bf16": BFLOAT16}[base.name], *shape)


def scaled(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:  # noqa: ARG001
    """Decode int8 and fp8."""
    heads, tokens, _ = shape
    q = planes.take("q", {"int8": INT8, "fp8": FLOAT8}[base.name], *shape).astype(np.float32)
    s: Floats = planes.take("s", FLOAT16, heads, tokens if base.parameters["per"] == "token" else 1, 1)
    return q * s


def blocked(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:  # noqa: ARG001
    """Decode int4 and nf4."""
    heads, tokens, channels = shape
    block, count = int(base.parameters["block"]), math.prod(shape)
    codes = unpack(planes.take("q", UINT8, -(-count // 2)), count, 4).reshape(shape)
    s: Floats = planes.take("s", FLOAT16, heads, tokens, -(-channels // block))
    levels = NF4_LEVELS if base.name == "nf4" else np.arange(-8, 8, dtype=np.float32)
    return levels[codes] * s[:, :, np.arange(channels) // block]


def kivi(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:
    """Decode kivi: keys in rows of one channel, values in rows of one token."""
    heads, tokens, channels = shape
    rows, numbers = (channels, tokens) if kind == "keys" else (tokens, channels)
    bits, group = int(base.parameters["bits"]), int(base.parameters["group"])
    loose = numbers % group if numbers % group in (1, 2) else 0
    coded, groups = numbers - loose, -(-(numbers - loose) // group)
    parts = []
    if groups:
        count = heads * rows * coded
        codes = unpack(planes.take("q", UINT8, -(-count * bits // 8)), count, bits).reshape(heads, rows, coded)
        of_number = np.arange(coded) // group
        s, m = (planes.take(name, FLOAT16, heads, rows, groups)[:, :, of_number] for name in "sm")
        parts.append(codes.astype(np.float32) * s + m)
    if loose:
        parts.append(planes.take("r", FLOAT16, heads, rows, loose))
    x = np.concatenate(parts, axis=2)
    return x.transpose(0, 2, 1) if kind == "keys" else x


def turn(x: Floats) -> Floats:
    """Apply the orthonormal Walsh-Hadamard transform to the last axis, whose length is a power of two."""
    size = x.shape[-1]
    for span in (1 << round_ for round_ in range(size.bit_length() - 1)):
        pairs = x.reshape(*x.shape[:-1], size // (2 * span), 2, span)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        x = np.stack([first + second, first - second], axis=-2).reshape(x.shape)
    return x * np.float32(size**-0.5)


def signs(count: int) -> Floats:
    """Draw the first `count` signs of the document's generator, (count,)."""
    states = itertools.accumulate(range(count), lambda u, _: (1664525 * u + 1013904223) % 2**32, initial=0)
    return np.array([-1 if u >= 2**31 else 1 for u in itertools.islice(states, 1, None)], np.float32)


def hadamard(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:  # noqa: ARG001
    """Decode hadamard: levels times scale, turned back."""
    heads, tokens, channels = shape
    bits, count = int(base.parameters["bits"]), math.prod(shape)
    positive = np.array(POSITIVE_HADAMARD_LEVELS[bits], np.float32)
    codes = unpack(planes.take("q", UINT8, -(-count * bits // 8)), count, bits).reshape(shape)
    y = np.concatenate([-positive[::-1], positive])[codes] * planes.take("s", FLOAT16, heads, tokens, 1)
    power = 1 << channels.bit_length() - 1
    z, w = signs(2 * channels).reshape(2, channels)
    if power < channels:
        y = np.concatenate([y[..., : channels - power], turn(y[..., channels - power :])], axis=-1) * w
    return np.concatenate([turn(y[..., :power]), y[..., power:]], axis=-1) * z


def omit(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:  # noqa: ARG001
    """Zeros where nothing was sent."""
    return np.zeros(shape, np.float32)


DECODERS: dict[str, Callable[[Planes, Base, Shape, str], Floats]] = {
    "fp32": plain, "fp16": plain, "bf16": plain, "int8": scaled, "fp8": scaled, "int4": blocked, "nf4": blocked,
    "kivi": kivi, "hadamard": hadamard, "omit": omit,
}  # fmt: skip


def decode_group(planes: Planes, base: Base, shape: Shape, kind: str) -> Floats:
    """Decode the heads that one base codes, and add the means if they were sent apart."""
    x = DECODERS[base.name](planes, base, shape, kind)
    center = base.parameters.get("center", "none")
    if center == "channel" or (center == "auto" and planes.left):
        x = x + planes.take("m", FLOAT16, shape[0], 1, shape[2])
    require(not planes.left, f"a plane of the {kind} too many")
    return x


def groups(spec: Spec, layer: int, kind: str, heads: int) -> list[tuple[Base, list[int]]]:
    """Which heads share a tensor, and the base that codes it, in the order of the groups' numbers."""
    left, found = list(range(heads)), []
    for part in spec.mix:
        first, last = part.layers or (layer, layer)
        if first <= layer <= last and part.kind in ("", kind[0]):
            low, high = part.heads or (0, heads)
            found.append((part.base, [head for head in left if low <= head <= high]))
            left = [head for head in left if not low <= head <= high]
    return sorted(((base, own) for base, own in [*found, (spec.base, left)] if own), key=lambda group: group[1][0])


def decode_rd(
    planes: Planes, rd: Rd | None, layer: int, kind: str, channels: int, positions: NDArray[np.int64]
) -> Floats:
    """Decode the heads that `rd` codes."""
    (entry, content), *more = planes.left or [(None, b"")]
    require(entry is not None and not more, f"rd: one plane of the {kind} expected")
    planes.take("z", UINT8, len(content))
    if rd is None:
        raise DisagreementError("this reader was given no tables")
    return rd(content, (layer, int(kind == "values")), channels, positions)


def decode_kind(
    entries: list[tuple[Entry, bytes]],
    spec: Spec,
    layer: int,
    shape: Shape,
    kind: str,
    positions: NDArray[np.int64],
    rd: Rd | None,
) -> Floats:
    """Decode the keys or the values, (kv_heads, kept, head_dim)."""
    x = np.empty(shape, np.float32)
    cut = groups(spec, layer, kind, shape[0])
    mine = [entry for entry in entries if entry[0].kind == kind]
    require(all(entry.group < len(cut) for entry, _ in mine), f"{len(cut)} groups of {kind}, a plane of another")
    for number, (base, heads) in enumerate(cut):
        planes = Planes([entry for entry in mine if entry[0].group == number])
        own = (len(heads), *shape[1:])
        if base.name == "rd":
            x[heads] = decode_rd(planes, rd, layer, kind, shape[2], positions[heads])
        else:
            x[heads] = decode_group(planes, base, own, kind)
    return x


def parse_base(text: str) -> Base:
    """Take a base apart; DamagedError unless it is canonical."""
    name, colon, given = text.partition(":")
    if name == "rd":
        key, _, value = given.partition("=")
        require(key in RD_PARAMETERS and "," not in given and value != "", f"{text}: exactly one parameter")
        return Base(name, {key: value})
    require(name in PARAMETERS, f"no codec {name}")
    choices = PARAMETERS[name]
    parameters = {key: str(of[0] if isinstance(of, tuple) else of) for key, of in choices.items()}
    pairs = [pair.partition("=")[::2] for pair in given.split(",")] if colon else []
    named = [key for key, _ in pairs]
    require(named == [key for key in choices if key in named], f"{text}: parameters out of order or unknown")
    for key, value in pairs:
        of = choices[key]
        fits = value in of if isinstance(of, tuple) else bool(re.fullmatch("[1-9][0-9]{0,8}", value))
        require(fits and value != parameters[key], f"{text}: {key}={value} is no value, or the default")
        require(key not in LEAST or int(value) >= LEAST[key], f"{text}: {key} is too small")
        parameters[key] = value
    return Base(name, parameters)


def parse_part(text: str) -> Part:
    """Take a part of a mix apart; DamagedError unless it is canonical."""
    match = PART.fullmatch(text)
    if match is None or text.startswith("@"):
        raise DamagedError(f"{text}: no part of a mix")
    layers, heads = (
        (int(match[first]), int(match[last])) if match[first] else None for first, last in (("a", "b"), ("c", "d"))
    )
    require(all(ends is None or ends[0] <= ends[1] for ends in (layers, heads)), f"{text}: a range runs backwards")
    return Part(match["kind"] or "", layers, heads, parse_base(match["base"]))


def parse_spec(text: str) -> Spec:
    """Take a spec apart; DamagedError unless it is canonical."""
    leading, plus, options = text.partition("+")
    base = parse_base(leading)
    match = OPTIONS.fullmatch(plus + options)
    if match is None:
        raise DamagedError(f"{text}: options are not canonical")
    ratio = match["ratio"]
    if ratio:
        require(re.fullmatch(r"0\.[0-9]+|[1-9](\.[0-9]+)?e-[0-9]+", ratio) is not None, f"{text}: no ratio")
        require(0 < float(ratio) < 1 and repr(float(ratio)) == ratio, f"{text}: {ratio} is not its shortest form")
    scope = None if ratio is None else "head" if match["head"] else "layer"
    mix = tuple(parse_part(part) for part in match["mix"].split("/")) if match["mix"] else ()
    require(all(one.rank() < two.rank() for one, two in itertools.pairwise(mix)), f"{text}: parts out of order")
    require(not any(one.overlaps(two) for one, two in itertools.combinations(mix, 2)), f"{text}: parts overlap")
    require(all(part.base != base for part in mix), f"{text}: a part names the leading base")
    left_out = [part for part in mix if part.base.name == "omit" and part.heads is None]
    both = any(one.overlaps(replace(two, kind="")) for one, two in itertools.combinations(left_out, 2))
    require(all(part.kind for part in left_out) and not both, f"{text}: nothing of a layer is left")
    before_rope = base.name == "rd" or match["pre"] is not None
    require(base.name != "rd" or match["pre"] is None, f"{text}: rope=pre is what rd has by itself")
    return Spec(base, scope, before_rope, match["entropy"] or "none", mix)


def read_runs(cursor: Cursor, tokens: int, kept: int) -> list[int]:
    """Read one row of a selection written as gaps and runs."""
    row: list[int] = []
    at = 0
    while len(row) < kept:
        at += cursor.varint(least=1 if row else 0)
        run = cursor.varint(least=1)
        require(at + run <= tokens and len(row) + run <= kept, "a run beyond the tokens, or beyond those kept")
        row.extend(range(at, at + run))
        at += run
    return row


def read_bitmap(cursor: Cursor, tokens: int, kept: int) -> list[int]:
    """Read one row of a selection written as a bit for each token."""
    bits = np.unpackbits(np.frombuffer(cursor.take(-(-tokens // 8)), np.uint8), bitorder="little")
    row = [int(token) for token in np.flatnonzero(bits)]
    require(len(row) == kept and row[-1] < tokens, f"{len(row)} tokens kept in a row, {kept} announced")
    return row


def read_entry(cursor: Cursor) -> Entry:
    """Read a plane entry."""
    tag, element_and_rank = cursor.take(2)
    require(tag & 3 in (0, 1), f"plane tag {tag}")
    element, rank = element_and_rank & 15, element_and_rank >> 4
    require(element in STORED_AS, f"element type {element}")
    name = cursor.take(cursor.varint(least=1)).decode("latin-1")
    require(re.fullmatch("[a-z][a-z0-9_]{0,15}", name) is not None, f"plane name {name!r}")
    dims = tuple(cursor.varint(least=int(rank > 1)) for _ in range(rank))
    stored_bytes = cursor.varint(least=1) if tag & 3 else None
    return Entry("values" if tag & 4 else "keys", tag >> 3, name, element, dims, stored_bytes)


def read_content(cursor: Cursor, entry: Entry) -> bytes:
    """Read a plane from the payload; the caller has checked that its content is small enough to unpack."""
    if entry.stored_bytes is None:
        return cursor.take(entry.raw_bytes)
    stored = cursor.take(entry.stored_bytes)
    try:
        said = zstandard.get_frame_parameters(stored)
        require(said.content_size == entry.raw_bytes and said.dict_id == 0, f"{entry} does not unpack to its dims")
        content = zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedError(f"{entry}: {error}") from None
    require(len(content) == entry.raw_bytes, f"{entry} does not unpack to its dims")
    return content


def decode(frame: bytes, rd: Rd | None = None) -> Layer:
    """Decode one frame; `rd` decodes planes of that codec.

    Raises DamagedError where it breaks the document, DisagreementError where it is of another version or spec.
    """
    require(frame[:3] == b"KVF" and len(frame) > 8, "no frame")
    if frame[3] != 1:
        raise DisagreementError(f"frame version {frame[3]}, this reader has 1")
    require(struct.unpack("<I", frame[4:8])[0] == zlib.crc32(frame[8:]), "checksum differs")
    cursor = Cursor(frame[8:])
    spec_bytes = cursor.take(cursor.varint(least=1))
    require(len(spec_bytes) <= 512 and spec_bytes.isascii(), "spec is too long or not ASCII")
    layer = cursor.varint()
    heads, head_dim, tokens = (cursor.varint(least=1) for _ in range(3))
    flags = cursor.take(1)[0]
    pruned = flags & 6 != 0
    require(flags < 16 and flags & 6 != 6 and (pruned or not flags & 8), f"flags {flags:08b}")
    kept = cursor.varint(least=1) if pruned else tokens
    require(kept <= tokens and heads * kept <= 8 * len(cursor.data), f"{kept} tokens kept of {tokens}")
    slots = None
    if pruned:
        read_row = read_runs if flags & 8 else read_bitmap
        rows = np.array([read_row(cursor, tokens, kept) for _ in range(heads if flags & 4 else 1)], np.int64)
        slots = rows if flags & 4 else rows[0]
    entries = [read_entry(cursor) for _ in range(cursor.varint())]
    places = [(entry.kind, entry.group) for entry in entries]
    require(places == sorted(places), "planes out of order: keys before values, groups ascending")
    packed = [entry for entry in entries if entry.stored_bytes is not None]
    decoded_bytes = 8 * heads * kept * head_dim
    require(decoded_bytes <= MOST_BYTES, f"the layer decodes to {decoded_bytes} bytes, this reader takes {MOST_BYTES}")
    require(sum(entry.raw_bytes for entry in packed) <= decoded_bytes, "planes unpack to more than the layer")
    planes = [(entry, read_content(cursor, entry)) for entry in entries]
    require(cursor.at == len(cursor.data), "bytes after the last plane")
    text = spec_bytes.decode("ascii")
    spec = parse_spec(text)
    scope = {0: None, 2: "layer", 4: "head"}[flags & 6]
    require(spec.pre_rope != bool(flags & 1) and spec.scope == scope, "spec and flags differ")
    if spec.entropy == "ans":
        raise DisagreementError(f"{text}: this reader has no ANS")
    require(spec.entropy == "zstd" or not packed, "a Zstandard plane under a spec without")
    positions = np.broadcast_to(np.arange(kept) if slots is None else slots, (heads, kept))
    shape = (heads, kept, head_dim)
    keys, values = (decode_kind(planes, spec, layer, shape, kind, positions, rd) for kind in ("keys", "values"))
    return Layer(text, layer, tokens, bool(flags & 1), slots, keys, values)

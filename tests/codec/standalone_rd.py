"""Decodes planes of `rd` with numpy, written from docs/wire-format.md and nothing else; see standalone_decoder.py.

The tensors of the calibration come as a dict; how their file is laid out is safetensors' affair.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]
Bucket = tuple[int, int]  # zone and class
Place = tuple[int, int, int]  # head, token, coefficient


class DamagedPlaneError(Exception):
    """The bytes break the document."""


def require(sound: bool, fault: str) -> None:  # noqa: FBT001  # reads as a sentence: require(x, "what is wrong")
    """Raise DamagedPlaneError unless sound."""
    if not sound:
        raise DamagedPlaneError(fault)


class Words:
    """Interleaved rANS: states, then words."""

    def __init__(self, words: NDArray[np.uint16], lanes: int) -> None:
        """Read the states."""
        require(len(words) >= 2 * lanes, "no states")
        self.words = [int(word) for word in words]
        self.states = [self.words[2 * lane] | self.words[2 * lane + 1] << 16 for lane in range(lanes)]
        self.at = 2 * lanes

    def run(self, frequencies: NDArray[Any], length: int) -> list[int]:
        """Read the symbols of a run under a table, 0 to 255."""
        ends = np.cumsum(frequencies)
        symbols = []
        for i in range(length):
            lane = i % len(self.states)
            x = self.states[lane]
            symbol = int(np.searchsorted(ends, x % 4096, side="right"))
            f = int(frequencies[symbol])
            x = f * (x // 4096) + x % 4096 - (int(ends[symbol]) - f)
            if x < 1 << 16:
                require(self.at < len(self.words), "the words end in the middle")
                x = x << 16 | self.words[self.at]
                self.at += 1
            self.states[lane] = x
            symbols.append(symbol)
        return symbols

    def finish(self, escaped: int, end: int) -> list[int]:
        """Read the integers that escaped; `end` is how many words there are before the precise tokens."""
        require(all(state == 1 << 16 for state in self.states), "a state is not 2^16 in the end")
        require(self.at + escaped <= end, "integers that escaped are missing")
        rest = self.words[self.at : end]
        require(not any(rest[escaped:]), "words are left")
        return [word - (word >> 15 << 16) for word in rest[:escaped]]


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """IEEE 754's fusedMultiplyAdd in binary32: a product of two is exact in binary64, and so is what a sum loses.

    Rounding to odd where binary64 is inexact makes the second rounding, to binary32, the only one that counts.
    """
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + addend
    part = total - product
    lost = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    return np.where((lost != 0) & even, np.nextafter(total, towards), total).astype(np.float32)


def bits(n: int) -> int:
    """How many binary digits n has, 0 for 0."""
    return n.bit_length()


def bucket(symbol: int, position: int, last: int, classes: int, zones: int) -> Bucket | None:
    """Zone and class of a token; None if it travels precisely."""
    if symbol == classes:
        return None
    require(symbol < classes or (position == 0 and symbol <= 2 * classes), f"class symbol {symbol}")
    if symbol < classes and position == 0:
        return 0, symbol
    return min(zones - 1, 1 + bits(last - position)), symbol if symbol < classes else symbol - classes - 1


@dataclass(frozen=True)
class Half:
    """Tensors of one layer's keys or values, and the plane's step number."""

    tensors: Tensors
    here: tuple[int, int]
    k: int

    def of(self, name: str) -> NDArray[Any]:
        """A tensor without its first two axes."""
        found: NDArray[Any] = self.tensors[name][self.here]
        return found

    @property
    def classes(self) -> int:
        """C."""
        return len(self.tensors["class_shifts"])

    def table(self, h: int, zone: int, c: int, j: int) -> int:
        """Of a coefficient; negative if it is not sent."""
        s = int(self.of("first_scales" if zone == 0 else "scales")[h, j])
        shift = int(self.tensors["class_shifts"][c]) - (self.k - 128)
        return min((s + int(self.of("gains")[h, zone]) + shift + 50) // 4, len(self.tensors["frequencies"]) - 1)


def read_buckets(words: Words, half: Half, positions: NDArray[np.int64]) -> list[list[Bucket | None]]:
    """Zone and class of each token, by head."""
    heads, tokens = positions.shape
    said = np.array(words.run(half.tensors["class_frequencies"][half.here[1]], heads * tokens)) - 127
    require(bool((said >= 0).all()), "a class symbol below 0")
    zones, last = half.of("gains").shape[-1], int(positions.max())
    return [
        [bucket(int(said[h * tokens + t]), int(positions[h, t]), last, half.classes, zones) for t in range(tokens)]
        for h in range(heads)
    ]


def runs_of(own: list[list[Bucket | None]], half: Half, channels: int) -> dict[int, list[Place]]:
    """Head, token and coefficient of every symbol of each table's run."""
    runs: dict[int, list[Place]] = {}
    for h, row in enumerate(own):
        for zone, c in sorted({at for at in row if at is not None}):
            members = [t for t, at in enumerate(row) if at == (zone, c)]
            for j in range(channels):
                runs.setdefault(half.table(h, zone, c, j), []).extend((h, t, j) for t in members)
    return {table: runs[table] for table in sorted(runs) if table >= 0}


def restored(levels: Floats, half: Half, h: int, zone: int) -> Floats:
    """One token from its numbers y."""
    total = np.zeros(len(levels), np.float32)
    for j, level in enumerate(levels):
        total = fused(level, half.of("inverse")[h, j].astype(np.float32), total)
    step = np.float32(2.0 ** ((half.k - 128 - int(half.of("gains")[h, zone])) / 16))
    mean: Floats = half.of("first_means" if zone == 0 else "means")[h]
    return mean + step * total


def read_precise(tail: bytes, count: int, channels: int) -> Floats:
    """Tokens that travel as `int8` does."""
    s = np.frombuffer(tail[: 2 * count], "<f2").astype(np.float32)
    require(bool(np.isfinite(s).all()), "a precise token's scale is no number")
    codes = np.frombuffer(tail[2 * count :], "i1").reshape(count, channels)
    return codes.astype(np.float32) * s[:, None]


def decode_plane(
    z: bytes, tensors: Tensors, here: tuple[int, int], channels: int, positions: NDArray[np.int64]
) -> Floats:
    """Decode plane z: (H, T, D) float32. here: layer, and 0 for keys or 1 for values; positions: (H, T)."""
    require(len(z) > 0, "empty plane")
    half, shape = Half(tensors, here, z[0]), (*positions.shape, channels)
    words = Words(np.frombuffer(z[1 : len(z) - (len(z) - 1) % 2], "<u2"), 8 if math.prod(shape) >= 16384 else 1)
    own = read_buckets(words, half, positions)
    precise = [(h, t) for h, row in enumerate(own) for t, at in enumerate(row) if at is None]
    levels, escaped = np.zeros(shape, np.float32), []
    for table, places in runs_of(own, half, channels).items():
        for place, symbol in zip(places, words.run(tensors["frequencies"][table], len(places)), strict=True):
            levels[place] = tensors["levels"][table, symbol]
            escaped += [place] if symbol == 255 else []
    precise_bytes = len(precise) * (2 + channels)
    coded_bytes = len(z) - 1 - precise_bytes
    require(coded_bytes >= 0 and coded_bytes % 2 == 0, "no room for the precise tokens")
    for place, integer in zip(escaped, words.finish(len(escaped), coded_bytes // 2), strict=True):
        levels[place] = integer
    x = np.empty(shape, np.float32)
    for h, row in enumerate(own):
        for t, at in enumerate(row):
            if at is not None:
                x[h, t] = restored(levels[h, t], half, h, at[0])
    for place, token in zip(precise, read_precise(z[len(z) - precise_bytes :], len(precise), channels), strict=True):
        x[place] = token
    return x

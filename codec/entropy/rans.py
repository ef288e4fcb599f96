"""Interleaved range asymmetric numeral systems: runs of integers <-> 16-bit words, one static table per run.

A state is 32 bits, at least 2**16 between symbols; probabilities are multiples of 1/4096; words are 16 bits. Symbol i
of a run belongs to lane i mod lanes, all lanes share one stream of words. The encoder runs backwards through everything
the decoder will read, so encode the last batch first. An escaped integer follows its symbol as one raw word.

Source: J. Duda, "Asymmetric numeral systems", arXiv 1311.2540, section 3 (range variant); F. Giesen, "Interleaved
entropy coders", arXiv 1402.3392, section 4. The lanes and the raw escape words are as docs/wire-format.md says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.kernels.compile import loop, spliced
from kvwire.errors import DataLossError

#: A table's symbols are the integers -127 to 127 in order, then the escape.
OFFSET = 127
ESCAPE = 255
SYMBOLS = 256
PROBABILITY_BITS = 12
TOTAL = 1 << PROBABILITY_BITS
#: Words that a block of eight lanes may read past the end of a damaged stream before the check after it.
_PADDING = 32

Words = NDArray[np.uint16]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tables:
    """Integer distributions with what coding needs.

    frequencies: ``(tables, 256)``, uint32, each row summing to 4096 with an escape of at least 1.
    levels: ``(tables, 256)``, float32: the number a decoded symbol stands for.
    """

    frequencies: NDArray[np.uint32]
    levels: NDArray[np.float32]
    starts: NDArray[np.uint32]
    slots: NDArray[np.uint32]

    @classmethod
    def of(cls, frequencies: NDArray[np.uint32], levels: NDArray[np.float32]) -> "Tables":
        """Derive cumulative starts and the decoder's slots, frequency << 20 | offset in symbol << 8 | symbol."""
        ends = frequencies.cumsum(axis=1, dtype=np.uint32)
        starts = ends - frequencies
        slots = np.empty((len(frequencies), TOTAL), np.uint32)
        symbols = np.arange(SYMBOLS, dtype=np.uint32)
        for table, counts in enumerate(frequencies):
            symbol = np.repeat(symbols, counts)
            offset = np.arange(TOTAL, dtype=np.uint32) - starts[table][symbol]
            slots[table] = counts[symbol] << 20 | offset << 8 | symbol
        return cls(frequencies, levels, starts, slots)


class Encoder:
    """Writes batches of runs, the last one first; :meth:`finish` gives the words."""

    def __init__(self, lanes: int, max_symbols: int) -> None:
        # A symbol costs at most one word and its escape another; each lane leaves two.
        self._words = np.empty(2 * max_symbols + 2 * lanes, np.uint16)
        self._states = np.full(lanes, 1 << 16, np.uint32)
        self._at = len(self._words)

    def write(self, symbols: NDArray[np.int16], tables: Tables, run_tables: Counts, run_lengths: Counts) -> None:
        """Put ``symbols``, the runs one after another, before what was written so far."""
        self._at = _encode(
            symbols, tables.frequencies, tables.starts, run_tables, run_lengths, self._states, self._words, self._at
        )

    def finish(self) -> Words:
        """The states, lane 0 first and low word first, then everything written."""
        at = self._at - 2 * len(self._states)
        self._words[at : self._at] = self._states.view(np.uint16)
        return self._words[at:]


class Decoder:
    """Reads batches in the order opposite to their writing; :meth:`finish` checks that all was read.

    Raises:
        DataLossError: Words are missing, left over, or no encoder writes them.
    """

    def __init__(self, words: Words, lanes: int, owner: str) -> None:
        if len(words) < 2 * lanes:
            raise DataLossError(f"{owner}: {len(words)} words hold no {lanes} coder states; send the frame again")
        self._owner = owner
        self._states = words[: 2 * lanes].copy().view(np.uint32)
        self._words = np.concatenate((words, np.zeros(_PADDING, np.uint16)))
        self._length = len(words)
        self._at = 2 * lanes

    def read(self, tables: Tables, run_tables: Counts, run_lengths: Counts) -> NDArray[np.float32]:
        """The levels of all runs, one after another; an escaped integer stands for itself."""
        levels = np.empty(int(run_lengths.sum()), np.float32)
        self._at = _decode(
            self._words,
            self._at,
            self._length,
            tables.slots,
            tables.levels,
            run_tables,
            run_lengths,
            self._states,
            levels,
        )
        if self._at > self._length:
            raise DataLossError(f"{self._owner}: the coded words end in the middle; send the frame again")
        return levels

    def finish(self) -> None:
        """Refuse a stream that does not end here, but for zeros."""
        if self._words[self._at : self._length].any() or (self._states != 1 << 16).any():
            raise DataLossError(f"{self._owner}: the coded words do not end where they should; send the frame again")


@loop
def _encode(
    symbols: Any, frequencies: Any, starts: Any, run_tables: Any, run_lengths: Any, states: Any, words: Any, at: int
) -> int:
    mask = len(states) - 1
    end = len(symbols)
    for run in range(len(run_lengths) - 1, -1, -1):
        frequency, start = frequencies[run_tables[run]], starts[run_tables[run]]
        first = end - run_lengths[run]
        for i in range(end - 1, first - 1, -1):
            value = symbols[i]
            symbol = value + 127
            if symbol < 0 or symbol >= 255 or frequency[symbol] == 0:  # noqa: PLR2004  # the escape
                symbol = 255
                at -= 1
                words[at] = value & 0xFFFF
            share = frequency[symbol]
            x = states[(i - first) & mask]
            if x >= share << np.uint32(20):
                at -= 1
                words[at] = x & np.uint32(0xFFFF)
                x >>= np.uint32(16)
            quotient = x // share
            states[(i - first) & mask] = (quotient << np.uint32(12)) + (x - quotient * share) + start[symbol]
        end = first
    return at


@loop
def _decode(
    words: Any, at: int, end: int, slots: Any, levels: Any, run_tables: Any, run_lengths: Any, states: Any, out: Any
) -> int:
    mask = len(states) - 1
    first = 0
    for run in range(len(run_lengths)):
        slot, level = slots[run_tables[run]], levels[run_tables[run]]
        stop = first + run_lengths[run]
        i = first
        if mask == 7:  # noqa: PLR2004  # eight lanes
            at = _eights(words, at, end, slot, level, states, out, i, stop)
            i += run_lengths[run] // 8 * 8
        while i < stop and at <= end:
            lane = (i - first) & mask
            states[lane], at = _take(states[lane], slot[states[lane] & 0xFFF], words, at, level, out, i)
            i += 1
        if at > end:
            return at
        first = stop
    return at


@loop
def _eights(words: Any, at: int, end: int, slot: Any, level: Any, states: Any, out: Any, start: int, stop: int) -> int:
    """As many symbols as lanes make whole rounds of, all lanes in registers."""
    low, byte = np.uint32(0xFFF), np.uint32(255)
    x0, x1, x2, x3 = states[0], states[1], states[2], states[3]
    x4, x5, x6, x7 = states[4], states[5], states[6], states[7]
    for i in range(start, stop - 7, 8):
        e0, e1, e2, e3 = slot[x0 & low], slot[x1 & low], slot[x2 & low], slot[x3 & low]
        e4, e5, e6, e7 = slot[x4 & low], slot[x5 & low], slot[x6 & low], slot[x7 & low]
        s0, s1, s2, s3 = e0 & byte, e1 & byte, e2 & byte, e3 & byte
        s4, s5, s6, s7 = e4 & byte, e5 & byte, e6 & byte, e7 & byte
        if (s0 + 1 | s1 + 1 | s2 + 1 | s3 + 1 | s4 + 1 | s5 + 1 | s6 + 1 | s7 + 1) & 256:  # an escape among them
            states[0], states[1], states[2], states[3] = x0, x1, x2, x3
            states[4], states[5], states[6], states[7] = x4, x5, x6, x7
            for lane in range(8):
                states[lane], at = _take(states[lane], slot[states[lane] & low], words, at, level, out, i + lane)
            x0, x1, x2, x3 = states[0], states[1], states[2], states[3]
            x4, x5, x6, x7 = states[4], states[5], states[6], states[7]
        else:
            x0, at = _next(x0, e0, words, at)
            x1, at = _next(x1, e1, words, at)
            x2, at = _next(x2, e2, words, at)
            x3, at = _next(x3, e3, words, at)
            x4, at = _next(x4, e4, words, at)
            x5, at = _next(x5, e5, words, at)
            x6, at = _next(x6, e6, words, at)
            x7, at = _next(x7, e7, words, at)
            out[i], out[i + 1], out[i + 2], out[i + 3] = level[s0], level[s1], level[s2], level[s3]
            out[i + 4], out[i + 5], out[i + 6], out[i + 7] = level[s4], level[s5], level[s6], level[s7]
        if at > end:
            return at
    states[0], states[1], states[2], states[3] = x0, x1, x2, x3
    states[4], states[5], states[6], states[7] = x4, x5, x6, x7
    return at


@spliced
def _next(x: Any, entry: Any, words: Any, at: int) -> Any:
    """A lane's next state and the place of the next word."""
    x = (entry >> np.uint32(20)) * (x >> np.uint32(12)) + ((entry >> np.uint32(8)) & np.uint32(0xFFF))
    # Both ways are computed, so that the choice is no branch: nobody could predict it.
    refilled = (x << np.uint32(16)) | np.uint32(words[at])
    more = x < np.uint32(65536)
    x = refilled if more else x
    return x, at + more


@loop
def _take(x: Any, entry: Any, words: Any, at: int, level: Any, out: Any, i: int) -> Any:
    """The same for a symbol that may be an escape; puts its level."""
    x, at = _next(x, entry, words, at)
    symbol = entry & np.uint32(255)
    out[i] = level[symbol]
    if symbol == np.uint32(255):
        out[i] = np.int16(words[at])
        at += 1
    return np.uint32(x), at

"""Interleaved range asymmetric numeral systems: runs of integers <-> 16-bit words, one static table per run.

A state is 32 bits, at least 2**16 between symbols; probabilities are multiples of 1/4096; words are 16 bits. Symbol i
of a run belongs to lane i mod lanes, all lanes share one stream of words. The encoder runs backwards through everything
the decoder will read, so encode the last batch first. Escaped integers follow all words, one raw word each, in order.

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
#: A state below frequency x 2**20 is divided exactly by this reciprocal: its excess, state x 2**-44, is less than
#: 1 / frequency, for frequencies below 2**12; and the product fits 64 bits.
_RECIPROCAL_BITS = 44

Words = NDArray[np.uint16]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tables:
    """Integer distributions with what coding needs.

    frequencies: ``(tables, 256)``, uint32, each row summing to 4096 with an escape of at least 1.
    levels: ``(tables, 256)``, float32: the number a decoded symbol stands for; NaN for the escape.
    entries: ``(tables, 256)``, uint32: frequency << 16 | sum of the frequencies before.
    reciprocals: ``(tables, 256)``, uint64: 2**44 over the frequency, above.
    reaches: ``(tables, 2)``, int64: the integers around 0 that have a frequency, first and last; others escape.
    symbols: ``(tables, 4096)``, uint8: whose share a remainder is. With the entries, which are looked up next, it takes
    less of the nearest cache than one table of both, and runs are short: 1.7 ns a symbol, not 2.5 (2026-11-23).
    """

    frequencies: NDArray[np.uint32]
    levels: NDArray[np.float32]
    entries: NDArray[np.uint32]
    reciprocals: NDArray[np.uint64]
    reaches: NDArray[np.int64]
    symbols: NDArray[np.uint8]

    @classmethod
    def of(cls, frequencies: NDArray[np.uint32], levels: NDArray[np.float32]) -> "Tables":
        """Derive the others."""
        starts = frequencies.cumsum(axis=1, dtype=np.uint32) - frequencies
        entries = frequencies << np.uint32(16) | starts
        marked = np.where(np.arange(SYMBOLS) == ESCAPE, np.float32(np.nan), levels)
        reciprocals = np.uint64(1 << _RECIPROCAL_BITS) // np.maximum(frequencies, 1).astype(np.uint64) + np.uint64(1)
        down, up = (np.logical_and.accumulate(half > 0, axis=1).sum(axis=1) for half in _sides(frequencies))
        reaches = np.stack((1 - down, up - 1), axis=1)
        symbols = np.stack([np.repeat(np.arange(SYMBOLS, dtype=np.uint8), row) for row in frequencies])
        return cls(frequencies, marked, entries, reciprocals, reaches, symbols)


class Encoder:
    """Writes batches of runs, the last one first; :meth:`finish` gives the words."""

    def __init__(self, lanes: int, max_symbols: int) -> None:
        # A symbol costs at most one word, or is escaped; each lane leaves two.
        self._words = np.empty(max_symbols + 2 * lanes, np.uint16)
        self._escaped = np.empty(max_symbols, np.uint16)
        self._states = np.full(lanes, 1 << 16, np.uint32)
        self._at, self._escaped_at = len(self._words), max_symbols

    def write(self, symbols: NDArray[np.int16], tables: Tables, run_tables: Counts, run_lengths: Counts) -> None:
        """Put ``symbols``, the runs one after another, before what was written so far."""
        self._at, self._escaped_at = _encode(
            symbols,
            tables.entries,
            tables.reciprocals,
            tables.reaches,
            run_tables,
            run_lengths,
            self._states,
            self._words,
            self._at,
            self._escaped,
            self._escaped_at,
        )

    def finish(self) -> Words:
        """The states, lane 0 first and low word first, then everything written, then what escaped."""
        at = self._at - 2 * len(self._states)
        self._words[at : self._at] = self._states.view(np.uint16)
        return np.concatenate((self._words[at:], self._escaped[self._escaped_at :]))


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
        self._words = np.append(words, np.uint16(0))  # a word is read before it is known to be needed
        self._length = len(words)
        self._at = 2 * lanes

    def read(self, tables: Tables, run_tables: Counts, run_lengths: Counts, spare: int = 0) -> NDArray[np.float32]:
        """The levels of all runs, one after another, NaN where an integer escaped; then ``spare`` zeros."""
        total = int(run_lengths.sum())
        levels = np.empty(total + spare, np.float32)
        levels[total:] = 0
        self._at = _decode(
            self._words,
            self._at,
            self._length,
            tables.symbols,
            tables.entries,
            tables.levels,
            run_tables,
            run_lengths,
            self._states,
            levels,
        )
        if self._at > self._length:
            raise DataLossError(f"{self._owner}: the coded words end in the middle; send the frame again")
        return levels

    def end_at(self, length: int) -> None:
        """Of the words, only so many belong to the stream."""
        if length < self._at:
            raise DataLossError(f"{self._owner}: {length} coded words, {self._at} were read; send the frame again")
        self._length = length

    def finish(self, levels: NDArray[np.float32]) -> None:
        """Put what escaped into the last batch's ``levels``; refuse a stream that does not end there, but for zeros."""
        rest = self._words[self._at : self._length]
        escaped = _put_escaped(levels, rest.view(np.int16))
        if escaped > len(rest) or rest[escaped:].any() or (self._states != 1 << 16).any():
            raise DataLossError(f"{self._owner}: the coded words do not end where they should; send the frame again")


def _sides(frequencies: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Of 0 and the integers below it, downwards; and of 0 and those above."""
    return frequencies[:, OFFSET::-1], frequencies[:, OFFSET:ESCAPE]


@loop
def _encode(
    symbols: Any,
    entries: Any,
    reciprocals: Any,
    reaches: Any,
    run_tables: Any,
    run_lengths: Any,
    states: Any,
    words: Any,
    at: int,
    escaped: Any,
    escaped_at: int,
) -> Any:
    lanes = len(states)
    end = len(symbols)
    for r in range(len(run_lengths) - 1, -1, -1):
        entry, reciprocal = entries[run_tables[r]], reciprocals[run_tables[r]]
        run = symbols[end - run_lengths[r] : end]
        escaped_at = _escape(run, reaches[run_tables[r]], escaped, escaped_at)
        whole = len(run) - len(run) % lanes
        for i in range(len(run) - 1, whole - 1, -1):
            states[i - whole], at = _put(states[i - whole], run[i], entry, reciprocal, words, at)
        if lanes == 8:  # noqa: PLR2004  # eight lanes
            at = _put_eights(run[:whole], entry, reciprocal, states, words, at)
        else:
            for i in range(whole - 1, -1, -1):
                states[0], at = _put(states[0], run[i], entry, reciprocal, words, at)
        end -= len(run)
    return at, escaped_at


@loop
def _escape(run: Any, reach: Any, escaped: Any, at: int) -> int:
    """Move integers beyond the table's reach before those moved so far, and leave the escape in their places."""
    least = largest = np.int16(0)
    for i in range(len(run)):
        least, largest = min(least, run[i]), max(largest, run[i])
    if reach[0] <= least and largest <= reach[1]:
        return at
    for i in range(len(run) - 1, -1, -1):
        if not reach[0] <= run[i] <= reach[1]:
            at -= 1
            escaped[at] = run[i]
            run[i] = ESCAPE - OFFSET
    return at


@loop
def _put_eights(run: Any, entry: Any, reciprocal: Any, states: Any, words: Any, at: int) -> int:
    """Whole rounds of eight lanes, all of them in registers."""
    x0, x1, x2, x3 = states[0], states[1], states[2], states[3]
    x4, x5, x6, x7 = states[4], states[5], states[6], states[7]
    for back in range(8, len(run) + 1, 8):
        eight = run[len(run) - back :]
        x7, at = _put(x7, eight[7], entry, reciprocal, words, at)
        x6, at = _put(x6, eight[6], entry, reciprocal, words, at)
        x5, at = _put(x5, eight[5], entry, reciprocal, words, at)
        x4, at = _put(x4, eight[4], entry, reciprocal, words, at)
        x3, at = _put(x3, eight[3], entry, reciprocal, words, at)
        x2, at = _put(x2, eight[2], entry, reciprocal, words, at)
        x1, at = _put(x1, eight[1], entry, reciprocal, words, at)
        x0, at = _put(x0, eight[0], entry, reciprocal, words, at)
    states[0], states[1], states[2], states[3] = x0, x1, x2, x3
    states[4], states[5], states[6], states[7] = x4, x5, x6, x7
    return at


@spliced
def _put(x: Any, value: Any, entries: Any, reciprocals: Any, words: Any, at: int) -> Any:
    """A lane's state after a symbol, and the place of the last word written."""
    symbol = np.uint64(np.int64(value) + 127)  # unsigned, so that no index counts from the end
    entry = entries[symbol]
    share = entry >> np.uint32(16)
    # Written always and kept if it must be, so that the choice is no branch: nobody could predict it.
    words[np.uint64(at - 1)] = x
    full = x >= share << np.uint32(20)
    at -= full
    x = x >> np.uint32(16) if full else x
    quotient = np.uint32((np.uint64(x) * reciprocals[symbol]) >> np.uint64(44))
    return np.uint32(x + quotient * (np.uint32(4096) - share) + (entry & np.uint32(0xFFFF))), at


@loop
def _decode(
    words: Any,
    at: int,
    end: int,
    symbols: Any,
    entries: Any,
    levels: Any,
    run_tables: Any,
    run_lengths: Any,
    states: Any,
    out: Any,
) -> int:
    lanes = len(states)
    first = 0
    for r in range(len(run_lengths)):
        symbol, entry, level = symbols[run_tables[r]], entries[run_tables[r]], levels[run_tables[r]]
        run = out[first : first + run_lengths[r]]
        whole = 0
        if lanes == 8 and at + len(run) <= end:  # noqa: PLR2004  # eight lanes, and words enough for any symbols
            whole = len(run) // 8 * 8
            at = _take_eights(words, at, symbol, entry, level, states, run[:whole])
        for i in range(whole, len(run)):
            if at > end:
                return at
            lane = i & (lanes - 1)
            share = symbol[states[lane] & np.uint32(0xFFF)]
            states[lane], at = _take(states[lane], entry[share], words, at)
            run[i] = level[share]
        first += len(run)
    return at


@loop
def _take_eights(words: Any, at: int, symbol: Any, entry: Any, level: Any, states: Any, run: Any) -> int:
    """Whole rounds of eight lanes, all of them in registers."""
    low = np.uint32(0xFFF)
    x0, x1, x2, x3 = states[0], states[1], states[2], states[3]
    x4, x5, x6, x7 = states[4], states[5], states[6], states[7]
    for i in range(0, len(run), 8):
        s0, s1, s2, s3 = symbol[x0 & low], symbol[x1 & low], symbol[x2 & low], symbol[x3 & low]
        s4, s5, s6, s7 = symbol[x4 & low], symbol[x5 & low], symbol[x6 & low], symbol[x7 & low]
        x0, at = _take(x0, entry[s0], words, at)
        x1, at = _take(x1, entry[s1], words, at)
        x2, at = _take(x2, entry[s2], words, at)
        x3, at = _take(x3, entry[s3], words, at)
        x4, at = _take(x4, entry[s4], words, at)
        x5, at = _take(x5, entry[s5], words, at)
        x6, at = _take(x6, entry[s6], words, at)
        x7, at = _take(x7, entry[s7], words, at)
        run[i], run[i + 1], run[i + 2], run[i + 3] = level[s0], level[s1], level[s2], level[s3]
        run[i + 4], run[i + 5], run[i + 6], run[i + 7] = level[s4], level[s5], level[s6], level[s7]
    states[0], states[1], states[2], states[3] = x0, x1, x2, x3
    states[4], states[5], states[6], states[7] = x4, x5, x6, x7
    return at


@spliced
def _take(x: Any, entry: Any, words: Any, at: int) -> Any:
    """A lane's next state and the place of the next word."""
    x = (entry >> np.uint32(16)) * (x >> np.uint32(12)) + ((x & np.uint32(0xFFF)) - (entry & np.uint32(0xFFFF)))
    # Both ways are computed, so that the choice is no branch: nobody could predict it.
    refilled = (x << np.uint32(16)) | np.uint32(words[np.uint64(at)])
    more = x < np.uint32(65536)
    x = refilled if more else x
    return x, at + more


@loop
def _put_escaped(levels: Any, escaped: Any) -> int:
    """How many NaNs there are; each gets the next integer, while there are any."""
    found = 0
    for first in range(0, len(levels), 64):
        part = levels[first : first + 64]
        here = 0
        for i in range(len(part)):
            here += part[i] != part[i]  # only NaN is not itself
        if here > 0:
            for i in range(len(part)):
                if part[i] != part[i]:  # the same
                    part[i] = escaped[found] if found < len(escaped) else 0
                    found += 1
    return found

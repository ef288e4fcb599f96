"""Interleaved range asymmetric numeral systems: runs of integers <-> 16-bit words, one static table per run.

A state is 32 bits, at least 2**16 between symbols; probabilities are multiples of 1/4096; words are 16 bits. Symbol i
of a run belongs to lane i mod lanes, all lanes share one stream of words. The encoder runs backwards through everything
the decoder will read, so encode the last batch first. Escaped integers follow all words, one raw word each, in order.

Source: J. Duda, "Asymmetric numeral systems", arXiv 1311.2540, section 3 (range variant); F. Giesen, "Interleaved
entropy coders", arXiv 1402.3392, section 4. The lanes and the raw escape words are as docs/wire-format.md says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.entropy import rans_loops
from codec.entropy.rans_loops import ESCAPE, OFFSET
from kvwire.errors import DataLossError

SYMBOLS = 256
#: What the frequencies of a table sum to.
TOTAL = 1 << 12
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
        self._at, self._escaped_at = rans_loops.encode(
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
        self._at = rans_loops.decode(
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
        escaped = rans_loops.put_escaped(levels, rest.view(np.int16))
        if escaped > len(rest) or rest[escaped:].any() or (self._states != 1 << 16).any():
            raise DataLossError(f"{self._owner}: the coded words do not end where they should; send the frame again")


def _sides(frequencies: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Of 0 and the integers below it, downwards; and of 0 and those above."""
    return frequencies[:, OFFSET::-1], frequencies[:, OFFSET:ESCAPE]

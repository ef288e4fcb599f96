"""Loops of rANS: runs of integers under tables of entries, one after the other, through one lane or eight.

An entry is frequency << 16 | sum of the frequencies before; see ``codec.entropy.rans``.
"""

from typing import Any

import numpy as np

from codec.kernels.compile import loop, spliced

#: A table's symbols are the integers -127 to 127 in order, then the escape.
OFFSET = 127
ESCAPE = 255


@loop
def encode(
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
    """Write all runs, the last one first, before ``at`` and ``escaped_at``; where the first of each then stand."""
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
def decode(
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
    """Read all runs into ``out``, from ``at`` on; where the next word stands, beyond ``end`` if words are missing."""
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
def put_escaped(levels: Any, escaped: Any) -> int:
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

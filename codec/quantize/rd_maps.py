"""What the loops of ``rd`` know of a layer's keys or values at one step: arrays, and where a token belongs."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.kernels.compile import loop

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Maps(NamedTuple):
    """Of a :class:`~codec.quantize.rd_plane.Layout`. An axis of two is first tokens (position 0), then all others.

    A bucket is a zone and a class of energy: zone x classes + class. Zone 0 is of first tokens, zone 1 + k of those
    less than 2**k before the last and not less than half that.

    forward, inverse: ``(heads, dim, padded)``; means: ``(2, heads, dim)``; weights: ``(2, heads, padded)``; bounds:
    ``(2, heads, 2)``, energies of ordinary tokens; tops: ``(classes,)``, energies at which the next class begins.
    tables: ``(heads, buckets, dim)``, of each coefficient, negative if it is not sent; active: ``(heads, buckets)``,
    how many are, which come first; steps: ``(heads, buckets)``; roundings: ``(heads, buckets, dim)``.
    """

    forward: Floats
    inverse: Floats
    means: Floats
    weights: Floats
    bounds: Floats
    tops: Floats
    tables: Integers
    active: Integers
    steps: Floats
    roundings: Floats


@loop
def zone(before_last: Any, zones: Any) -> Any:
    """Of a token so many positions before the last, were it no first one: 1 + that number's length in bits."""
    exponent = (np.float64(before_last).view(np.int64) >> 52) - 1022  # of a fraction in [0.5, 1)
    found = 1 + exponent if exponent > 0 else 1
    return found if found < zones else zones - 1


@loop
def lay_out(classes: Any, positions: Any, maps: Maps, tables: int) -> Any:
    """Arrays, all int64: order, counts, starts, run tables, run lengths, precise.

    classes: ``(heads, tokens)`` class symbols: below C, the number of classes, that class; C, precise; C + 1 + class
    for a first token that is coded like the others. positions: alike, ascending. tables: how many there are.
    order: ``(heads, tokens)``, tokens by bucket, those of one in their order; counts: ``(heads, buckets)``, of tokens;
    starts: ``(heads, buckets, dim)``, a coefficient's first symbol; runs: one per table in use; precise:
    ``(2, tokens)``, heads and tokens.
    """
    heads, tokens = classes.shape
    buckets = maps.active.shape[1]
    order, counts = np.empty((heads, tokens), np.int64), np.zeros((heads, buckets + 1), np.int64)
    own, last = np.empty(tokens, np.int64), positions.max()
    for h in range(heads):
        for t in range(tokens):
            own[t] = _bucket(classes[h, t], positions[h, t], last, len(maps.tops), buckets)
        _sort(own, order[h], counts[h])
    coded = counts[:, :buckets].copy()
    lengths = np.zeros(tables, np.int64)
    _measure(coded, maps.active, maps.tables, lengths)
    starts = np.empty(maps.tables.shape, np.int64)
    _place(coded, maps.active, maps.tables, np.cumsum(lengths) - lengths, starts)
    precise, found = np.empty((2, counts[:, buckets].sum()), np.int64), 0
    for h in range(heads):
        for t in range(tokens - counts[h, buckets], tokens):
            precise[0, found], precise[1, found] = h, order[h, t]
            found += 1
    used = np.nonzero(lengths)[0]
    return order, coded, starts, used, lengths[used], precise


@loop
def _bucket(symbol: Any, position: Any, last: Any, kinds: int, buckets: int) -> Any:
    if symbol == kinds:
        return buckets
    if symbol < kinds and position == 0:
        return np.int64(symbol)
    return zone(last - position, buckets // kinds) * kinds + (symbol if symbol < kinds else symbol - kinds - 1)


@loop
def _sort(own: Any, order: Any, counts: Any) -> None:
    """Count tokens' buckets, and put the tokens in their order."""
    for t in range(len(own)):
        counts[own[t]] += 1
    ends = np.cumsum(counts) - counts
    for t in range(len(own)):
        order[ends[own[t]]] = t
        ends[own[t]] += 1


@loop
def _measure(counts: Any, active: Any, tables: Any, lengths: Any) -> None:
    for h in range(counts.shape[0]):
        for b in range(counts.shape[1]):
            if counts[h, b] > 0:
                for j in range(active[h, b]):
                    lengths[tables[h, b, j]] += counts[h, b]


@loop
def _place(counts: Any, active: Any, tables: Any, at: Any, starts: Any) -> None:
    for h in range(counts.shape[0]):
        for b in range(counts.shape[1]):
            if counts[h, b] > 0:
                for j in range(active[h, b]):
                    starts[h, b, j] = at[tables[h, b, j]]
                    at[tables[h, b, j]] += counts[h, b]

"""What the loops of ``rd`` know of a layer's keys or values at one step: arrays, and where a token belongs."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.kernels.compile import inlined, loop

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


@inlined
def zone(before_last: int, zones: int) -> int:
    """Of a token so many positions before the last, were it no first one: 1 + that number's length in bits."""
    exponent = (np.float64(before_last).view(np.int64) >> 52) - 1022  # of a fraction in [0.5, 1)
    return min(1 + max(exponent, 0), zones - 1)


@loop
def lay_out(classes: Any, positions: Any, maps: Maps, every: int) -> Any:
    """Arrays, all int64: order, counts, starts, run tables, run lengths, precise.

    classes: ``(heads, tokens)`` class symbols: below C, the number of classes, that class; C, precise; C + 1 + class for
    a first token that is coded like the others. positions: alike, ascending. every: how many tables there are.
    order: ``(heads, tokens)``, tokens by bucket, those of one in their order; counts: ``(heads, buckets)``, of tokens;
    starts: ``(heads, buckets, dim)``, a coefficient's first symbol; runs: one per table in use; precise:
    ``(2, tokens)``, heads and tokens.
    """
    heads, tokens = classes.shape
    kinds, buckets = len(maps.tops), maps.active.shape[1]
    order, counts = np.empty((heads, tokens), np.int64), np.zeros((heads, buckets + 1), np.int64)
    own, ends = np.empty(tokens, np.int64), np.empty(buckets + 1, np.int64)
    last = positions.max()
    for h in range(heads):
        for t in range(tokens):
            own[t] = _bucket(classes[h, t], positions[h, t], last, kinds, buckets)
            counts[h, own[t]] += 1
        total = 0
        for b in range(buckets + 1):
            ends[b] = total
            total += counts[h, b]
        for t in range(tokens):
            order[h, ends[own[t]]] = t
            ends[own[t]] += 1
    lengths = np.zeros(every, np.int64)
    for h in range(heads):
        for b in range(buckets):
            for j in range(maps.active[h, b] if counts[h, b] > 0 else 0):
                lengths[maps.tables[h, b, j]] += counts[h, b]
    starts, at = np.empty(maps.tables.shape, np.int64), np.cumsum(lengths) - lengths
    for h in range(heads):
        for b in range(buckets):
            for j in range(maps.active[h, b] if counts[h, b] > 0 else 0):
                table = maps.tables[h, b, j]
                starts[h, b, j] = at[table]
                at[table] += counts[h, b]
    precise, many = np.empty((2, counts[:, buckets].sum()), np.int64), 0
    for h in range(heads):
        for t in range(tokens - counts[h, buckets], tokens):
            precise[0, many], precise[1, many] = h, order[h, t]
            many += 1
    used = np.nonzero(lengths)[0]
    return order, counts[:, :buckets].copy(), starts, used, lengths[used], precise


@loop
def _bucket(symbol: int, position: int, last: int, kinds: int, buckets: int) -> int:
    if symbol == kinds:
        return buckets
    if symbol < kinds and position == 0:
        return np.int64(symbol)
    return zone(last - position, buckets // kinds) * kinds + (symbol if symbol < kinds else symbol - kinds - 1)

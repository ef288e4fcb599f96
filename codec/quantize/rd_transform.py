"""Loops of ``rd``: tokens' coefficients and classes, their symbols, and back; float32, sums in the order written.

Matrices are padded to whole tiles; coefficients are ``(heads, tokens, padded)`` float32.
"""

from typing import Any

import numpy as np

from codec.kernels.compile import loop, spliced
from codec.kernels.numbers import magnitude
from codec.kernels.tile import ROWS, WIDTH, multiply
from codec.quantize.rd_maps import Maps, zone

#: A coefficient that is not sent may lie this many steps from 0 before its token travels precisely.
DEAD_LIMIT_STEPS = np.float32(3)
_LIVE_LIMIT_STEPS = np.float32(32000)


@loop
def analyse(x: Any, positions: Any, maps: Maps, z: Any, energies: Any, classes: Any) -> None:
    """Fill in tokens' coefficients (x - means) forward, the weighted sums of their squares, and their class symbols.

    x: ``(heads, tokens, dim)`` float32; positions, energies, classes: ``(heads, tokens)`` int64, float32, uint8.
    A class is the first whose top the energy is below, or the number of classes for a token that must travel precisely:
    one whose energy is out of bounds, or one of whose coefficients is beyond what its bucket carries.
    """
    heads, tokens, dim = x.shape
    tops, bounds, kinds = maps.tops, maps.bounds, len(maps.tops)
    zones = maps.active.shape[1] // kinds
    rows, tile = np.empty(ROWS * dim, np.float32), np.empty(ROWS * WIDTH, np.float32)
    squares = np.empty((ROWS, WIDTH), np.float32)
    first_z, first_energy = np.empty((1, z.shape[2]), np.float32), np.empty(1, np.float32)
    last = positions.max()
    for h in range(heads):
        matrix, active, steps = maps.forward[h].reshape(dim * z.shape[2]), maps.active[h], maps.steps[h]
        for t in range(0, tokens, ROWS):
            many = min(ROWS, tokens - t)
            _center(x[h, t : t + many], maps.means[1, h], rows)
            _transform(rows, matrix, maps.weights[1, h], tile, squares, z[h, t : t + many], energies[h, t : t + many])
        for t in range(tokens):
            chosen = _class(energies[h, t], tops)
            at = zone(last - positions[h, t], zones) * kinds + chosen
            ordinary = bounds[1, h, 0] <= energies[h, t] <= bounds[1, h, 1]
            classes[h, t] = chosen if ordinary and _carried(z[h, t], active[at], steps[at]) else kinds
        if positions[h, 0] == 0:
            _center(x[h, :1], maps.means[0, h], rows)
            _transform(rows, matrix, maps.weights[0, h], tile, squares, first_z, first_energy)
            chosen = _class(first_energy[0], tops)
            ordinary = bounds[0, h, 0] <= first_energy[0] <= bounds[0, h, 1]
            if ordinary and _carried(first_z[0], active[chosen], steps[chosen]):
                z[h, 0], energies[h, 0], classes[h, 0] = first_z[0], first_energy[0], chosen
            elif classes[h, 0] < kinds:
                classes[h, 0] += kinds + 1


@spliced
def _center(x: Any, mean: Any, rows: Any) -> None:
    """Into a tile's rows; the last one again where there are fewer."""
    dim = len(mean)
    for r in range(ROWS):
        source, row = x[min(r, len(x) - 1)], rows[r * dim : (r + 1) * dim]
        for d in range(dim):
            row[d] = source[d] - mean[d]


@spliced
def _transform(rows: Any, matrix: Any, weight: Any, tile: Any, squares: Any, out: Any, energies: Any) -> None:
    padded = len(weight)
    dim = len(matrix) // padded
    squares[:] = np.float32(0)
    for first in range(0, padded, WIDTH):
        multiply(rows, dim, 1, matrix[first:], padded, dim, tile)
        share = weight[first : first + WIDTH]
        for r in range(len(out)):
            y, square = out[r, first : first + WIDTH], squares[r]
            for j in range(WIDTH):
                number = tile[r * WIDTH + j]
                y[j] = number
                square[j] += share[j] * (number * number)
    for r in range(len(out)):
        energies[r] = _sum(squares[r])


@spliced
def _sum(numbers: Any) -> Any:
    """By halves, so that several are added at a time."""
    width = WIDTH // 2
    while width > 0:
        for j in range(width):
            numbers[j] += numbers[j + width]
        width //= 2
    return numbers[0]


@spliced
def _class(energy: Any, tops: Any) -> Any:
    chosen = 0
    while chosen < len(tops) - 1 and energy >= tops[chosen]:
        chosen += 1
    return chosen


@loop
def _carried(row: Any, live: int, step: Any) -> Any:
    """Whether no coefficient is beyond what is sent of it; one that is no number shows in the energy."""
    return (
        _largest(row, 0, live) <= _LIVE_LIMIT_STEPS * step and _largest(row, live, len(row)) <= DEAD_LIMIT_STEPS * step
    )


@loop
def _largest(numbers: Any, first: int, last: int) -> Any:
    largest = np.uint32(0)  # magnitudes are ordered like their bits, and a maximum of those is found eight at a time
    for j in range(first, last):
        largest = max(largest, magnitude(numbers[j]))
    return np.uint32(largest).view(np.float32)


@loop
def symbols(z: Any, order: Any, counts: Any, starts: Any, maps: Maps, out: Any) -> None:
    """Each coefficient's integers, those of one head and bucket one after another from ``starts``.

    order, counts, starts: as :func:`~codec.quantize.rd_maps.lay_out` gives them; out: ``(symbols,)`` int16.
    """
    rounded = np.empty((ROWS, z.shape[2]), np.int16)
    for h in range(z.shape[0]):
        first = 0
        for b in range(counts.shape[1]):
            many, live = counts[h, b], maps.active[h, b]
            per_step, rounding = np.float32(1) / maps.steps[h, b], maps.roundings[h, b]
            for i in range(0, many, ROWS):
                rows = min(ROWS, many - i)
                for r in range(rows):
                    _round(z[h, order[h, first + i + r], :live], per_step, rounding, rounded[r])
                for j in range(live):
                    run = out[starts[h, b, j] + i :]
                    for r in range(rows):
                        run[r] = rounded[r, j]
            first += many


@spliced
def _round(row: Any, per_step: Any, rounding: Any, out: Any) -> None:
    for j in range(len(row)):
        steps = row[j] * per_step
        out[j] = np.int32(steps + rounding[j]) if steps >= 0 else np.int32(steps - rounding[j])


@loop
def restore(levels: Any, order: Any, counts: Any, starts: Any, maps: Maps, out: Any) -> None:
    """The inverse of :func:`symbols` and :func:`analyse`: ``out`` = means + step x (levels inverse).

    levels: ``(symbols + ROWS,)`` float32, the last without meaning; out: ``(heads, tokens, dim)`` float32. Precise
    tokens are left as they are.
    """
    dim, padded = out.shape[2], maps.inverse.shape[2]
    rows, tile = np.empty(ROWS * dim, np.float32), np.empty(ROWS * WIDTH, np.float32)
    for h in range(out.shape[0]):
        matrix = maps.inverse[h].reshape(dim * padded)
        first = 0
        for b in range(counts.shape[1]):
            many, live, mean = counts[h, b], maps.active[h, b], maps.means[min(b // len(maps.tops), 1), h]
            for i in range(0, many, ROWS):
                for j in range(live):
                    column, run = rows[j * ROWS : (j + 1) * ROWS], levels[starts[h, b, j] + i :]
                    for r in range(ROWS):
                        column[r] = run[r]
                tokens = order[h, first + i : first + min(i + ROWS, many)]
                _inverse(rows, live, matrix, padded, maps.steps[h, b], mean, tile, tokens, out[h])
            first += many


@spliced
def _inverse(
    rows: Any, live: int, matrix: Any, padded: int, step: Any, mean: Any, tile: Any, tokens: Any, out: Any
) -> None:
    for first in range(0, len(mean), WIDTH):
        if live == 0:
            tile[:] = np.float32(0)
        else:
            multiply(rows, 1, ROWS, matrix[first:], padded, live, tile)
        offset = mean[first : first + WIDTH]
        for r in range(len(tokens)):
            y, sums = out[tokens[r], first : first + WIDTH], tile[r * WIDTH : (r + 1) * WIDTH]
            for j in range(len(offset)):
                y[j] = offset[j] + step * sums[j]

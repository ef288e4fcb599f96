"""Loops of ``rd``: a token's coefficients, their symbols, and back. Sums run in the order written, in float32.

Matrices are ``(heads, dim, padded)`` float32, their columns padded to whole tiles.
"""

from typing import Any

import numpy as np

from codec.kernels.compile import loop
from codec.kernels.numbers import magnitude
from codec.kernels.tile import ROWS, WIDTH, multiply


@loop
def coefficients(x: Any, means: Any, forward: Any, weights: Any, out: Any, energies: Any) -> None:
    """``out`` = (x - means) forward per head, and each token's sum of weighted squares.

    x: ``(heads, tokens, dim)``; means: ``(heads, dim)``; weights: ``(heads, padded)``; energies: ``(heads, tokens)``;
    out: ``(heads, tokens, padded)``. All float32.
    """
    heads, tokens, dim = x.shape
    padded = forward.shape[2]
    rows, tile = np.empty(ROWS * dim, np.float32), np.empty(ROWS * WIDTH, np.float32)
    squares = np.empty((ROWS, WIDTH), np.float32)
    for h in range(heads):
        matrix, mean = forward[h].reshape(dim * padded), means[h]
        for t in range(0, tokens, ROWS):
            many = min(ROWS, tokens - t)
            for r in range(ROWS):
                source, row = x[h, t + min(r, many - 1)], rows[r * dim : (r + 1) * dim]
                for d in range(dim):
                    row[d] = source[d] - mean[d]
            squares[:] = np.float32(0)
            for first in range(0, padded, WIDTH):
                multiply(rows, dim, 1, matrix[first:], padded, dim, tile)
                weight = weights[h, first : first + WIDTH]
                for r in range(many):
                    y, square = out[h, t + r, first : first + WIDTH], squares[r]
                    for j in range(WIDTH):
                        number = tile[r * WIDTH + j]
                        y[j] = number
                        square[j] += weight[j] * (number * number)
            for r in range(many):
                energies[h, t + r] = _sum(squares[r])


@loop
def _sum(numbers: Any) -> Any:
    """By halves, so that several are added at a time."""
    width = WIDTH // 2
    while width > 0:
        for j in range(width):
            numbers[j] += numbers[j + width]
        width //= 2
    return numbers[0]


@loop
def classify(
    z: Any, energies: Any, bounds: Any, tops: Any, active: Any, dead_limit: Any, live_limit: Any, out: Any
) -> None:
    """Each token's class: the first whose top its energy is below, or the last plus one if it must travel precisely.

    That is a token whose energy is out of bounds, or one of whose coefficients is beyond what its class carries.
    z: ``(heads, tokens, padded)``; bounds: ``(heads, 2)``; tops: ``(classes,)``; active: ``(heads, classes)``, how many
    coefficients a class codes; out: ``(heads, tokens)`` uint8.
    """
    heads, tokens, dim = z.shape
    classes = len(tops)
    for h in range(heads):
        for t in range(tokens):
            energy = energies[h, t]
            chosen = 0
            while chosen < classes - 1 and energy >= tops[chosen]:
                chosen += 1
            # With a coefficient that is no number the energy is none, which is out of any bounds.
            carried = _largest(z[h, t], 0, active[h, chosen]) <= live_limit
            carried &= _largest(z[h, t], active[h, chosen], dim) <= dead_limit
            out[h, t] = chosen if carried and bounds[h, 0] <= energy <= bounds[h, 1] else classes


@loop
def _largest(numbers: Any, first: int, last: int) -> Any:
    largest = np.uint32(0)  # magnitudes are ordered like their bits, and a maximum of those is found eight at a time
    for j in range(first, last):
        largest = max(largest, magnitude(numbers[j]))
    return np.uint32(largest).view(np.float32)


@loop
def symbols(z: Any, order: Any, counts: Any, active: Any, per_step: Any, rounding: Any, out: Any) -> None:
    """Each head's classes' coefficients, in this order and largest deviation first, token after token, as integers.

    order: ``(heads, tokens)``, tokens by class; counts, active: ``(heads, classes)``; out: ``(symbols,)`` int16.
    """
    dim = z.shape[2]
    rounded = np.empty((ROWS, dim), np.int16)
    at = 0
    for h in range(z.shape[0]):
        first = 0
        for c in range(counts.shape[1]):
            many, live = counts[h, c], active[h, c]
            for i in range(0, many, ROWS):
                rows = min(ROWS, many - i)
                for r in range(rows):
                    row = z[h, order[h, first + i + r]]
                    whole = rounded[r]
                    for j in range(live):
                        steps = row[j] * per_step
                        whole[j] = np.int32(steps + rounding) if steps >= 0 else np.int32(steps - rounding)
                for j in range(live):
                    run = out[at + j * many + i :]
                    for r in range(rows):
                        run[r] = rounded[r, j]
            at += many * live
            first += many


@loop
def restore(levels: Any, order: Any, counts: Any, active: Any, inverse: Any, means: Any, step: Any, out: Any) -> None:
    """The inverse of :func:`symbols` and :func:`coefficients`: ``out`` = means + step x (levels inverse).

    levels: ``(symbols + ROWS,)`` float32, the last not read for what they say; out: ``(heads, tokens, dim)`` float32.
    Tokens of no class are left as they are.
    """
    dim, padded = out.shape[2], inverse.shape[2]
    tile = np.empty(ROWS * WIDTH, np.float32)
    at = 0
    for h in range(out.shape[0]):
        matrix = inverse[h].reshape(dim * padded)
        first = 0
        for c in range(counts.shape[1]):
            many, live = counts[h, c], active[h, c]
            for i in range(0, many, ROWS):
                for column in range(0, dim, WIDTH):
                    if live == 0:
                        tile[:] = np.float32(0)
                    else:
                        multiply(levels[at + i :], 1, many, matrix[column:], padded, live, tile)
                    wide = min(WIDTH, dim - column)
                    mean = means[h, column : column + wide]
                    for r in range(min(ROWS, many - i)):
                        y = out[h, order[h, first + i + r], column : column + wide]
                        for j in range(wide):
                            y[j] = mean[j] + step * tile[r * WIDTH + j]
            at += many * live
            first += many

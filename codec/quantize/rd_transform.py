"""Loops of ``rd``: a token's coefficients, their symbols, and back. Sums run in the order written, in float32."""

from typing import Any

import numpy as np

from codec.kernels.compile import loop


@loop
def coefficients(x: Any, means: Any, forward: Any, weights: Any, out: Any, energies: Any) -> None:
    """``out`` = (x - means) forward per head, and each token's sum of weighted squares.

    x, out: ``(heads, tokens, dim)``; means, weights: ``(heads, dim)``; forward: ``(heads, dim, dim)``; energies:
    ``(heads, tokens)``. All float32.
    """
    heads, tokens, dim = x.shape
    row = np.empty(dim, np.float32)
    whole = dim - dim % 8
    for h in range(heads):
        matrix, mean, weight = forward[h], means[h], weights[h]
        for t in range(tokens):
            y = out[h, t]
            for d in range(dim):
                row[d] = x[h, t, d] - mean[d]
                y[d] = np.float32(0)
            for d in range(0, whole, 8):
                _add_eight(y, row, matrix, d, dim)
            for d in range(whole, dim):
                for j in range(dim):
                    y[j] += row[d] * matrix[d, j]
            energies[h, t] = _energy(y, weight, dim, whole)


@loop
def _add_eight(y: Any, row: Any, matrix: Any, d: int, dim: int) -> None:
    a, b, c, e, f, g, h, i = row[d], row[d + 1], row[d + 2], row[d + 3], row[d + 4], row[d + 5], row[d + 6], row[d + 7]
    m0, m1, m2, m3 = matrix[d], matrix[d + 1], matrix[d + 2], matrix[d + 3]
    m4, m5, m6, m7 = matrix[d + 4], matrix[d + 5], matrix[d + 6], matrix[d + 7]
    for j in range(dim):
        total = (((y[j] + a * m0[j]) + b * m1[j]) + c * m2[j]) + e * m3[j]
        y[j] = (((total + f * m4[j]) + g * m5[j]) + h * m6[j]) + i * m7[j]


@loop
def _energy(y: Any, weight: Any, dim: int, whole: int) -> Any:
    parts = np.zeros(8, np.float32)
    for j in range(0, whole, 8):
        for lane in range(8):
            parts[lane] += weight[j + lane] * (y[j + lane] * y[j + lane])
    for j in range(whole, dim):
        parts[j - whole] += weight[j] * (y[j] * y[j])
    total = np.float32(0)
    for lane in range(8):
        total += parts[lane]
    return total


@loop
def classify(
    z: Any, energies: Any, bounds: Any, tops: Any, active: Any, dead_limit: Any, live_limit: Any, out: Any
) -> None:
    """Each token's class: the first whose top its energy is below, or the last plus one if it must travel precisely.

    That is a token whose energy is out of bounds, or one of whose coefficients is beyond what its class carries.
    z: ``(heads, tokens, dim)``; bounds: ``(heads, 2)``; tops: ``(classes,)``; active: ``(heads, classes)``, how many
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
            live = active[h, chosen]
            lost = 0
            for j in range(live):
                lost += not (abs(z[h, t, j]) <= live_limit)
            for j in range(live, dim):
                lost += not (abs(z[h, t, j]) <= dead_limit)
            ordinary = bounds[h, 0] <= energy <= bounds[h, 1]
            out[h, t] = chosen if ordinary and lost == 0 else classes


@loop
def symbols(z: Any, order: Any, counts: Any, active: Any, per_step: Any, rounding: Any, out: Any) -> None:
    """Each head's classes' coefficients, in this order and largest deviation first, token after token, as integers.

    order: ``(heads, tokens)``, tokens by class; counts, active: ``(heads, classes)``; out: ``(symbols,)`` int16.
    """
    at = 0
    for h in range(z.shape[0]):
        first = 0
        for c in range(counts.shape[1]):
            tokens = order[h, first : first + counts[h, c]]
            for i in range(len(tokens)):
                row = z[h, tokens[i]]
                place = at + i
                for j in range(active[h, c]):
                    size = np.int32(abs(row[j]) * per_step + rounding)
                    out[place] = size if row[j] >= 0 else -size
                    place += len(tokens)
            at += len(tokens) * active[h, c]
            first += counts[h, c]


@loop
def restore(levels: Any, order: Any, counts: Any, active: Any, inverse: Any, means: Any, step: Any, out: Any) -> None:
    """The inverse of :func:`symbols` and :func:`coefficients`: ``out`` = means + step x (levels inverse).

    levels: ``(symbols,)`` float32; inverse: ``(heads, dim, dim)``; out: ``(heads, tokens, dim)`` float32. Tokens of no
    class are left as they are.
    """
    dim = out.shape[2]
    row = np.empty(dim, np.float32)
    at = 0
    for h in range(out.shape[0]):
        matrix, mean = inverse[h], means[h]
        first = 0
        for c in range(counts.shape[1]):
            tokens = order[h, first : first + counts[h, c]]
            live = active[h, c]
            whole = live - live % 8
            for i in range(len(tokens)):
                y = out[h, tokens[i]]
                for j in range(live):
                    row[j] = levels[at + i + j * len(tokens)]
                for d in range(dim):
                    y[d] = np.float32(0)
                for j in range(0, whole, 8):
                    _add_eight(y, row, matrix, j, dim)
                for j in range(whole, live):
                    for d in range(dim):
                        y[d] += row[j] * matrix[j, d]
                for d in range(dim):
                    y[d] = mean[d] + step * y[d]
            at += len(tokens) * live
            first += counts[h, c]

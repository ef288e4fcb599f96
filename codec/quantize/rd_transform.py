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
    z: Any, energies: Any, bounds: Any, tops: Any, zones: Any, active: Any, dead_limits: Any, live_limits: Any, out: Any
) -> None:
    """Each token's class: the first whose top its energy is below, or the last plus one if it must travel precisely.

    That is a token whose energy is out of bounds, or one of whose coefficients is beyond what its class carries.
    z: ``(heads, tokens, dim)``; bounds: ``(heads, 2)``; tops: ``(classes,)``; zones, out: ``(heads, tokens)``; active,
    limits: ``(heads, buckets)``, how many coefficients a bucket codes and how large they and the others may be.
    """
    heads, tokens, dim = z.shape
    classes = len(tops)
    for h in range(heads):
        for t in range(tokens):
            energy = energies[h, t]
            chosen = 0
            while chosen < classes - 1 and energy >= tops[chosen]:
                chosen += 1
            bucket = zones[h, t] * classes + chosen
            live, live_limit, dead_limit = active[h, bucket], live_limits[h, bucket], dead_limits[h, bucket]
            lost = 0
            for j in range(live):
                lost += not (abs(z[h, t, j]) <= live_limit)
            for j in range(live, dim):
                lost += not (abs(z[h, t, j]) <= dead_limit)
            ordinary = bounds[h, 0] <= energy <= bounds[h, 1]
            out[h, t] = chosen if ordinary and lost == 0 else classes


@loop
def symbols(
    z: Any, order: Any, counts: Any, active: Any, starts: Any, per_steps: Any, roundings: Any, out: Any
) -> None:
    """Each coefficient's integers, those of one head and bucket one after another from ``starts``.

    order: ``(heads, tokens)``, tokens by bucket; counts, active, per_steps: ``(heads, buckets)``; starts, roundings:
    ``(heads, buckets, dim)``; out: ``(symbols,)`` int16.
    """
    for h in range(z.shape[0]):
        first = 0
        for b in range(counts.shape[1]):
            per_step = per_steps[h, b]
            for i in range(counts[h, b]):
                row = z[h, order[h, first + i]]
                for j in range(active[h, b]):
                    size = np.int32(abs(row[j]) * per_step + roundings[h, b, j])
                    out[starts[h, b, j] + i] = size if row[j] >= 0 else -size
            first += counts[h, b]


@loop
def restore(
    levels: Any,
    order: Any,
    counts: Any,
    active: Any,
    starts: Any,
    inverse: Any,
    means: Any,
    firsts: int,
    steps: Any,
    out: Any,
) -> None:
    """The inverse of :func:`symbols` and :func:`coefficients`: ``out`` = means + step x (levels inverse).

    levels: ``(symbols,)`` float32; inverse: ``(heads, dim, dim)``; means: ``(2, heads, dim)``, first those of the first
    buckets; steps: ``(heads, buckets)``; out: ``(heads, tokens, dim)`` float32. Precise tokens are left as they are.
    """
    dim = out.shape[2]
    row = np.empty(dim, np.float32)
    for h in range(out.shape[0]):
        matrix = inverse[h]
        first = 0
        for b in range(counts.shape[1]):
            live, step, mean = active[h, b], steps[h, b], means[0 if b < firsts else 1, h]
            whole = live - live % 8
            for i in range(counts[h, b]):
                y = out[h, order[h, first + i]]
                for j in range(live):
                    row[j] = levels[starts[h, b, j] + i]
                for d in range(dim):
                    y[d] = np.float32(0)
                for j in range(0, whole, 8):
                    _add_eight(y, row, matrix, j, dim)
                for j in range(whole, live):
                    for d in range(dim):
                        y[d] += row[j] * matrix[j, d]
                for d in range(dim):
                    y[d] = mean[d] + step * y[d]
            first += counts[h, b]

"""Seconds over a count: a fixed part, one for each that is counted, and one for its square; fitted, never negative.

Kernels are quicker with some counts than with others, a multiple of 16 say. So a curve also has how far off it is at
the counts that were measured; between them it is off by what lies between, beyond them by as much as at the last.
"""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from kvwire.errors import InvalidRequestError

#: A fixed part, one for each, and one for its square.
_TERMS = 3


@dataclass(frozen=True)
class Curve:
    """``fixed_s`` for a pass, ``each_s`` for every token in it, ``square_s`` for the square of a sequence's tokens.

    ``off``: counts in order, and by what all these are multiplied there. ``sequence_s`` for every sequence beside one.
    """

    fixed_s: float = 0.0
    each_s: float = 0.0
    square_s: float = 0.0
    off: tuple[tuple[float, float], ...] = ()
    sequence_s: float = 0.0

    def at(self, count: float) -> float:
        """Of one sequence."""
        return self.together((count,))

    def together(self, counts: Iterable[float]) -> float:
        """Of several sequences in one pass: they share what is fixed."""
        found = list(counts)
        total = sum(found)
        fitted = self.fixed_s + self.each_s * total + self.square_s * sum(count * count for count in found)
        return fitted * self._off(total) + self.sequence_s * (len(found) - 1)

    def _off(self, count: float) -> float:
        after = bisect(self.off, count, key=lambda point: point[0])
        near = self.off[max(0, after - 1) : after + 1]
        if not near:
            return 1.0
        (low, at_low), (high, at_high) = near[0], near[-1]
        if low == high or count <= low:
            return at_low
        return at_low + (at_high - at_low) * (count - low) / (high - low)


@dataclass(frozen=True)
class Fit:
    """A curve, and how far off the fitted part of it is where it misses a point most, as a share of that point."""

    curve: Curve
    worst: float


def fit(points: Sequence[tuple[float, float]], terms: int = _TERMS) -> Fit:
    """The curve of the first ``terms`` terms along (count, seconds), whose relative errors' squares sum to the least.

    ``points`` in the order of their counts, each count once.

    Terms that would be negative are left out: of all subsets of terms whose least-squares solution has none below 0,
    the best counts, which for so few terms is the solution under that bound.

    Raises:
        InvalidRequestError: No points, or a time that is not above 0.
    """
    if not points or min(seconds for _, seconds in points) <= 0:
        raise InvalidRequestError(f"{len(points)} points, all must have taken time; measure again")
    counts, seconds = (np.array(column) for column in zip(*points, strict=True))
    columns = np.stack([counts**power for power in range(terms)], axis=1) / seconds[:, None]
    best = (float("inf"), np.zeros(_TERMS))
    for kept in (list(each) for size in range(1, terms + 1) for each in combinations(range(terms), size)):
        found, *_ = np.linalg.lstsq(columns[:, kept], np.ones(len(points)))
        error = float(np.sum((columns[:, kept] @ found - 1) ** 2))
        if found.min() >= 0 and error < best[0]:
            best = (error, np.zeros(_TERMS))
            best[1][kept] = found
    fixed_s, each_s, square_s = best[1].tolist()
    curve = Curve(fixed_s, each_s, square_s)
    off = tuple((count, took / curve.at(count)) for count, took in points)
    return Fit(replace(curve, off=off), max(abs(1 / each - 1) for _, each in off))

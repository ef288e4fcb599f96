"""Seconds over a count: a fixed part, one for each that is counted, and one for its square; fitted, never negative."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kvwire.errors import InvalidRequestError


@dataclass(frozen=True)
class Curve:
    """``fixed_s`` for a pass, ``each_s`` for every token in it, ``square_s`` for the square of a sequence's tokens."""

    fixed_s: float = 0.0
    each_s: float = 0.0
    square_s: float = 0.0

    def at(self, count: float) -> float:
        """Of one sequence."""
        return self.together((count,))

    def together(self, counts: Iterable[float]) -> float:
        """Of several sequences in one pass: they share what is fixed."""
        found = list(counts)
        return self.fixed_s + self.each_s * sum(found) + self.square_s * sum(count * count for count in found)


@dataclass(frozen=True)
class Fit:
    """A curve, and how far the measured point that it misses most lies away from it, as a share of that point."""

    curve: Curve
    worst: float


def fit(points: Sequence[tuple[float, float]], terms: int = 3) -> Fit:
    """The curve of the first ``terms`` terms through (count, seconds), whose relative errors' squares sum to the least.

    Terms that would be negative are left out: of all subsets of terms whose least-squares solution has none below 0,
    the best counts, which for so few terms is the solution under that bound.

    Raises:
        InvalidRequestError: No points, or a time that is not above 0.
    """
    if not points or min(seconds for _, seconds in points) <= 0:
        raise InvalidRequestError(f"{len(points)} points, all must have taken time; measure again")
    counts, seconds = (np.array(column) for column in zip(*points, strict=True))
    columns = np.stack([counts**power for power in range(terms)], axis=1) / seconds[:, None]
    best = (float("inf"), np.zeros(terms))
    for kept in (list(each) for size in range(1, terms + 1) for each in combinations(range(terms), size)):
        found, *_ = np.linalg.lstsq(columns[:, kept], np.ones(len(points)))
        error = float(np.sum((columns[:, kept] @ found - 1) ** 2))
        if found.min() >= 0 and error < best[0]:
            best = (error, np.zeros(terms))
            best[1][kept] = found
    curve = Curve(*(float(term) for term in best[1]))
    return Fit(curve, max(abs(curve.at(count) / took - 1) for count, took in points))

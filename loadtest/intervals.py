"""Uncertainty of an accuracy, and percentiles of timings."""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from kvwire.errors import InvalidRequestError

_Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution: two-sided 95 %


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a sample, in the sample's unit."""

    p50: float
    p95: float
    p99: float


def wilson95(right: int, items: int) -> Interval:
    """The 95 % score interval of the share ``right / items``; sound for few items and for shares of 0 and 1.

    Source: E. B. Wilson, JASA 22 (1927) 209.

    Raises:
        InvalidRequestError: No items, or a count outside 0 to ``items``.
    """
    if items < 1 or not 0 <= right <= items:
        raise InvalidRequestError(f"{right} right of {items} items is no share; at least one item is needed")
    share, weight = right / items, _Z95**2 / items
    centre = (share + weight / 2) / (1 + weight)
    half = _Z95 * math.sqrt(share * (1 - share) / items + weight / (4 * items)) / (1 + weight)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def percentiles(values: Collection[float]) -> Percentiles | None:
    """p50, p95 and p99 with linear interpolation between neighbours (numpy's default); None of an empty sample."""
    if not values:
        return None
    p50, p95, p99 = np.percentile(np.fromiter(values, dtype=np.float64), (50, 95, 99))
    return Percentiles(float(p50), float(p95), float(p99))


def percentiles_ms(seconds: Collection[float]) -> dict[str, float] | None:
    """The same of times, in milliseconds and by name."""
    found = percentiles([1000 * each for each in seconds])
    return None if found is None else asdict(found)

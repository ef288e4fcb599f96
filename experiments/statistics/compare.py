"""Two arms on the same items, in numbers and in words."""

from typing import Literal, NamedTuple

import numpy as np

from experiments.statistics.bootstrap import Array, Bootstrap
from experiments.statistics.mcnemar import mcnemar
from experiments.statistics.power import detectable, detectable_share

Verdict = Literal["better", "worse", "not distinguishable"]

_LEVEL = 0.05


class Comparison(NamedTuple):
    """Mean difference per item, arm minus the other, and its 95 % interval; ``p`` is McNemar's for right and wrong.

    ``detectable`` is the smallest true difference that would have been found in 80 of 100 such experiments.
    """

    difference: float
    low: float
    high: float
    p: float | None
    verdict: Verdict
    detectable: float


def compare(
    bootstrap: Bootstrap, arm: Array, other: Array, *, binary: bool, higher_is_better: bool
) -> Comparison | None:
    """Compare on the items that both have a number for; None if there is none.

    Both: ``(items,)``. Right and wrong (``binary``: 1 and 0) is judged by McNemar's p below 0.05, anything else by an
    interval without 0. Nothing corrects for making many comparisons: of twenty equal arms one will look different.
    """
    found = bootstrap.mean(arm - other)
    if found is None:
        return None
    known = np.isfinite(arm) & np.isfinite(other)
    p = mcnemar(arm[known] == 1, other[known] == 1) if binary else None
    differs = found.excludes_zero if p is None else p < _LEVEL
    better = (found.value > 0) == higher_is_better
    verdict: Verdict = "not distinguishable" if not differs else "better" if better else "worse"
    error = bootstrap.standard_error(arm - other)
    smallest = detectable_share(error, found.items) if binary else detectable(error)
    return Comparison(found.value, found.low, found.high, p, verdict, smallest)

"""The bootstrap over items: intervals of means, of differences and of ratios, always from the same resamples.

Source: B. Efron, Annals of Statistics 7 (1979) 1; percentile intervals. Whole clusters are drawn where items share a
document: A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), chapter 3.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Ends of a 95 % interval then move by less than 2 % of its width from seed to seed.
RESAMPLES = 10_000


class Estimate(NamedTuple):
    """A value, its 95 % interval, and how many items it is of."""

    value: float
    low: float
    high: float
    items: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside of the interval."""
        return not self.low <= 0 <= self.high


class Bootstrap:
    """Resamples of a number of items, drawn once, so that every statistic of a run sees the same ones."""

    def __init__(self, items: int, seed: int, resamples: int = RESAMPLES) -> None:
        # How often each item is drawn in each resample is all that a mean needs to know of it.
        draws = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=resamples)
        self._draws: Array = draws.astype(np.float64)
        self._clusters = np.arange(items)

    @classmethod
    def of_clusters(cls, clusters: Sequence[str], seed: int) -> Self:
        """Resamples of clusters, whose items come and go together; the same as of items where each has its own.

        clusters: the name of each item's, ``(items,)``. Statistics are over items all the same.
        """
        places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
        found = cls(len(places), seed)
        found._clusters = np.array([places[name] for name in clusters])
        found._draws = found._draws.take(found._clusters, axis=1)
        return found

    def mean(self, values: Array) -> Estimate | None:
        """Mean over the items that have a number; None if none has. Of a difference of two arms it is paired.

        values: ``(items,)``.
        """
        return self.ratio(values, np.ones_like(values))

    def ratio(self, upper: Array, lower: Array) -> Estimate | None:
        """Sum of ``upper`` over sum of ``lower``, over the items that have both.

        Both: ``(items,)``. None where it makes no sense: no items, or the lower sum may as well be 0 or less.
        """
        known = np.isfinite(upper) & np.isfinite(lower)
        if not known.any():
            return None
        upper, lower = np.where(known, upper, 0.0), np.where(known, lower, 0.0)
        # Together, for what takes time is to read the draws.
        uppers, lowers, counts = (self._draws @ np.stack([upper, lower, known], axis=1)).T
        drawn = counts > 0
        if lower.sum() <= 0 or np.quantile(lowers[drawn], 0.025) <= 0:
            return None
        # Where both are counts, the lower ones of a few resamples cancel out; those have no quotient.
        drawn &= lowers != 0
        low, high = np.quantile(uppers[drawn] / lowers[drawn], (0.025, 0.975))
        return Estimate(float(upper.sum() / lower.sum()), float(low), float(high), int(known.sum()))

    def ratios(self, uppers: Array, lower: Array) -> tuple[Array, Array, Array]:
        """Values, lower and upper ends of many ratios with one ``lower``, each over the items that have both.

        uppers: ``(ratios, items)``. lower: ``(items,)``. Returns thrice ``(ratios,)``, NaN where it makes no sense.
        """
        known = np.isfinite(uppers) & np.isfinite(lower)
        uppers, lowers = np.where(known, uppers, 0.0), np.where(known, lower, 0.0)
        upper_sums, lower_sums = self._draws @ uppers.T, self._draws @ lowers.T
        with np.errstate(invalid="ignore", divide="ignore"):
            values = uppers.sum(axis=1) / lowers.sum(axis=1)
            drawn = np.where(lower_sums > 0, upper_sums / lower_sums, np.nan)
        # The one that looks for NaN is slower by far, and seldom needed.
        quantile = np.nanquantile if np.isnan(drawn).any() else np.quantile
        low, high = quantile(drawn, (0.025, 0.975), axis=0)
        return values, low, high

    def standard_error(self, values: Array) -> float:
        """Of the mean over the items that have a number; in closed form, what the spread of its resamples tends to.

        values: ``(items,)``.
        """
        known = np.isfinite(values)
        away = np.where(known, values - values[known].mean(), 0.0)
        return float(np.sqrt((np.bincount(self._clusters, away) ** 2).sum()) / known.sum())

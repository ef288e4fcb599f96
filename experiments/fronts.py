"""The Pareto fronts of a dataset: which arms have the most quality for their bytes, and how sure that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.curves import Row
from experiments.qualities import SHOWN, Quality
from experiments.results import DatasetResults
from experiments.statistics.bootstrap import Array, Bootstrap, Estimate
from experiments.statistics.front import Standing, pareto_front, standing


@dataclass(frozen=True)
class Place:
    """An arm on the front of its family; ``leading`` if it is on that of all caches as well.

    ``standing`` is towards all arms of other families, ``other`` the one of them that decides, with its bytes.
    """

    row: Row
    sent: float
    estimate: Estimate
    leading: bool
    standing: Standing | None
    other: tuple[Row, float] | None


@dataclass(frozen=True)
class Front:
    """All families' fronts of one quality, each by rising bytes. Only what sends a cache is on one."""

    dataset: str
    quality: Quality
    families: Mapping[str, tuple[Place, ...]]

    @property
    def leading(self) -> tuple[Place, ...]:
        """The front of all, by rising bytes."""
        places = (place for family in self.families.values() for place in family if place.leading)
        return tuple(sorted(places, key=lambda place: place.sent))


def bytes_of(row: Row, quality: Quality) -> float | None:
    """The bytes a quality is plotted against."""
    return row.costs.payload_bytes_per_token if quality.per_token else row.costs.wire_bytes


def fronts_of(dataset: DatasetResults, rows: Sequence[Row], seed: int) -> list[Front]:
    """One per quality that the dataset has; ``rows`` are all of that dataset."""
    bootstrap = Bootstrap.of_clusters(dataset.clusters, seed)
    found = (_Contest(dataset, rows, quality, bootstrap) for quality in SHOWN)
    return [contest.front() for contest in found if contest.rows]


class _Contest:
    """The arms of one dataset that send a cache, by one quality."""

    def __init__(self, dataset: DatasetResults, rows: Sequence[Row], quality: Quality, bootstrap: Bootstrap) -> None:
        self._dataset = dataset.name
        self._quality = quality
        self._bootstrap = bootstrap
        taking_part = [
            (row, sent, parts)
            for row in rows
            if row.arm.codec and not row.arm.is_control and quality.name in row.estimates
            if (sent := bytes_of(row, quality)) and (parts := quality.parts(dataset, row.arm))
        ]
        self.rows = [row for row, _, _ in taking_part]
        self._sent = [sent for _, sent, _ in taking_part]
        sign = 1 if quality.higher_is_better else -1
        self._uppers: Array = np.array([sign * upper for _, _, (upper, _) in taking_part])
        self._lower: Array = taking_part[0][2][1] if taking_part else np.empty(0)
        self._means = [sign * row.estimates[quality.name].value for row in self.rows]

    def front(self) -> Front:
        leading = set(pareto_front(self._sent, self._means))
        names = dict.fromkeys(row.arm.family for row in self.rows)
        return Front(self._dataset, self._quality, {name: tuple(self._places(name, leading)) for name in names})

    def _places(self, family: str, leading: set[int]) -> Iterator[Place]:
        own = [place for place, row in enumerate(self.rows) if row.arm.family == family]
        others = [place for place in range(len(self.rows)) if place not in own]
        for best in pareto_front([self._sent[place] for place in own], [self._means[place] for place in own]):
            arm = own[best]
            found = standing(self._bootstrap, arm, others, self._sent, self._uppers, self._lower)
            yield Place(
                row=self.rows[arm],
                sent=self._sent[arm],
                estimate=self.rows[arm].estimates[self._quality.name],
                leading=arm in leading,
                standing=found,
                other=(self.rows[found.other], self._sent[found.other]) if found else None,
            )

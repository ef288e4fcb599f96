"""A service's metrics as Prometheus would read them, at one moment."""

import urllib.request
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Scrape:
    """Values by name and labels."""

    values: Mapping[Series, float]

    @classmethod
    def of(cls, address: str) -> Self:
        """Ask ``host:port``."""
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:  # http only
            text = answer.read().decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return cls({(each.name, frozenset(each.labels.items())): each.value for each in samples})

    def since(self, earlier: Self) -> Self:
        """What was counted from then on."""
        return type(self)({series: value - earlier.values.get(series, 0.0) for series, value in self.values.items()})

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name with these labels."""
        return sum(value for (each, found), value in self.values.items() if each == name and labels.items() <= found)

    def mean(self, histogram: str, **labels: str) -> float:
        """Of all that a histogram observed."""
        return self.total(f"{histogram}_sum", **labels) / self.total(f"{histogram}_count", **labels)

    def buckets_apart(self, histogram: str, share: float, value: float, **labels: str) -> int:
        """How many buckets a value lies away from the one that holds this quantile of the histogram."""
        counts: dict[float, float] = {}
        for (name, found), count in self.values.items():
            if name == f"{histogram}_bucket" and labels.items() <= found:
                bound = float(dict(found)["le"])
                counts[bound] = counts.get(bound, 0.0) + count
        bounds = sorted(counts)
        rank = share * counts[bounds[-1]]
        here = next(index for index, bound in enumerate(bounds) if counts[bound] >= rank)
        return abs(bisect_left(bounds, value) - here)

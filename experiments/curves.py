"""The points of the curves: per dataset and arm, quality with its intervals, and what it cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experiments.arms import Arm
from experiments.metrics import NLL, Metric, metrics_of
from experiments.qualities import GAINS
from experiments.record import Record
from experiments.results import DatasetResults, Results
from experiments.statistics.bootstrap import Array, Bootstrap, Estimate
from experiments.statistics.compare import Comparison, compare
from experiments.statistics.gain import Quotient
from kvwire.requests import Method
from loadtest.intervals import percentiles, wilson95


@dataclass(frozen=True)
class Costs:
    """Means per request over the items answered; None where nothing was sent. Per token: of those the sharer read.

    Times: p50 in milliseconds over the items asked one by one, ``timed_items``; of the TTFT also the range.
    """

    wire_bytes: float | None
    wire_bytes_source: str
    payload_bytes: float | None
    bits_per_value: float | None
    payload_bytes_per_token: float | None
    timed_items: int
    ttft_ms: float | None
    ttft_least_ms: float | None
    ttft_most_ms: float | None
    e2e_ms: float | None

    @property
    def ttft_spread_ms(self) -> tuple[float, float, float] | None:
        """Median, least and most; None if nothing was timed."""
        if self.ttft_ms is None or self.ttft_least_ms is None or self.ttft_most_ms is None:
            return None
        return self.ttft_ms, self.ttft_least_ms, self.ttft_most_ms


@dataclass(frozen=True)
class Row:
    """One arm on one dataset: ``estimates`` by metric, ``versus`` by the other arm's name and metric."""

    dataset: str
    arm: Arm
    items: int
    failed: int
    estimates: Mapping[str, Estimate]
    versus: Mapping[str, Mapping[str, Comparison]]
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "dataset": self.dataset,
            "arm": self.arm.to_json(),
            "items": self.items,
            "failed": self.failed,
            "estimates": {name: estimate._asdict() for name, estimate in self.estimates.items()},
            "versus": {
                other: {metric: comparison._asdict() for metric, comparison in found.items()}
                for other, found in self.versus.items()
            },
            "costs": vars(self.costs),
        }


def rows_of(results: Results) -> list[Row]:
    """One row per dataset and arm, in the run's order; nothing of a dataset without answered items."""
    seed = int(results.run["seed"])
    return [row for dataset in results.datasets if dataset.items for row in _Rows(dataset, seed).all()]


class _Rows:
    """The arms of one dataset against one another, on one set of resamples."""

    def __init__(self, dataset: DatasetResults, seed: int) -> None:
        self._dataset = dataset
        self._bootstrap = Bootstrap.of_clusters(dataset.clusters, seed)
        opponents = (dataset.reference.name, "text", "receiver_only")
        self._opponents = [name for name in opponents if name in dataset.records]
        # The reference is asked by itself for every item, but beside other items' arms; those are no latencies.
        rounds = zip(*dataset.records.values(), strict=True)
        self._timed = {index for index, lines in enumerate(rounds) if all(map(_has_own_time, lines))}

    def all(self) -> list[Row]:
        return [self._row(arm) for arm in self._dataset.arms]

    def _row(self, arm: Arm) -> Row:
        records = self._dataset.records[arm.name]
        metrics = metrics_of([*self._dataset.records[self._opponents[0]], *records])
        return Row(
            dataset=self._dataset.name,
            arm=arm,
            items=len(records),
            failed=sum(record["error"] is not None for record in records),
            estimates=self._estimates(metrics, records) | self._gains(arm),
            versus={other: self._versus(arm, metrics, other) for other in self._opponents if other != arm.name},
            costs=_costs(arm, records, self._timed),
        )

    def _estimates(self, metrics: Sequence[Metric], records: Sequence[Record]) -> dict[str, Estimate]:
        found = {metric.name: self._estimate(metric, metric.values(records)) for metric in metrics}
        return {name: estimate for name, estimate in found.items() if estimate}

    def _estimate(self, metric: Metric, values: Array) -> Estimate | None:
        if not metric.binary:
            return self._bootstrap.mean(values)
        right = int(values.sum())
        return Estimate(right / len(values), *wilson95(right, len(values)), len(values))

    def _gains(self, arm: Arm) -> dict[str, Estimate]:
        found = {gain.name: self._ratio(gain.parts(self._dataset, arm)) for gain in GAINS}
        return {name: estimate for name, estimate in found.items() if estimate}

    def _ratio(self, parts: Quotient | None) -> Estimate | None:
        return self._bootstrap.ratio(*parts) if parts else None

    def _versus(self, arm: Arm, metrics: Sequence[Metric], other: str) -> dict[str, Comparison]:
        """Not by likelihood where the sharer answers: its tokens, and so likelihoods per token, are its own."""
        records, theirs = self._dataset.records[arm.name], self._dataset.records[other]
        found = {
            metric.name: compare(
                self._bootstrap,
                metric.values(records),
                metric.values(theirs),
                binary=metric.binary,
                higher_is_better=metric.higher_is_better,
            )
            for metric in metrics
            if metric.compared and not (metric is NLL and arm.at_sharer)
        }
        return {name: comparison for name, comparison in found.items() if comparison}


def _has_own_time(record: Record) -> bool:
    return record["measured"] is None or record["measured"]["ttft_ms"] is not None


def _costs(arm: Arm, records: Sequence[Record], which: Collection[int]) -> Costs:
    """``which`` items were timed: those of which every arm was asked by itself."""
    timed = [record["measured"] for index, record in enumerate(records) if index in which and record["measured"]]
    sent = [(record["bytes"], record["measured"]) for record in records if record["bytes"] and record["measured"]]
    moved = [counted for counted, _ in sent]
    isolated = all(measured["socket_isolated"] for _, measured in sent)
    values = sum(counted["values"] for counted in moved)
    payload = sum(counted["payload"] for counted in moved)
    tokens = sum(_source_tokens(arm, record["tokens"]) for record in records if record["bytes"] and record["tokens"])
    ttft = [measured["ttft_ms"] for measured in timed if measured["ttft_ms"] is not None]
    wire = [measured["socket_bytes"] if isolated else counted["grpc"] for counted, measured in sent]
    return Costs(
        wire_bytes=fmean(wire) if wire else None,
        wire_bytes_source="socket (TCP_INFO)" if isolated else "grpc messages; requests shared a connection",
        payload_bytes=payload / len(moved) if moved else None,
        bits_per_value=8 * payload / values if values else None,
        payload_bytes_per_token=payload / tokens if tokens else None,
        timed_items=len(ttft),
        ttft_ms=_p50(ttft),
        ttft_least_ms=min(ttft, default=None),
        ttft_most_ms=max(ttft, default=None),
        e2e_ms=_p50([measured["e2e_ms"] for measured in timed if measured["e2e_ms"] is not None]),
    )


def _source_tokens(arm: Arm, tokens: Mapping[str, int]) -> int:
    """Tokens of the sharer whose cache was sent: the context's, or in ``fuse`` all but the last, each with a slot.

    Slots are the receiver's tokens in ``prefix``: as many only where both models have one tokenizer.
    """
    if not arm.codec:
        return 0
    return tokens["slots" if arm.method is Method.FUSE else "context"]


def _p50(values: Sequence[float]) -> float | None:
    found = percentiles(values)
    return found.p50 if found else None

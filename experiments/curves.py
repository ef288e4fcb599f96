"""The points of the curves: per dataset and arm, quality with its intervals, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experiments.arms import Arm, wrong_name
from experiments.metrics import ACCURACY, NLL, Metric, metrics_of
from experiments.record import Record
from experiments.results import DatasetResults, Results
from experiments.statistics.bootstrap import Array, Bootstrap, Estimate
from experiments.statistics.compare import Comparison, compare
from experiments.statistics.gain import context_gain_retained, net_context_gain, net_gain_kept
from experiments.statistics.gap import gap_closed
from kvwire.requests import Method
from loadtest.intervals import percentiles, wilson95


@dataclass(frozen=True)
class Costs:
    """Means per request over the items answered; None where nothing was sent. Per token: of those the sharer read.

    Times: p50 in milliseconds over the items asked one by one.
    """

    wire_bytes: float | None
    wire_bytes_source: str
    payload_bytes: float | None
    bits_per_value: float | None
    payload_bytes_per_token: float | None
    ttft_ms: float | None
    e2e_ms: float | None


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
        reference = next(arm.name for arm in dataset.arms if arm.reference)
        self._opponents = [name for name in (reference, "text", "receiver_only") if name in dataset.records]

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
            estimates=self._estimates(metrics, records) | self._gap(arm) | self._gains(arm),
            versus={other: self._versus(arm, metrics, other) for other in self._opponents if other != arm.name},
            costs=_costs(arm, records),
        )

    def _estimates(self, metrics: Sequence[Metric], records: Sequence[Record]) -> dict[str, Estimate]:
        found = {metric.name: self._estimate(metric, metric.values(records)) for metric in metrics}
        return {name: estimate for name, estimate in found.items() if estimate}

    def _estimate(self, metric: Metric, values: Array) -> Estimate | None:
        if not metric.binary:
            return self._bootstrap.mean(values)
        right = int(values.sum())
        return Estimate(right / len(values), *wilson95(right, len(values)), len(values))

    def _gap(self, arm: Arm) -> dict[str, Estimate]:
        names = ("receiver_only", arm.name, "receiver_reads")
        if arm.wrong_context or not set(names) <= self._dataset.records.keys():
            return {}
        found = gap_closed(self._bootstrap, *(ACCURACY.values(self._dataset.records[name]) for name in names))
        return {"gap_closed": found} if found else {}

    def _gains(self, arm: Arm) -> dict[str, Estimate]:
        if arm.at_sharer:
            return {}
        nll = {name: NLL.values(self._dataset.records[name]) for name in self._dataset.records}
        found: dict[str, Estimate | None] = {}
        if not arm.wrong_context and {"receiver_only", "receiver_reads"} <= nll.keys():
            found["gain_retained"] = context_gain_retained(
                self._bootstrap, nll["receiver_only"], nll[arm.name], nll["receiver_reads"]
            )
        own, wrong_own, wrong = "receiver_reads", wrong_name("receiver_reads"), wrong_name(arm.name)
        if {own, wrong_own, wrong} <= nll.keys():
            found["net_gain"] = net_context_gain(self._bootstrap, nll[arm.name], nll[wrong], nll[own], nll[wrong_own])
            whole = self._opponents[0]
            if arm.codec:
                found["net_gain_kept"] = net_gain_kept(
                    self._bootstrap, nll[arm.name], nll[wrong], nll[whole], nll[wrong_name(whole)]
                )
        return {name: estimate for name, estimate in found.items() if estimate}

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


def _costs(arm: Arm, records: Sequence[Record]) -> Costs:
    timed = [record["measured"] for record in records if record["measured"]]
    sent = [(record["bytes"], record["measured"]) for record in records if record["bytes"] and record["measured"]]
    moved = [counted for counted, _ in sent]
    isolated = all(measured["socket_isolated"] for _, measured in sent)
    values = sum(counted["values"] for counted in moved)
    payload = sum(counted["payload"] for counted in moved)
    tokens = sum(_source_tokens(arm, record["tokens"]) for record in records if record["bytes"] and record["tokens"])
    wire = [measured["socket_bytes"] if isolated else counted["grpc"] for counted, measured in sent]
    return Costs(
        wire_bytes=fmean(wire) if wire else None,
        wire_bytes_source="socket (TCP_INFO)" if isolated else "grpc messages; requests shared a connection",
        payload_bytes=payload / len(moved) if moved else None,
        bits_per_value=8 * payload / values if values else None,
        payload_bytes_per_token=payload / tokens if tokens else None,
        ttft_ms=_p50([measured["ttft_ms"] for measured in timed if measured["ttft_ms"] is not None]),
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

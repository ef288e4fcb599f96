"""What arms are held against one another by, at the bytes they cost: means of metrics, and gains.

Each is a quotient of two sums over items, so that one bootstrap serves them all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.arms import Arm, wrong_name
from experiments.metrics import ACCURACY, EXACT, F1, KL, NLL, Metric
from experiments.results import DatasetResults
from experiments.statistics.bootstrap import Array
from experiments.statistics.gain import Quotient, context_gain_retained, net_context_gain, net_gain_kept
from experiments.statistics.gap import gap_closed


@dataclass(frozen=True)
class Quality:
    """One number per arm of a dataset; ``parts`` are None where the run has not what it takes.

    ``share`` is shown in percent, ``log`` plotted so. ``per_token`` counts payload bytes per token of the context,
    otherwise bytes are those of a request.
    """

    name: str
    label: str
    parts: Callable[[DatasetResults, Arm], Quotient | None]
    higher_is_better: bool = True
    share: bool = True
    log: bool = False
    per_token: bool = False

    @property
    def better(self) -> str:
        """Which way is up, in words."""
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def heading(self) -> str:
        """The label where a sentence begins."""
        return self.label[0].upper() + self.label[1:]


def _mean(metric: Metric) -> Quality:
    def parts(dataset: DatasetResults, arm: Arm) -> Quotient | None:
        values = metric.values(dataset.records[arm.name])
        return values, np.ones_like(values)

    return Quality(metric.name, metric.label, parts, metric.higher_is_better, metric.share, metric.log)


def _gap_closed(dataset: DatasetResults, arm: Arm) -> Quotient | None:
    names = ("receiver_only", arm.name, "receiver_reads")
    if arm.wrong_context or not set(names) <= dataset.records.keys():
        return None
    return gap_closed(*(ACCURACY.values(dataset.records[name]) for name in names))


def _gain_retained(dataset: DatasetResults, arm: Arm) -> Quotient | None:
    found = _nll(dataset, arm, "receiver_only", arm.name, "receiver_reads")
    return context_gain_retained(*found) if found and not arm.wrong_context else None


def _net_gain(dataset: DatasetResults, arm: Arm) -> Quotient | None:
    own = "receiver_reads"
    found = _nll(dataset, arm, arm.name, wrong_name(arm.name), own, wrong_name(own))
    return net_context_gain(*found) if found else None


def _net_gain_kept(dataset: DatasetResults, arm: Arm) -> Quotient | None:
    whole = dataset.reference.name
    found = _nll(dataset, arm, arm.name, wrong_name(arm.name), whole, wrong_name(whole))
    return net_gain_kept(*found) if found and arm.codec else None


def _nll(dataset: DatasetResults, arm: Arm, *names: str) -> tuple[Array, ...] | None:
    """None where one of them was not asked, or where the sharer answers: a likelihood per token of its own tokens."""
    if arm.at_sharer or not set(names) <= dataset.records.keys():
        return None
    return tuple(NLL.values(dataset.records[name]) for name in names)


GAINS = (
    Quality("gap_closed", "accuracy gap closed", _gap_closed),
    Quality("gain_retained", "context gain retained", _gain_retained),
    Quality("net_gain", "net context gain", _net_gain, per_token=True),
    Quality("net_gain_kept", "net gain kept of the uncompressed cache's", _net_gain_kept),
)

#: Those with figures and fronts. A gap closed is its accuracy on another scale, a net gain kept its net gain.
SHOWN = (_mean(ACCURACY), _mean(EXACT), _mean(F1), GAINS[2], GAINS[1], _mean(KL))

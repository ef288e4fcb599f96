"""What is measured of an answer: where it stands in a line, and how it is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.record import Record
from experiments.statistics.bootstrap import Array


@dataclass(frozen=True)
class Metric:
    """One number per item.

    ``key`` is its name in a line's ``result``, ``failure`` what a failed item counts as (None: it has no number, and
    the count of items says so). ``binary`` is right or wrong, ``share`` is shown in percent, ``log`` plotted so.
    ``compared`` says whether arms are compared by it; what is a distance to the reference already, is not.
    """

    name: str
    key: str
    label: str
    higher_is_better: bool
    failure: float | None = None
    binary: bool = False
    share: bool = False
    log: bool = False
    compared: bool = True

    def values(self, records: Sequence[Record]) -> Array:
        """``(items,)``, NaN where an item has no number."""
        return np.array([self._value(record) for record in records], dtype=np.float64)

    def _value(self, record: Record) -> float:
        value = self.failure if record["result"] is None else record["result"].get(self.key)
        return float("nan") if value is None else float(value)


ACCURACY = Metric("accuracy", "right", "accuracy", higher_is_better=True, failure=0, binary=True, share=True)
EXACT = Metric("exact_match", "exact", "exact match", higher_is_better=True, failure=0, binary=True, share=True)
F1 = Metric("f1", "f1", "F1", higher_is_better=True, failure=0, share=True)
NLL = Metric("nll_nats", "nll_nats", "NLL of the answer, nats per token", higher_is_better=False)
KL = Metric(
    "kl_nats", "kl_nats", "KL to the uncompressed cache, nats", higher_is_better=False, log=True, compared=False
)
TOP1 = Metric(
    "top1", "same_top1", "same most likely token", higher_is_better=True, failure=0, share=True, compared=False
)

METRICS = (ACCURACY, EXACT, F1, NLL, KL, TOP1)


def metrics_of(records: Sequence[Record]) -> tuple[Metric, ...]:
    """The metrics these lines have, in the order of ``METRICS``."""
    keys = {
        key for record in records if record["result"] for key, value in record["result"].items() if value is not None
    }
    return tuple(metric for metric in METRICS if metric.key in keys)

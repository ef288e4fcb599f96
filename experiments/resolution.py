"""The smallest difference between two codes that a number of items is expected to show, before any was asked.

How far items differ from one another is taken from runs we have published; what a run itself found is in its report's
intervals.
"""

from dataclasses import dataclass
from math import sqrt

from experiments.statistics.power import detectable, detectable_share

# Of one item, from 95 % intervals of docs/experiments.md (first-curve: int4 on 50 articles, KL 0.048 from 0.043 to
# 0.052, and on 200 questions, 0.087 from 0.077 to 0.097) and docs/fusers.md (net gain kept by nf4 on 60 articles, 92.9
# to 98.4 %). The KL is relative to itself.
_KL_OF_TEXT, _KL_OF_CHOICES, _NET_GAIN_KEPT = 0.34, 0.83, 0.11
# Of questions that only one of two codes gets right. No published run tells; one in ten is assumed.
_DIFFERING = 0.1


@dataclass(frozen=True)
class Resolution:
    """Shares: of the KL itself, of the net gain, and of questions right; None where a dataset has no such number."""

    kl: float | None
    net_gain: float | None
    accuracy: float | None

    def __str__(self) -> str:
        named = {"KL": self.kl, "net gain": self.net_gain, "accuracy": self.accuracy}
        return ", ".join(f"{name} {value:.0%}" for name, value in named.items() if value is not None)


def of_text(items: int, *, net_gain: bool) -> Resolution:
    """Continuations: KL decides, and net context gain where other contexts are asked too."""
    return Resolution(_detectable(_KL_OF_TEXT, items), _detectable(_NET_GAIN_KEPT, items) if net_gain else None, None)


def of_choices(items: int) -> Resolution:
    """Questions by likelihood: KL decides, and accuracy as far as McNemar's test can tell."""
    return Resolution(_detectable(_KL_OF_CHOICES, items), None, _accuracy(items))


def of_answers(items: int) -> Resolution:
    """Written answers: right or wrong."""
    return Resolution(None, None, _accuracy(items))


def _accuracy(items: int) -> float:
    return detectable_share(sqrt(_DIFFERING / items), items)


def _detectable(deviation: float, items: int) -> float:
    return detectable(deviation / sqrt(items))

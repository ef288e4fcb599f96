"""Sums a run up, in the words of ``kvwire loadtest``, and what only the inside of a system can tell."""

from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any

from loadtest.intervals import percentiles_ms
from simulation.compute import Compute
from simulation.receiver import Outcome
from simulation.system import Run


def summarize(run: Run, warm_up_s: float = 0.0) -> dict[str, Any]:
    """Of the requests due after ``warm_up_s``; a rate is per second from then until the last answer.

    ``utilisation``: the share of the whole run that a compute thread was busy, and a connection, mean and most of them.
    """
    counted = [each for each in run.outcomes if each.request.due_s >= warm_up_s]
    answered = [each for each in counted if each.first_token_s is not None]
    passes = sum(sharer.passes for sharer in run.sharers)
    steps = sum(receiver.decoder.passes for receiver in run.receivers)
    return {
        "requests": len(counted),
        "refused": len(counted) - len(answered),
        "answered_rps": len(answered) / (run.seconds - warm_up_s),
        "ttft_ms": percentiles_ms([each.first_token_s for each in answered if each.first_token_s is not None]),
        "e2e_ms": percentiles_ms([each.total_s for each in answered if each.total_s is not None]),
        "itl_ms": percentiles_ms([gap for each in answered for gap in each.gaps_s]),
        "bytes_per_request": fmean(each.nbytes for each in answered) if answered else None,
        "utilisation": {
            "sharers": _busy([each.compute for each in run.sharers], run.seconds),
            "receivers": _busy([each.compute for each in run.receivers], run.seconds),
            "links": _shares([each.busy_s / run.seconds for each in run.links]),
        },
        "link_bytes_per_s": _shares([each.nbytes / run.seconds for each in run.links]),
        "contexts_per_pass": sum(sharer.contexts for sharer in run.sharers) / passes if passes else None,
        "answers_per_step": sum(receiver.decoder.tokens for receiver in run.receivers) / steps if steps else None,
    }


def share_within(outcomes: Collection[Outcome], ttft_s: float) -> float:
    """The share of requests whose first token came within a time; refused ones are not among them."""
    met = sum(each.first_token_s is not None and each.first_token_s <= ttft_s for each in outcomes)
    return met / len(outcomes)


def _busy(computes: Sequence[Compute], seconds: float) -> dict[str, float]:
    return _shares([each.busy_s / seconds for each in computes])


def _shares(found: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(found), "most": max(found)}

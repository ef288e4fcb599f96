"""Sums an open-loop run up: what a closed loop's result says, and what only an open one can know."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kvwire.errors import InvalidRequestError
from kvwire.model_card import Description
from loadtest.arrivals import Load, schedule
from loadtest.driver import Plan
from loadtest.goodput import Slo, goodput_rps
from loadtest.intervals import percentiles_ms
from loadtest.open_loop import LARGEST_LAG_P99_MS, Sent
from loadtest.report import item_line, summarize


@dataclass(frozen=True)
class LoadRun:
    """How a load was run: requests due in the first ``warm_up_s`` are left out of every figure."""

    load: Load
    slo: Slo
    warm_up_s: float
    processes: int

    def due_s(self) -> tuple[float, ...]:
        """The load's schedule.

        Raises:
            InvalidRequestError: It cannot be, or nothing is due once the warm-up is over.
        """
        found = schedule(self.load)
        if found[-1] < self.warm_up_s:
            raise InvalidRequestError(
                f"no request is due after a warm-up of {self.warm_up_s} s; shorten it, or raise rate or duration"
            )
        return found


def summarize_load(
    configuration: dict[str, Any], plan: Plan, run: LoadRun, services: dict[str, Description], sent: Sequence[Sent]
) -> dict[str, Any]:
    """The result: as :func:`~loadtest.report.summarize`, but latencies count from when a request was due.

    ``valid`` is false if the tester itself was late (:data:`~loadtest.open_loop.LARGEST_LAG_P99_MS`). Rates are per
    second of the time that counts, in which something was due (:meth:`LoadRun.due_s`).
    """
    counted = [each for each in sent if each.due_s >= run.warm_up_s]
    seconds = run.load.duration_s - run.warm_up_s
    answered = [each for each in counted if each.ok]
    lag_ms = percentiles_ms([each.lag_s for each in counted])
    return {
        **summarize({**configuration, "load": asdict(run)}, plan, services, [each.outcome for each in counted]),
        "ttft_ms": percentiles_ms([each.first_token_s for each in answered]),
        "e2e_ms": percentiles_ms([each.total_s for each in answered]),
        "itl_ms": percentiles_ms([gap for each in answered for gap in each.outcome.itl_s]),
        "scheduler_lag_ms": lag_ms,
        "offered_rps": len(counted) / seconds,
        "answered_rps": len(answered) / seconds,
        "goodput": {
            "slo": asdict(run.slo),
            "rps": goodput_rps(counted, run.slo, seconds),
            "share": sum(map(run.slo.met, counted)) / len(counted),
        },
        "valid": lag_ms is not None and lag_ms["p99"] <= LARGEST_LAG_P99_MS,
    }


def request_line(sent: Sent) -> dict[str, Any]:
    """One request as a line of JSON: times from when it was due, both services' stages, joined by its id."""
    return {
        **item_line(sent.outcome),
        "due_s": sent.due_s,
        "lag_ms": 1000 * sent.lag_s,
        "ttft_ms": 1000 * sent.first_token_s if sent.ok else None,
        "e2e_ms": 1000 * sent.total_s if sent.ok else None,
        "itl_ms": [1000 * gap for gap in sent.outcome.itl_s],
    }

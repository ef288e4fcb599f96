"""Whether the simulation is right about a pair: the same requests at the same times, played through both.

``python -m bench.services.simulated --json FILE --times FILE --plot FILE.svg``. Service times are measured on single
requests, before every load and after the last; nothing that was measured under load goes into the simulation. A
machine that is not ours alone changes its pace within minutes, so a load is simulated with what was measured right
before it and right after; how much two services disturb each other is of all measurements, which are few for that. How
much a load is comes from the simulated capacity. Each is played in several rounds, by turns with the others.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.services.played import MIX, Played, capacity, measured, requests, simulated
from bench.services.service_times import Bench, Calibration, about, messages, running_bench, written
from bench.services.stage_points import Points
from loadtest.intervals import percentiles
from loadtest.open_loop import Sent
from simulation.requests import Request
from simulation.times import ServiceTimes

#: Of the capacity.
LOADS = (0.3, 0.6, 0.85)
#: Simulated figures may lie so far from measured ones.
WITHIN = 0.15


@dataclass(frozen=True)
class Round:
    """What was asked and how it went at one of the loads."""

    asked: list[Request]
    measured: Played
    sent: list[Sent]


@dataclass(frozen=True)
class Plan:
    """How long it is measured: rounds of so many seconds of each load.

    Around each, single requests are measured ``calibrations`` times. ``ttft_s`` is what capacity promises.
    """

    rounds: int
    seconds: float
    calibrations: int
    ttft_s: float


def compared(share: float, rate_rps: float, rounds: Sequence[Round], times: Sequence[ServiceTimes]) -> dict[str, Any]:
    """One load: figures of both, how far the simulated ones lie from the measured, and each round's own.

    ``times``: what each round is simulated with.
    """
    ours = [simulated(own, each.asked) for own, each in zip(times, rounds, strict=True)]
    found, model = Played.joined([each.measured for each in rounds]).figures(), Played.joined(ours).figures()
    lag_ms = percentiles([1000 * each.lag_s for played in rounds for each in played.sent])
    return {
        "share_of_capacity": share,
        "rate_rps": rate_rps,
        "requests": sum(len(each.asked) for each in rounds),
        "failed": sum(not each.ok for played in rounds for each in played.sent),
        "tester_lag_p99_ms": lag_ms.p99 if lag_ms else None,
        "measured": found,
        "simulated": model,
        "apart": {name: model[name] / found[name] - 1 for name in found},
        "first_token_s": {
            "measured": [each for played in rounds for each in played.measured.first_token_s],
            "simulated": [each for played in ours for each in played.first_token_s],
        },
        "rounds": [
            {"measured": each.measured.figures(), "simulated": own.figures()}
            for each, own in zip(rounds, ours, strict=True)
        ],
    }


def validate(
    bench: Bench, once: Points, facts: dict[str, str], plan: Plan
) -> tuple[dict[str, Any], ServiceTimes, Points]:
    """Calibrate, load, and compare; the result, and the times of all calibrations with their points.

    Raises:
        KvwireError: Whatever a service answered to a single request.
    """
    calibrated = [asyncio.run(bench.calibrate(plan.calibrations))]
    capacity_found = capacity(calibrated[0].fitted(bench, once, facts), plan.ttft_s)
    _say(f"simulated capacity: {capacity_found:.2f} requests per second with a first token within {plan.ttft_s} s")
    rounds: dict[float, list[Round]] = {share: [] for share in LOADS}
    for number in range(plan.rounds):
        for share, played in rounds.items():
            asked = requests(share * capacity_found, plan.seconds, number)
            title = f"round {number + 1} of {plan.rounds}, {100 * share:.0f} % of capacity"
            played.append(Round(asked, *asyncio.run(measured(bench, asked, title))))
            calibrated.append(asyncio.run(bench.calibrate(plan.calibrations)))
    every = Calibration.joined(calibrated)
    times = every.fitted(bench, once, facts)
    around = [_disturbed_as(times, Calibration.joined(two).fitted(bench, once, facts)) for two in pairwise(calibrated)]
    loads = [
        compared(share, share * capacity_found, played, around[at :: len(rounds)])
        for at, (share, played) in enumerate(rounds.items())
    ]
    found = {"ttft_s": plan.ttft_s, "capacity_rps": capacity_found, "mix": asdict(MIX), "loads": loads}
    return found, times, Points.joined((every.points, once))


def _disturbed_as(times: ServiceTimes, own: ServiceTimes) -> ServiceTimes:
    """Its own times, with the slowdowns of others."""
    sharer = replace(own.sharer, slowdown=times.sharer.slowdown)
    return replace(own, sharer=sharer, receiver=replace(own.receiver, slowdown=times.receiver.slowdown))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(
    json_file: Annotated[Path, typer.Option("--json", help="what was found")],
    times_file: Annotated[Path, typer.Option("--times", help="the service times, for `kvwire simulate`")],
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "int8",
    threads: Annotated[int, typer.Option(min=1, help="of each service")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    seconds: Annotated[float, typer.Option(help="of arrivals, for each load in each round")] = 50.0,
    calibrations: Annotated[int, typer.Option(min=1, help="passes over the single requests, each time")] = 1,
    ttft: Annotated[float, typer.Option(help="seconds to the first token that capacity promises")] = 3.0,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="also draw it here, SVG")] = None,
) -> None:
    """Compare; the exit status is 1 if a figure is further apart than it may be, or a request failed."""
    facts = about(model, codec, threads)
    once = asyncio.run(messages(model, codec, threads, 5))
    with running_bench(model, codec, threads) as bench:
        result, times, points = validate(bench, once, facts, Plan(rounds, seconds, calibrations, ttft))
    times_file.write_text(written(times, points), encoding="utf-8")
    json_file.write_text(json.dumps({"measured": facts, **result}, indent=1) + "\n", encoding="utf-8")
    ok = True
    for load in result["loads"]:
        _say(f"{100 * load['share_of_capacity']:.0f} %: {load['requests']} requests, {load['failed']} failed")
        ok = ok and not load["failed"]
        for name, apart in load["apart"].items():
            good = abs(apart) <= WITHIN
            ok = ok and good
            both = f"measured {load['measured'][name]:.3f}, simulated {load['simulated'][name]:.3f}"
            _say(f"  {'ok  ' if good else 'FAIL'} {name}: {both}, {100 * apart:+.1f} %")
    if plot_file is not None:
        from bench.services.simulated_figure import plot  # noqa: PLC0415  # only where one is wanted

        plot_file.write_text(plot(result), encoding="utf-8")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    typer.run(main)

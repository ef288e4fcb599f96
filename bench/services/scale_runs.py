"""What docs/scale.md asks of larger systems: each question a few simulated runs, and a table of what came out.

Every service has a machine of its own unless a question says otherwise. Loads are told as shares of what one pair
keeps its promise at, ``pair_rps``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bench.services.played import MIX
from loadtest.arrivals import Load, schedule
from simulation.choice import by_context, fewest, in_turn
from simulation.requests import Mix
from simulation.summary import summarize
from simulation.system import Design, Limits, System
from simulation.times import ServiceTimes

#: The head of a table, and its rows.
Table = tuple[list[str], list[list[str]]]

_REQUESTS = 1500
_WARM_UP = 0.1
_GBIT = 125e6
#: Planned use of what a pair can: half, as docs/operations.md advises.
_PLANNED = 0.5


def play(times: ServiceTimes, design: Design, rate_rps: float, mix: Mix = MIX) -> dict[str, Any]:
    """A run long enough for its percentiles, without its beginning."""
    seconds = _REQUESTS / rate_rps
    run = System(design, times).play(mix.requests(schedule(Load("poisson", rate_rps, seconds)), 0))
    return summarize(run, _WARM_UP * seconds)


def pairs(times: ServiceTimes, pair_rps: float) -> Table:
    """Pairs beside each other, each loaded as the one alone."""
    rows = []
    for count in (1, 4, 16, 64):
        found = play(times, Design(count, count, to_sharers=in_turn), _PLANNED * pair_rps * count)
        rows.append([f"{count}", *_waiting(found), *_busy(found)])
    return ["pairs", *_WAITING, *_BUSY], rows


def ratio(times: ServiceTimes, pair_rps: float) -> Table:
    """Eight receivers, and fewer or more sharers for them."""
    rows = []
    for sharers in (1, 2, 3, 4, 6, 8):
        found = play(times, Design(sharers, 8, to_sharers=in_turn), _PLANNED * pair_rps * 8)
        rows.append([f"{sharers} : 8", *_waiting(found), *_busy(found)])
    return ["sharers : receivers", *_WAITING, *_BUSY], rows


def links(times: ServiceTimes, pair_rps: float) -> Table:
    """One pair, each of them behind a connection of a rate."""
    rows = []
    for rate in (0.01, 0.03, 0.1, 1.0):
        found = play(times, Design(rate_bytes_s=rate * _GBIT, delay_s=0.001), _PLANNED * pair_rps)
        rows.append([f"{1000 * rate:.0f} Mbit/s", *_waiting(found), _share(found["utilisation"]["links"]["most"])])
    return ["each connection", *_WAITING, "connection busy"], rows


def choice(times: ServiceTimes, pair_rps: float) -> Table:
    """Sixteen receivers that choose among eight sharers, each by its own calls in flight, or in turn."""
    rows = []
    for words, choose in (("fewest of its own calls", fewest), ("in turn", in_turn)):
        found = play(times, Design(8, 16, to_sharers=choose), _PLANNED * pair_rps * 16)
        used = found["utilisation"]["sharers"]
        rows.append([words, *_waiting(found), f"{_share(used['mean'])}, {_share(used['most'])}"])
    return ["a receiver asks", *_WAITING, "sharers busy: mean, most"], rows


def reuse(times: ServiceTimes, pair_rps: float) -> Table:
    """Contexts that are asked about again, where services keep them; who is asked in turn, or by the context."""
    asked = replace(MIX, distinct=300, zipf=0.8)
    keeping = Limits(sharer_reuse_bytes=1 << 30, receiver_reuse_bytes=1 << 28)
    rows = []
    for words, limits, choose in (
        ("nothing, in turn", Limits(), in_turn),
        ("contexts, in turn", keeping, in_turn),
        ("contexts, by context", keeping, by_context),
    ):
        design = Design(4, 8, limits=limits, to_receivers=choose, to_sharers=choose)
        found = play(times, design, _PLANNED * pair_rps * 8, asked)
        rows.append([words, *_waiting(found), *_busy(found), f"{found['bytes_per_request'] / 1e6:.2f} MB"])
    return ["services keep, asked", *_WAITING, *_BUSY, "bytes per request"], rows


_WAITING = ["answers per second", "first token p50, p95", "whole answer p50"]
_BUSY = ["sharers, receivers busy"]


def _waiting(found: Mapping[str, Any]) -> list[str]:
    first, total = found["ttft_ms"], found["e2e_ms"]
    return [f"{found['answered_rps']:.2f}", f"{first['p50']:.0f}, {first['p95']:.0f} ms", f"{total['p50']:.0f} ms"]


def _busy(found: Mapping[str, Any]) -> list[str]:
    used = found["utilisation"]
    return [f"{_share(used['sharers']['mean'])}, {_share(used['receivers']['mean'])}"]


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


RUNS: Mapping[str, Callable[[ServiceTimes, float], Table]] = {
    "pairs": pairs,
    "ratio": ratio,
    "links": links,
    "choice": choice,
    "reuse": reuse,
}

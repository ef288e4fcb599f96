"""Whether kvwire's load tester and MLPerf's LoadGen find the same latencies of one receiver.

``python -m bench.services.agreement --receiver HOST:PORT --rate 2``: LoadGen draws the times of a run, kvwire sends at
the same times in the next one, by turns, so that both meet the same queue.
"""

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.services.mlperf import run_server_scenario
from kvwire.errors import LocalError
from kvwire.requests import Exchange, Method
from kvwire.security import ClientSecurity
from loadtest.client_processes import Target, here
from loadtest.datasets import Item, load
from loadtest.driver import Plan
from loadtest.intervals import Percentiles, percentiles


@dataclass(frozen=True)
class Round:
    """One run of each at the same times, in milliseconds; ``lag_ms`` is how late kvwire's was."""

    loadgen: Percentiles
    kvwire: Percentiles
    lag_ms: Percentiles


def compare(target: Target, items: list[Item], rate_rps: float, requests: int, seed: int) -> Round:
    """One round.

    Raises:
        KvwireError: The service cannot be reached, or a request failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        theirs = run_server_scenario(target, items, rate_rps, requests, seed, Path(folder))
    sent = asyncio.run(here(target, items, theirs.sent_s, lambda _: None))
    errors = [each.outcome.result.error for each in sent if not each.ok]
    if errors:
        raise LocalError(f"{len(errors)} requests failed, the first: {errors[0]}")
    ours = percentiles([1000 * each.total_s for each in sent])
    lag = percentiles([1000 * each.lag_s for each in sent])
    if ours is None or lag is None:
        raise ValueError(f"{requests} requests; at least one is needed")
    return Round(theirs.e2e_ms, ours, lag)


def main(
    receiver: Annotated[str, typer.Option(help="address of a running receiver, host:port")],
    rate: Annotated[float, typer.Option(help="requests per second")] = 1.0,
    requests: Annotated[int, typer.Option(min=1, help="of each run")] = 100,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "int8",
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the rounds here")] = None,
) -> None:
    """Run both by turns and print the ratios."""
    target = Target(receiver, ClientSecurity(), Plan(Exchange(Method.PREFIX, codec=codec)))
    items, found = load("pocket"), []
    for seed in range(rounds):
        found.append(compare(target, items, rate, requests, seed))
        one = found[-1]
        sys.stdout.write(
            f"round {seed + 1}: LoadGen p50 {one.loadgen.p50:.1f} ms, p95 {one.loadgen.p95:.1f} ms; kvwire p50 "
            f"{one.kvwire.p50:.1f} ms, p95 {one.kvwire.p95:.1f} ms; ratio {one.kvwire.p50 / one.loadgen.p50:.3f}, "
            f"{one.kvwire.p95 / one.loadgen.p95:.3f}; kvwire's lag p99 {one.lag_ms.p99:.2f} ms\n"
        )
        sys.stdout.flush()
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

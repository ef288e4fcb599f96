"""What metrics and logs cost: CPU seconds per request of a pair as it ships, and of one that counts and logs nothing.

``python -m bench.services.overhead``. Both pairs run for the whole time and are asked by turns; the one that counts is
scraped meanwhile as often as Prometheus would.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.processes import Pair, RunningService, running_service
from kvwire.requests import Exchange, Method
from loadtest.datasets import load
from loadtest.driver import Driver, Plan

_SCRAPE_EVERY_S = 5.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(service: RunningService) -> float:
    """CPU seconds of a service's process since it began (Linux)."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@contextmanager
def _scraped(services: list[RunningService]) -> Iterator[None]:
    stop = threading.Event()

    def scrape() -> None:
        while not stop.wait(_SCRAPE_EVERY_S):
            for service in services:
                Scrape.of(service.metrics)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _per_request_s(services: list[RunningService], requests: int, codec: str) -> float:
    """CPU seconds of a sharer and a receiver for a request, one at a time."""
    items = load("pocket", limit=requests)
    async with Client(services[1].address) as client:
        driver = Driver(client, Plan(Exchange(Method.PREFIX, codec=codec)))
        await driver.warm_up(items)
        before = sum(map(cpu_s, services))
        for item in items:
            await driver.ask(item)
        return (sum(map(cpu_s, services)) - before) / len(items)


@contextmanager
def pair_of(prefix: str, pair: Pair, log_level: str, logs: Path) -> Iterator[list[RunningService]]:
    """Start both modules, whose names come of ``prefix``; their logs go to a folder."""
    common = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-level", log_level]
    with ExitStack() as stack:
        own = ["--model", pair.sharer, *common]
        sharer = stack.enter_context(running_service(prefix.format("sharer"), own, logs / "sharer.log"))
        own = ["--model", pair.receiver, "--sharers", f"sharer={sharer.address}", *common]
        yield [sharer, stack.enter_context(running_service(prefix.format("receiver"), own, logs / "receiver.log"))]


def main(
    pair: Annotated[str, typer.Option(help="models as SHARER:RECEIVER")] = "smollm2-135m:smollm2-135m",
    rounds: Annotated[int, typer.Option(min=3)] = 15,
    requests: Annotated[int, typer.Option(min=1, help="of each round and pair")] = 30,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "int8",
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the rounds here")] = None,
) -> None:
    """Ask both by turns and print the ratio of their CPU seconds per request."""
    ratios = []
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        counted = stack.enter_context(pair_of("{}_service", Pair.parse(pair), "info", folders[0]))
        bare = stack.enter_context(pair_of("bench.services.bare.{}", Pair.parse(pair), "error", folders[1]))
        for index in range(rounds):
            with _scraped(counted):
                with_s = asyncio.run(_per_request_s(counted, requests, codec))
            without_s = asyncio.run(_per_request_s(bare, requests, codec))
            ratios.append(with_s / without_s)
            sys.stdout.write(
                f"round {index + 1}: {1000 * with_s:.1f} and {1000 * without_s:.1f} ms, {ratios[-1]:.4f}\n"
            )
            sys.stdout.flush()
    low, middle, high = np.percentile(
        np.median(np.random.default_rng(0).choice(ratios, (10_000, rounds)), axis=1), (2.5, 50, 97.5)
    )
    sys.stdout.write(f"median of the ratios {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}\n")
    if json_file is not None:
        json_file.write_text(json.dumps({"ratios": ratios, "median": middle, "ci95": [low, high]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

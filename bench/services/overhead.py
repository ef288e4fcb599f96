"""What metrics and logs cost: CPU seconds per request of a pair as it ships, and of one that counts and logs nothing.

``python -m bench.services.overhead``. Both pairs run for the whole time and are asked by turns; the one that counts is
scraped meanwhile as often as Prometheus would.
"""

import asyncio
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.services.processor import cpu_s
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.processes import FREE_PORTS, Pair, RunningService, running_service
from kvwire.requests import Exchange, Method
from loadtest.datasets import load
from loadtest.driver import Driver, Plan

DEFAULT_PAIR = "smollm2-135m:smollm2-135m"
PairOption = Annotated[str, typer.Option(help="models as SHARER:RECEIVER")]
RoundsOption = Annotated[int, typer.Option(min=3)]
RequestsOption = Annotated[int, typer.Option(min=1, help="of each round and pair")]
CodecOption = Annotated[str, typer.Option(help="codec spec of the cache")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="also write the rounds here")]

_SCRAPE_EVERY_S = 5.0


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
def pair_of(prefix: str, pair: Pair, log_level: str, logs: Path, *arguments: str) -> Iterator[list[RunningService]]:
    """Start both modules, whose names come of ``prefix``; their logs go to a folder."""
    common = [*FREE_PORTS, "--log-level", log_level, *arguments]
    with ExitStack() as stack:
        own = ["--model", pair.sharer, *common]
        sharer = stack.enter_context(running_service(prefix.format("sharer"), own, logs / "sharer.log"))
        own = ["--model", pair.receiver, "--sharers", f"sharer={sharer.address}", *common]
        yield [sharer, stack.enter_context(running_service(prefix.format("receiver"), own, logs / "receiver.log"))]


@dataclass(frozen=True)
class Asking:
    """How two pairs are asked by turns: so many rounds, so many requests in each, by which codec."""

    rounds: int
    requests: int
    codec: str


@dataclass(frozen=True)
class Ratio:
    """What one pair took of another's CPU seconds per request, by round; the median and its interval (bootstrap)."""

    ratios: list[float]
    median: float
    ci95: tuple[float, float]


def by_turns(
    more: list[RunningService],
    less: list[RunningService],
    asking: Asking,
    meanwhile: AbstractContextManager[None] | None = None,
) -> Ratio:
    """Ask both pairs by turns and print what each took; ``meanwhile`` goes on all the while."""
    ratios = []
    with meanwhile or nullcontext():
        for index in range(asking.rounds):
            with_s = asyncio.run(_per_request_s(more, asking.requests, asking.codec))
            without_s = asyncio.run(_per_request_s(less, asking.requests, asking.codec))
            ratios.append(with_s / without_s)
            sys.stdout.write(
                f"round {index + 1}: {1000 * with_s:.1f} and {1000 * without_s:.1f} ms, {ratios[-1]:.4f}\n"
            )
            sys.stdout.flush()
    medians = np.median(np.random.default_rng(0).choice(ratios, (10_000, asking.rounds)), axis=1)
    low, middle, high = np.percentile(medians, (2.5, 50, 97.5))
    sys.stdout.write(f"median of the ratios {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}\n")
    return Ratio(ratios, middle, (low, high))


def main(
    pair: PairOption = DEFAULT_PAIR,
    rounds: RoundsOption = 15,
    requests: RequestsOption = 30,
    codec: CodecOption = "int8",
    json_file: JsonOption = None,
) -> None:
    """Ask both by turns and print the ratio of their CPU seconds per request."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        counted = stack.enter_context(pair_of("{}_service", Pair.parse(pair), "info", folders[0]))
        bare = stack.enter_context(pair_of("bench.services.bare.{}", Pair.parse(pair), "error", folders[1]))
        ratio = by_turns(counted, bare, Asking(rounds, requests, codec), _scraped(counted))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(ratio), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

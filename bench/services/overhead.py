"""What metrics and logs cost: CPU seconds per request of a pair as it ships, and of one that counts and logs nothing.

``python -m bench.services.overhead``. Both pairs run for the whole time and are asked by turns; the one that counts is
scraped meanwhile as often as Prometheus would.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.services.meanwhile import meanwhile
from bench.services.processor import cpu_s
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import LocalError
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


@dataclass(frozen=True)
class Asking:
    """How two pairs are asked by turns: so many rounds, so many requests in each, by which codec.

    What services still do within ``settled_s`` of the last answer counts too.
    """

    rounds: int
    requests: int
    codec: str
    settled_s: float = 0.0


async def _per_request_s(services: list[RunningService], asking: Asking) -> float:
    """CPU seconds of a sharer and a receiver for a request, one at a time.

    Raises:
        LocalError: One was not answered; what it took is no answer's.
    """
    items = load("pocket", limit=asking.requests)
    async with Client(services[1].address) as client:
        driver = Driver(client, Plan(Exchange(Method.PREFIX, codec=asking.codec)))
        await driver.warm_up(items)
        before = sum(map(cpu_s, services))
        for item in items:
            result = (await driver.ask(item)).result
            if result.error is not None:
                raise LocalError(f"item {result.id} was not answered: {result.error}")
        await asyncio.sleep(asking.settled_s)
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
class Ratio:
    """What one pair took of another's CPU seconds per request, by round; the median and its interval (bootstrap)."""

    ratios: list[float]
    median: float
    ci95: tuple[float, float]


def by_turns(more: list[RunningService], less: list[RunningService], asking: Asking) -> Ratio:
    """Ask both pairs by turns and print what each took.

    Raises:
        LocalError: A request was not answered.
    """
    ratios = []
    for index in range(asking.rounds):
        with_s, without_s = (asyncio.run(_per_request_s(services, asking)) for services in (more, less))
        ratios.append(with_s / without_s)
        sys.stdout.write(f"round {index + 1}: {1000 * with_s:.1f} and {1000 * without_s:.1f} ms, {ratios[-1]:.4f}\n")
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
        stack.enter_context(meanwhile(lambda: [Scrape.of(each.metrics) for each in counted], _SCRAPE_EVERY_S))
        ratio = by_turns(counted, bare, Asking(rounds, requests, codec))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(ratio), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

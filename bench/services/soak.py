"""A steady load for many minutes: no error, flat memory, a tester on time, and both sides' counts agree.

``python -m bench.services.soak --rate 1.5 --minutes 10``; take half of what ``kvwire loadtest --find-capacity`` finds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.services.accounts import Check, counts, times
from bench.services.meanwhile import meanwhile
from bench.services.resident import resident_bytes
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.processes import Pair, RunningService, running_pair
from kvwire.requests import Exchange, Method
from loadtest.arrivals import Load, schedule
from loadtest.datasets import load
from loadtest.driver import Driver, Plan
from loadtest.intervals import percentiles
from loadtest.load_progress import load_progress
from loadtest.open_loop import LARGEST_LAG_P99_MS, Sent, open_loop

SAMPLE_EVERY_S = 5.0
#: Memory settles in the first fifth: pools and caches fill.
_SETTLES = 0.2


@dataclass
class Memory:
    """Bytes of a service, sampled: what is resident, or what its heap has given out."""

    at_s: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def sample(self, service: RunningService, begun_s: float) -> None:
        """What is resident now, ``begun_s`` by ``time.monotonic`` being 0.

        Raises:
            ProcessLookupError, FileNotFoundError: The process is ending, or has ended.
        """
        found = resident_bytes(service)
        self.at_s.append(time.monotonic() - begun_s)
        self.bytes.append(found)

    def check(self, name: str) -> Check:
        """Flat if the line through the samples grows by no more than they scatter about it (two deviations)."""
        first = int(len(self.at_s) * _SETTLES)
        at_s, found = np.array(self.at_s[first:]), np.array(self.bytes[first:])
        slope, start = np.polyfit(at_s, found, 1)
        growth = float(slope * (at_s[-1] - at_s[0]))
        noise = 2 * float(np.std(found - (slope * at_s + start)))
        text = f"{found.mean() / 1e6:.1f} MB, grew by {growth / 1e6:+.2f} MB, scatter {noise / 1e6:.2f} MB"
        return Check(f"memory of the {name}", text, growth <= noise)


@contextmanager
def _sampled(services: Mapping[str, RunningService]) -> Iterator[dict[str, Memory]]:
    """Sample the memory of services while the block runs.

    From the kernel: a scrape would have the tester read text when it is to send.
    """
    found, begun_s = {name: Memory() for name in services}, time.monotonic()

    def sample() -> None:
        for name, service in services.items():
            found[name].sample(service, begun_s)

    with meanwhile(sample, SAMPLE_EVERY_S):
        yield found


def soak(
    services: Mapping[str, RunningService], plan: Plan, due_s: Sequence[float]
) -> tuple[list[Check], dict[str, Memory]]:
    """Load a sharer and a receiver that nobody else asks; check what must hold, and tell their memory."""
    items = load("pocket")

    async def drive() -> tuple[list[Sent], dict[str, Scrape]]:
        async with Client(services["receiver"].address) as client:
            driver = Driver(client, plan)
            await driver.warm_up(items)
            before = {name: Scrape.of(service.metrics) for name, service in services.items()}
            with load_progress("soak", len(due_s)) as told:
                sent = await open_loop(driver.ask, items, due_s, time.monotonic(), told)
            await client.describe()  # once it is answered, what was before it has been counted
            return sent, {name: Scrape.of(service.metrics).since(before[name]) for name, service in services.items()}

    with _sampled(services) as memory:
        sent, counted = asyncio.run(drive())
    lag = percentiles([1000 * each.lag_s for each in sent])
    late = Check("tester's lag, p99", f"{lag.p99:.2f} ms", lag.p99 <= LARGEST_LAG_P99_MS) if lag else None
    checks = [
        *counts(sent, counted["sharer"], counted["receiver"]),
        *times(sent, counted["receiver"]),
        *(each.check(name) for name, each in memory.items()),
        *([late] if late else []),
    ]
    return checks, memory


def main(
    rate: Annotated[float, typer.Option(help="requests per second, Poisson")],
    minutes: Annotated[float, typer.Option()] = 10.0,
    pair: Annotated[str, typer.Option(help="models as SHARER:RECEIVER")] = "smollm2-135m:smollm2-135m",
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "int8",
    json_file: Annotated[Path | None, typer.Option("--json", help="also write checks and samples here")] = None,
) -> None:
    """Run it on a pair of its own; the exit status is 1 if a check fails."""
    due_s = schedule(Load("poisson", rate, 60 * minutes))
    with running_pair(Pair.parse(pair), ["--log-level", "warning"]) as (sharer, receiver):
        checks, memory = soak(
            {"sharer": sharer, "receiver": receiver}, Plan(Exchange(Method.PREFIX, codec=codec)), due_s
        )
    for each in checks:
        sys.stdout.write(f"{'ok  ' if each.ok else 'FAIL'} {each.name}: {each.found}\n")
    if json_file is not None:
        found = {"checks": [asdict(each) for each in checks], "memory": {k: asdict(v) for k, v in memory.items()}}
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(0 if all(each.ok for each in checks) else 1)


if __name__ == "__main__":
    typer.run(main)

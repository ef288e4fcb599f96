"""How long each stage of a pair takes, against tokens: what ``kvwire simulate`` calculates with.

``python -m bench.services.service_times --json FILE``. Requests go to real processes one at a time, but for answers
that are written together and for what shows how much both services, on one machine, slow each other. Stages are those
of the public client's reports.
"""

import asyncio
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.services.asker import Asker, cache, caches
from bench.services.disturbance import CONTEXT, PROMPT, disturbances
from bench.services.processor import busiest_s, cpu_s_by_thread
from bench.services.stage_points import Points, service_times, sizes
from bench.services.stream_window import window_bytes
from kvwire.client import Client
from kvwire.processes import Pair, RunningService, running_pair
from kvwire.report import Report
from simulation.times import ServiceTimes, Shape

#: More than come at once in any load that a pair bears.
MAX_IN_FLIGHT = 64
#: With lengths between multiples of 16, with which kernels are slower: 14 tokens take longer than 24.
CONTEXTS = (16, 32, 40, 56, 64, 72, 88, 96, 128, 256)
PROMPTS = (4, 8, 10, 12, 14, 16, 24, 32, 48, 64)
ROWS = (1, 2, 3, 4, 6, 9, 12)
_NEW_TOKENS, _WRITTEN_TOGETHER, _WRITTEN_ALONE = 8, 16, 3
#: Prompts that are read in one pass, and by turns with one as long as all of them.
_READ_TOGETHER, _TURNS = 4, 3
_NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Bench:
    """A running pair and what asks it."""

    sharer: RunningService
    receiver: RunningService
    asker: Asker
    shape: Shape

    async def calibrate(self, rounds: int) -> "Calibration":
        """Measure stages of single requests.

        Raises:
            KvwireError: Whatever a service answered.
        """
        asker, points, reports = self.asker, Points(), list[Report]()
        async with Client(self.receiver.address) as client:
            await client.generate_all(asker.request(CONTEXT, PROMPT, _NEW_TOKENS))
            for _ in range(rounds):
                before = cpu_s_by_thread(self.sharer)
                came = [await cache(client, asker.cache(*each)) for each in zip(CONTEXTS, PROMPTS, strict=True)]
                points.add_sharer_cpu(came, busiest_s(self.sharer, before))
                for report in came:
                    points.add_cache(report, self.shape.layers)
                reports += came
                for _ in range(_TURNS):
                    together = await caches(client, [asker.cache(CONTEXT, PROMPT) for _ in range(_READ_TOGETHER)])
                    points.add_sequences(together, await cache(client, asker.cache(CONTEXT, _READ_TOGETHER * PROMPT)))
                for _ in range(_WRITTEN_ALONE):
                    points.add_own(await client.generate_all(asker.own(CONTEXT + PROMPT, _NEW_TOKENS)))
                for rows in ROWS:
                    asked = [asker.own(CONTEXT, _WRITTEN_TOGETHER) for _ in range(rows)]
                    points.add_steps(await asyncio.gather(*map(client.generate_all, asked)))
                await disturbances(client, asker, points)
        return Calibration(points, tuple(reports))


@dataclass(frozen=True)
class Calibration:
    """Measured stages, and the reports of caches among them."""

    points: Points
    caches: tuple[Report, ...]

    @classmethod
    def joined(cls, several: Sequence["Calibration"]) -> "Calibration":
        """All of several."""
        caches = tuple(report for each in several for report in each.caches)
        return cls(Points.joined(each.points for each in several), caches)

    def fitted(self, bench: Bench, messages: Points, about: dict[str, str]) -> ServiceTimes:
        """The times of a bench on which ``messages`` took what they took."""
        points = Points.joined((self.points, messages))
        return service_times(points, bench.shape, sizes(self.caches), asyncio.run(window_bytes()), about)


@contextmanager
def running_bench(model: str, codec: str, threads: int) -> Iterator[Bench]:
    """A pair as it is measured: so many threads each."""
    with running_pair(Pair(model, model), _arguments(threads)) as (sharer, receiver):
        shape = asyncio.run(_shape(receiver.address))
        yield Bench(sharer, receiver, Asker(model, codec), shape)


async def messages(model: str, codec: str, threads: int, rounds: int) -> Points:
    """What a stream's messages take, by a sharer that keeps frames: from the third time on it computes nothing."""
    points = Points()
    keeping = ["--reuse-bytes", str(1 << 28)]
    with running_pair(Pair(model, model), _arguments(threads), sharer_arguments=keeping) as (_, receiver):
        request = Asker(model, codec).cache(CONTEXT)
        async with Client(receiver.address) as client:
            for index in range(2 + rounds):
                report = await cache(client, request)
                if index > 1:
                    points.add_kept(report)
    return points


def _arguments(threads: int) -> list[str]:
    return ["--threads", str(threads), "--max-in-flight", str(MAX_IN_FLIGHT), "--log-level", "warning"]


async def _shape(address: str) -> Shape:
    async with Client(address) as client:
        card = (await client.describe()).card
    return Shape(len(card.layers), card.kv_heads, card.head_dim, _NUMBER_BYTES[card.compute_dtype])


def about(model: str, codec: str, threads: int) -> dict[str, str]:
    """On what it is measured."""
    cpu = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "model": model,
        "codec": codec,
        "threads": f"{threads} of each service",
        "machine": cpu,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def written(times: ServiceTimes, points: Points) -> str:
    """The file: the times, how well the curves fit, and every point."""
    worst = {name: each.worst for name, each in points.fits().items()}
    return json.dumps({"times": asdict(times), "worst_misfit": worst, "points": points.found}, indent=1) + "\n"


def main(
    json_file: Annotated[Path, typer.Option("--json", help="the times, and every point they were fitted to")],
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "int8",
    threads: Annotated[int, typer.Option(min=1, help="of each service")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Measure, fit, print."""
    once = asyncio.run(messages(model, codec, threads, rounds))
    with running_bench(model, codec, threads) as bench:
        measured = asyncio.run(bench.calibrate(rounds))
        times = measured.fitted(bench, once, about(model, codec, threads))
    points = Points.joined((measured.points, once))
    json_file.write_text(written(times, points), encoding="utf-8")
    for name, each in points.fits().items():
        sys.stdout.write(f"{name}: {each.curve}, misses its points by at most {100 * each.worst:.0f} %\n")
    for part in (times.sharer, times.receiver, times.calls, times.sizes):
        sys.stdout.write(f"{part}\n")


if __name__ == "__main__":
    typer.run(main)

"""An hour at 70 % of capacity in which the link or the sharer fails every ten seconds: what of the promises is kept.

``python -m bench.services.fault_soak --capacity 1.4 --minutes 60 --json FILE --requests FILE.jsonl``; the capacity is
what ``kvwire loadtest --find-capacity`` finds. Policy ``receiver_only``: who cannot be answered from the sharer's
cache is answered all the same, and the answer says so.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.services.accounts import Check
from bench.services.faults.promises import Soaked
from bench.services.faults.relay import Relay
from bench.services.faults.resources import resources
from bench.services.faults.troubles import Sharer, Troubles
from bench.services.scrape import Scrape
from bench.services.soak import SAMPLE_EVERY_S, Memory
from kvwire.client import Client
from kvwire.errors import LocalError
from kvwire.processes import FREE_PORTS, RunningService, free_port, running_service
from kvwire.requests import Exchange, FaultPolicy, Method
from loadtest.arrivals import Load, schedule
from loadtest.datasets import Item, load
from loadtest.driver import Driver, Plan
from loadtest.load_progress import load_progress
from loadtest.load_report import request_line
from loadtest.open_loop import open_loop
from loadtest.scoring import ChoiceScore

#: Of capacity.
_LOADED_SHARE = 0.7
_TROUBLE_EVERY_S = 10.0
_DEADLINE_MS = 30_000


class Lives:
    """Samples the memory of a pair's processes; a sharer that was started anew is another one."""

    def __init__(self, receiver: RunningService, sharer: Sharer) -> None:
        self.memory = dict[str, Memory]()
        self._receiver = receiver
        self._sharer = sharer

    def sample(self, begin_s: float) -> None:
        """Once, of those that run."""
        running = {"receiver": self._receiver, f"sharer {self._sharer.starts}": self._sharer.service}
        for name, service in running.items():
            if service is not None and service.process.poll() is None:
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # killed a moment ago
                    self.memory.setdefault(name, Memory()).sample(service, begin_s)

    async def run(self, begin_s: float) -> None:
        """Sample until cancelled."""
        while True:
            self.sample(begin_s)
            await asyncio.sleep(SAMPLE_EVERY_S)


async def soak(
    model: str, due_s: Sequence[float], duration_s: float, every_s: float, arguments: Sequence[str]
) -> Soaked:
    """Load a pair of its own, and trouble it every so many seconds.

    Raises:
        KvwireError: A service did not start, or did not answer before the first fault.
    """
    link, listen, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    own = ["--model", model, *arguments]
    items = load("pocket")
    sharer = Sharer(own, listen, metrics)
    with ExitStack() as stack:
        stack.callback(sharer.stop)
        sharer.start()
        reading = [*own, *FREE_PORTS, "--sharers", f"sharer={link}"]
        receiver = stack.enter_context(running_service("receiver_service", reading))
        async with Relay(listen, link) as relay, Client(receiver.address) as client:
            exchange = Exchange(Method.PREFIX, codec="int8", on_fault=FaultPolicy.RECEIVER_ONLY)
            driver = Driver(client, Plan(exchange, deadline_ms=_DEADLINE_MS))
            references = {path: await _answers(client, path, items) for path in (Method.PREFIX, Method.RECEIVER_ONLY)}
            before, held = Scrape.of(receiver.metrics), resources(receiver.process.pid)
            troubles = Troubles(relay, sharer, every_s)
            begin_s = time.monotonic()
            lives = Lives(receiver, sharer)
            sampling = asyncio.create_task(lives.run(begin_s))
            troubling = asyncio.create_task(troubles.run(begin_s, duration_s))
            with load_progress("soak", len(due_s)) as told:
                sent = await open_loop(driver.ask, items, due_s, begin_s, told)
            await troubling
            sampling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sampling  # raises what ended it before
            await client.describe()  # once it is answered, what was before it has been counted
            counted = Scrape.of(receiver.metrics).since(before)
            after = resources(receiver.process.pid)
            return Soaked(sent, troubles.had, lives.memory, counted, references, held, after)


async def _answers(client: Client, path: Method, items: Sequence[Item]) -> dict[str, tuple[ChoiceScore, ...]]:
    """Of each item, by one path.

    Raises:
        LocalError: One was not answered.
    """
    driver = Driver(client, Plan(Exchange(path, codec="int8"), deadline_ms=_DEADLINE_MS))
    outcomes = await driver.run(items, lambda _: None)
    failed = [each.result for each in outcomes if each.result.error is not None]
    if failed:
        raise LocalError(f"item {failed[0].id} by {path} with nothing hurt: {failed[0].error}")
    return {each.result.id: each.result.scores for each in outcomes}


def main(
    capacity: Annotated[float, typer.Option(help="requests per second that the pair keeps; 70 % of it are sent")],
    minutes: Annotated[float, typer.Option()] = 60.0,
    model: Annotated[str, typer.Option(help="on both sides")] = "smollm2-135m",
    threads: Annotated[int, typer.Option(help="of each service")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write checks, faults and memory here")] = None,
    requests: Annotated[Path | None, typer.Option(help="one line of JSON per request")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="also draw the run here, as SVG")] = None,
) -> None:
    """Run it; the exit status is 1 if a check fails."""
    duration_s = 60 * minutes
    due_s = schedule(Load("poisson", _LOADED_SHARE * capacity, duration_s))
    arguments = ["--threads", str(threads), "--log-level", "error"]
    found = asyncio.run(soak(model, due_s, duration_s, _TROUBLE_EVERY_S, arguments))
    checks = found.checks()
    for each in checks:
        sys.stdout.write(f"{'ok  ' if each.ok else 'FAIL'} {each.name}: {each.found}\n")
    if json_file is not None:
        json_file.write_text(json.dumps(_result(found, checks, capacity, minutes), indent=1) + "\n")
    if requests is not None:
        requests.write_text("".join(json.dumps(request_line(each)) + "\n" for each in found.sent))
    if plot_file is not None:
        from bench.services.fault_soak_figure import plot  # noqa: PLC0415  # it reads this module's values

        plot_file.write_text(plot(found.sent, found.troubles, found.memory))
    sys.exit(0 if all(each.ok for each in checks) else 1)


def _result(found: Soaked, checks: Sequence[Check], capacity: float, minutes: float) -> dict[str, Any]:
    return {
        "capacity_rps": capacity,
        "minutes": minutes,
        "checks": [asdict(each) for each in checks],
        "faults": [asdict(each) for each in found.troubles],
        "memory": {name: asdict(each) for name, each in found.memory.items()},
    }


if __name__ == "__main__":
    typer.run(main)

"""How ``kvwire loadtest`` measures a pair: questions one after another, as an open loop, and in search of capacity."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvwire.balancing.choice import Balance
from kvwire.cli.options import Addresses
from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, Method

if TYPE_CHECKING:
    from kvwire.model_card import Description
    from kvwire.security import ClientSecurity
    from loadtest.client_processes import Target
    from loadtest.datasets import Item
    from loadtest.driver import Plan
    from loadtest.load_report import LoadRun


@dataclass(frozen=True)
class Files:
    """What to write of an open loop beside its result."""

    requests: Path | None = None
    html: Path | None = None

    def write(self, title: str, result: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        """Write them; ``lines`` are of the requests, those of the warm-up too."""
        from experiments.report.load_page import load_page

        if self.requests is not None:
            self.requests.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        if self.html is not None:
            self.html.write_text(load_page(title, result, lines), encoding="utf-8")


async def measure(
    items: "list[Item]",
    plan: "Plan",
    addresses: Addresses,
    security: "ClientSecurity",
    configuration: dict[str, Any],
    balance: Balance = Balance.AFFINITY,
) -> dict[str, Any]:
    """Run a plan over items and sum it up.

    Raises:
        InvalidRequestError: The method needs the sharer's address and it is not known.
        KvwireError: The services cannot be reached at all.
    """
    from kvwire.client import Client
    from loadtest.driver import Driver
    from loadtest.progress import progress
    from loadtest.report import summarize

    asked = addresses.answering(plan.exchange.method)
    described = await _described(addresses, security)
    async with Client(asked, security, balance) as client:
        with progress(run_name(plan.exchange), len(items)) as done:
            outcomes = await Driver(client, plan).run(items, done)
    return summarize(configuration, plan, described, outcomes)


def measure_load(
    items: "list[Item]",
    run: "LoadRun",
    target: "Target",
    addresses: Addresses,
    configuration: dict[str, Any],
    files: Files = Files(),  # immutable
) -> dict[str, Any]:
    """Send items when they are due, and sum up what became of them.

    Raises:
        KvwireError: The services cannot be reached at all.
    """
    import asyncio

    from loadtest.client_processes import here, spread
    from loadtest.load_progress import load_progress
    from loadtest.load_report import request_line, summarize_load

    described, due_s = asyncio.run(_described(addresses, target.security)), run.due_s()
    with load_progress(f"{run_name(target.plan.exchange)}, {run.load.rate_rps:.3g}/s", len(due_s)) as told:
        if run.processes > 1:
            sent = spread(target, items, due_s, run.processes, told)
        else:
            sent = asyncio.run(here(target, items, due_s, told))
    result = summarize_load(configuration, target.plan, run, described, sent)
    files.write(run_name(target.plan.exchange), result, [request_line(each) for each in sent])
    return result


def search_capacity(
    items: "list[Item]", run: "LoadRun", target: "Target", addresses: Addresses, configuration: dict[str, Any]
) -> dict[str, Any]:
    """The result at the highest rate that was kept, else at the lowest tried; ``capacity_rps`` and all ``probes``."""
    from loadtest.capacity import Probe, capacity_rps, find_capacity

    results: dict[float, dict[str, Any]] = {}

    def probe(rate_rps: float) -> Probe:
        at_rate = replace(run, load=replace(run.load, rate_rps=rate_rps, ramp_to_rps=None))
        results[rate_rps] = found = measure_load(items, at_rate, target, addresses, configuration)
        return Probe(rate_rps, found["goodput"]["share"], found["valid"])

    probes = list[Probe]()
    try:
        for each in find_capacity(probe, run.load.rate_rps):
            probes.append(each)  # those before a failure count
    except InvalidRequestError:
        if not probes:
            raise  # else the search has come down to rates at which nothing is due
    capacity = capacity_rps(probes)
    shown = results[capacity] if capacity else results[min(results)]
    return {**shown, "capacity_rps": capacity, "probes": [asdict(each) for each in probes]}


async def _described(addresses: Addresses, security: "ClientSecurity") -> "dict[str, Description]":
    from kvwire.client import Client

    described = {}
    for name, address in vars(addresses).items():
        if address:
            async with Client(address, security) as service:
                described[name] = await service.describe()
    return described


def run_name(exchange: Exchange) -> str:
    """How a run is called in tables: its method, and what else tells it from others."""
    match exchange.method:
        case Method.PREFIX | Method.FUSE:
            return " ".join(filter(None, (exchange.method, exchange.codec, exchange.policy)))
        case Method.TEXT:
            return f"text {exchange.relay}"
        case _:
            return exchange.method

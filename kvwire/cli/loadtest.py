"""``kvwire loadtest``: an evaluation set through the wire."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvwire.balancing.choice import Balance
from kvwire.cli.options import (
    DEFAULT_PAIR,
    Addresses,
    BalanceOption,
    CaOption,
    CertOption,
    DataOption,
    DeadlineOption,
    FuserOption,
    FusersOption,
    JsonOption,
    KeyOption,
    PairOption,
    PolicyOption,
    ReceiverOption,
    SharerOption,
    TokenOption,
    services,
)
from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, FaultPolicy, Method, RelayMode

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


def loadtest(
    dataset: Annotated[
        str, typer.Option(help="arc_challenge, arc_easy, mmlu_redux, openbookqa, pocket, file:PATH")
    ] = "pocket",
    method: Annotated[Method, typer.Option(help="who reads what")] = Method.PREFIX,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "fp16",
    policy: PolicyOption = "",
    fuser: FuserOption = "identity",
    scoring: Annotated[str, typer.Option(help="loglik or letter")] = "loglik",
    limit: Annotated[int | None, typer.Option(min=1, help="first so many items")] = None,
    open_book: Annotated[bool, typer.Option("--open-book", help="the fact is the context")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="requests in flight, without --arrivals")] = 1,
    arrivals: Annotated[
        str, typer.Option(help="poisson, constant, gamma:SHAPE or trace:FILE: requests are sent when they are due")
    ] = "",
    rate: Annotated[float, typer.Option(help="requests per second")] = 1.0,
    ramp_to: Annotated[float | None, typer.Option(help="the rate at the end, if it changes evenly")] = None,
    duration: Annotated[float, typer.Option(help="seconds of arrivals")] = 60.0,
    warm_up: Annotated[float, typer.Option(min=0, help="seconds at the beginning that do not count")] = 0.0,
    slo: Annotated[str, typer.Option(help="what goodput counts, such as ttft=300ms,e2e=2s,itl=50ms")] = "",
    capacity: Annotated[
        bool, typer.Option("--find-capacity", help="search the rate at which 99 % still meet the --slo, from --rate on")
    ] = False,
    seed: Annotated[int, typer.Option(help="of the arrivals")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="client processes that send")] = 1,
    requests: Annotated[Path | None, typer.Option(help="one line of JSON per request, with --arrivals")] = None,
    html: Annotated[Path | None, typer.Option(help="a page of the run, with --arrivals")] = None,
    on_fault: Annotated[FaultPolicy, typer.Option(help="what to do when the sharer fails")] = FaultPolicy.FAIL,
    deadline: DeadlineOption = 0.0,
    relay: Annotated[RelayMode, typer.Option(help="what the sharer sends in method text")] = RelayMode.WRITTEN,
    data: DataOption = None,
    pair: PairOption = DEFAULT_PAIR,
    fusers: FusersOption = None,
    receiver: ReceiverOption = "",
    sharer: SharerOption = "",
    balance: BalanceOption = Balance.AFFINITY,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    token_file: TokenOption = None,
    json_file: JsonOption = None,
) -> None:
    """Drive an evaluation set through a pair and report accuracy, bytes and latency."""
    from kvwire.security import ClientSecurity
    from loadtest.arrivals import Load
    from loadtest.client_processes import Target
    from loadtest.datasets import load
    from loadtest.driver import Plan
    from loadtest.goodput import Slo
    from loadtest.load_report import LoadRun

    if capacity and (not arrivals or arrivals.startswith("trace:") or not slo):
        raise InvalidRequestError("--find-capacity needs --arrivals at a rate, and an --slo to tell what is kept")
    if (requests or html) and (capacity or not arrivals):
        raise InvalidRequestError(
            "--requests and --html are of one open loop; give --arrivals, without --find-capacity"
        )
    if scoring not in ("loglik", "letter"):
        raise InvalidRequestError(f"scoring {scoring!r} is not known; use loglik or letter")
    items = load(dataset, data_dir=data, open_book=open_book, limit=limit)
    exchange = Exchange(method=method, codec=codec, policy=policy, fuser=fuser, on_fault=on_fault, relay=relay)
    plan = Plan(exchange, scoring, concurrency, round(1000 * deadline))  # type: ignore[arg-type]  # checked above
    configuration = {"dataset": dataset, "open_book": open_book, "limit": limit, "pair": pair, "balance": balance}
    configuration |= {"argv": sys.argv[1:]}
    run = LoadRun(Load(arrivals, rate, duration, ramp_to, seed), Slo.parse(slo), warm_up, processes)
    if arrivals:
        run.due_s()  # what cannot be is said before anything is started
    security = ClientSecurity(ca, cert, key, token_file)
    with services(pair, receiver, sharer, fusers) as addresses:
        target = Target(_asked(plan, addresses), security, plan, balance)
        if capacity:
            result = search_capacity(items, run, target, addresses, configuration)
        elif arrivals:
            result = measure_load(items, run, target, addresses, configuration, Files(requests, html))
        else:
            result = asyncio.run(measure(items, plan, addresses, security, configuration, balance))
    _tell(dataset, result, run_name(exchange), json_file)


def _tell(dataset: str, result: dict[str, Any], name: str, json_file: Path | None) -> None:
    from loadtest.table import show, show_load

    show(dataset, [(name, result)])
    if "goodput" in result:
        show_load(result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if result["failed"]:
        sys.stderr.write(f"{result['failed']} items failed; they count as wrong and per_item lists them\n")


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

    asked = _asked(plan, addresses)
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
        return Probe(rate_rps, found["goodput"]["share"] or 0.0, found["valid"])

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


def _asked(plan: "Plan", addresses: Addresses) -> str:
    if plan.exchange.method is not Method.SHARER_ONLY:
        return addresses.receiver
    if not addresses.sharer:
        raise InvalidRequestError("method sharer_only is answered by the sharer; give its address with --sharer")
    return addresses.sharer


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

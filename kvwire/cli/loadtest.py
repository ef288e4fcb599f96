"""``kvwire loadtest``: an evaluation set through the wire."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kvwire.balancing.choice import Balance
from kvwire.cli.loadtest_measure import Files, measure, measure_load, run_name, search_capacity
from kvwire.cli.options import (
    DEFAULT_PAIR,
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
    import asyncio

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
        target = Target(addresses.answering(exchange.method), security, plan, balance)
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

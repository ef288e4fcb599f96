"""``kvwire loadtest``: an evaluation set through the wire."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kvwire.balancing.choice import Balance
from kvwire.cli.files import writable
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
    save,
    services,
)
from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, FaultPolicy, Method, RelayMode

if TYPE_CHECKING:
    from loadtest.load_report import LoadRun


def loadtest(
    dataset: Annotated[
        str, typer.Option(help="arc_challenge, arc_easy, mmlu_redux, openbookqa, pocket, file:PATH")
    ] = "pocket",
    method: Annotated[Method, typer.Option(help="who reads what")] = Method.PREFIX,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "fp16",
    policy: PolicyOption = "",
    fuser: FuserOption = "identity",
    scoring: Annotated[
        Literal["loglik", "letter"], typer.Option(help="by likelihoods of the choices, or by the letter of a reply")
    ] = "loglik",
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
    requests: Annotated[
        Path | None, typer.Option(help="one line of JSON per request, with --arrivals", callback=writable)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="a page of the run, with --arrivals", callback=writable)] = None,
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

    run = LoadRun(Load(arrivals, rate, duration, ramp_to, seed), Slo.parse(slo), warm_up, processes)
    files = Files(requests, html)
    _check_together(run, files, scoring, capacity=capacity)
    if arrivals:
        run.due_s()  # what cannot be is said before anything is started
    items = load(dataset, data_dir=data, open_book=open_book, limit=limit)
    exchange = Exchange(method=method, codec=codec, policy=policy, fuser=fuser, on_fault=on_fault, relay=relay)
    plan = Plan(exchange, scoring, concurrency, round(1000 * deadline))
    configuration = {"dataset": dataset, "open_book": open_book, "limit": limit, "balance": balance}
    configuration |= {"pair": None if receiver else pair, "argv": sys.argv[1:]}
    security = ClientSecurity(ca, cert, key, token_file)
    with services(pair, receiver, sharer, fusers, codec) as addresses:
        target = Target(addresses.answering(exchange.method), security, plan, balance)
        if capacity:
            result = search_capacity(items, run, target, addresses, configuration)
        elif arrivals:
            result = measure_load(items, run, target, addresses, configuration, files)
        else:
            result = asyncio.run(measure(items, plan, addresses, security, configuration, balance))
    _tell(dataset, result, run_name(exchange), json_file)


def _check_together(run: "LoadRun", files: Files, scoring: str, *, capacity: bool) -> None:
    """Refuse options that say nothing together."""
    from loadtest.goodput import Slo

    of_open_loop = {
        "--ramp-to": run.load.ramp_to_rps is not None,
        "--warm-up": run.warm_up_s > 0,
        "--slo": run.slo != Slo(),
        "--find-capacity": capacity,
        "--processes": run.processes > 1,
        "--requests": files.requests is not None,
        "--html": files.html is not None,
    }
    given = ", ".join(name for name, is_given in of_open_loop.items() if is_given)
    if given and not run.load.arrivals:
        raise InvalidRequestError(f"{given}: of an open loop; give --arrivals too")
    if capacity and (run.load.arrivals.startswith("trace:") or run.slo == Slo()):
        raise InvalidRequestError("--find-capacity needs --arrivals at a rate, and an --slo to tell what is kept")
    if capacity and files != Files():
        raise InvalidRequestError("--requests and --html are of one run; leave --find-capacity out")
    if run.slo.itl_s is not None and scoring == "loglik":
        raise InvalidRequestError("itl is of generated tokens, and loglik generates none; add --scoring letter")


def _tell(dataset: str, result: dict[str, Any], name: str, json_file: Path | None) -> None:
    from loadtest.table import show, show_load

    show(dataset, [(name, result)])
    if "goodput" in result:
        show_load(result)
    save(result, json_file)
    if result["failed"]:
        first = next(line["error"] for line in result["per_item"] if line["error"])
        sys.stderr.write(
            f"{result['failed']} of {result['items']} items failed, which counts as wrong; first: {first}\n"
        )
    if result["failed"] == result["items"]:
        raise typer.Exit(1)

"""``kvwire loadtest``: an evaluation set through the wire."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvwire.cli.options import (
    DEFAULT_PAIR,
    Addresses,
    CaOption,
    DataOption,
    FuserOption,
    FusersOption,
    JsonOption,
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
    from kvwire.security import ClientSecurity
    from loadtest.datasets import Item
    from loadtest.driver import Plan


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
    concurrency: Annotated[int, typer.Option(min=1, help="requests in flight")] = 1,
    on_fault: Annotated[FaultPolicy, typer.Option(help="what to do when the sharer fails")] = FaultPolicy.FAIL,
    relay: Annotated[RelayMode, typer.Option(help="what the sharer sends in method text")] = RelayMode.WRITTEN,
    data: DataOption = None,
    pair: PairOption = DEFAULT_PAIR,
    fusers: FusersOption = None,
    receiver: ReceiverOption = "",
    sharer: SharerOption = "",
    ca: CaOption = None,
    token_file: TokenOption = None,
    json_file: JsonOption = None,
) -> None:
    """Drive an evaluation set through a pair and report accuracy, bytes and latency."""
    from kvwire.security import ClientSecurity
    from loadtest.datasets import load
    from loadtest.driver import Plan
    from loadtest.table import show

    if scoring not in ("loglik", "letter"):
        raise InvalidRequestError(f"scoring {scoring!r} is not known; use loglik or letter")
    items = load(dataset, data_dir=data, open_book=open_book, limit=limit)
    exchange = Exchange(method=method, codec=codec, policy=policy, fuser=fuser, on_fault=on_fault, relay=relay)
    plan = Plan(exchange, scoring, concurrency)  # type: ignore[arg-type]  # checked above
    configuration = {"dataset": dataset, "open_book": open_book, "limit": limit, "pair": pair, "argv": sys.argv[1:]}
    with services(pair, receiver, sharer, fusers) as addresses:
        security = ClientSecurity(ca=ca, token_file=token_file)
        result = asyncio.run(measure(items, plan, addresses, security, configuration))
    show(dataset, [(run_name(exchange), result)])
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

    to_sharer = plan.exchange.method is Method.SHARER_ONLY
    if to_sharer and not addresses.sharer:
        raise InvalidRequestError("method sharer_only is answered by the sharer; give its address with --sharer")
    described = {}
    for name, address in vars(addresses).items():
        if address:
            async with Client(address, security) as service:
                described[name] = await service.describe()
    async with Client(addresses.sharer if to_sharer else addresses.receiver, security) as client:
        with progress(run_name(plan.exchange), len(items)) as done:
            outcomes = await Driver(client, plan).run(items, done)
    return summarize(configuration, plan, described, outcomes)


def run_name(exchange: Exchange) -> str:
    """How a run is called in tables: its method, and what else tells it from others."""
    match exchange.method:
        case Method.PREFIX | Method.FUSE:
            return " ".join(filter(None, (exchange.method, exchange.codec, exchange.policy)))
        case Method.TEXT:
            return f"text {exchange.relay}"
        case _:
            return exchange.method

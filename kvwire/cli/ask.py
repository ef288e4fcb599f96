"""``kvwire ask``: one question, answered over the wire."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.balancing.choice import Balance
from kvwire.cli.options import (
    DEFAULT_PAIR,
    Addresses,
    BalanceOption,
    CaOption,
    CertOption,
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
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, RelayMode, RequestInfo, Text

if TYPE_CHECKING:
    from kvwire.client import Generation
    from kvwire.report import Report
    from kvwire.security import ClientSecurity


def ask(
    prompt: Annotated[str, typer.Option(help="what the receiver is asked")],
    context: Annotated[str, typer.Option(help="what only the sharer reads")] = "",
    method: Annotated[Method, typer.Option(help="who reads what")] = Method.PREFIX,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "fp16",
    policy: PolicyOption = "",
    fuser: FuserOption = "identity",
    on_fault: Annotated[FaultPolicy, typer.Option(help="what to do when the sharer fails")] = FaultPolicy.FAIL,
    deadline: DeadlineOption = 0.0,
    relay: Annotated[RelayMode, typer.Option(help="what the sharer sends in method text")] = RelayMode.WRITTEN,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer, in tokens")] = 64,
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
    """Ask one question and show the answer, its bytes and its latency."""
    import asyncio

    from kvwire.security import ClientSecurity

    request = GenerateRequest(
        prompt=Text(prompt),
        context=Text(context) if context else None,
        exchange=Exchange(method=method, codec=codec, policy=policy, fuser=fuser, on_fault=on_fault, relay=relay),
        max_new_tokens=max_new_tokens,
        info=RequestInfo(deadline_ms=round(1000 * deadline)),
    )
    with services(pair, receiver, sharer, fusers, codec) as addresses:
        answer = asyncio.run(_ask(request, addresses, ClientSecurity(ca, cert, key, token_file), balance))
    sys.stdout.write(answer.text + "\n\n")
    sys.stdout.write("\n".join(_summary(answer)) + "\n")
    save(asdict(answer), json_file)


async def _ask(
    request: GenerateRequest, addresses: Addresses, security: "ClientSecurity", balance: Balance
) -> "Generation":
    from kvwire.client import Client

    async with Client(addresses.answering(request.exchange.method), security, balance) as client:
        return await client.generate_all(request)


def _summary(answer: "Generation") -> list[str]:
    report, tokens = answer.report, answer.report.tokens
    lines = [
        f"path      {report.path} ({report.reason})",
        f"asked     {report.answered_at}",
        f"tokens    head {tokens.head}, context {tokens.context}, prompt {tokens.prompt}, answer {tokens.generated}",
        *_sharing(report),
        f"latency   first token {answer.first_token_s * 1000:.0f} ms, all {answer.total_s * 1000:.0f} ms",
    ]
    if report.bytes is not None:
        moved = report.bytes
        lines += [
            f"payload   {moved.payload_bytes} bytes, {moved.bits_per_value:.2f} bits per value, codec {report.codec}",
            f"grpc      {moved.grpc_bytes} bytes{_over(moved.grpc_bytes, moved.payload_bytes)}",
            f"socket    {moved.socket_bytes} bytes{_over(moved.socket_bytes, moved.payload_bytes)}, both directions",
            f"formula   {_formula(moved.formula_bytes)}",
            *(f"spared    {one.what}: {one.values} values, {one.bytes} bytes at this rate" for one in moved.spared),
        ]
    return lines


def _sharing(report: "Report") -> list[str]:
    """Who was asked and how often, and how much of a cache came."""
    if not report.tries:
        return []
    answered = ", ".join(report.sharer_addresses) or "nobody"
    came = f", {report.layers_came} of {report.layers_needed} layers" if report.layers_needed else ""
    tries = "1 try" if report.tries == 1 else f"{report.tries} tries"
    return [f"sharer    {answered} answered, {tries}{came}"]


def _over(larger: int, payload: int) -> str:
    return f" (payload {100 * (larger - payload) / payload:+.2f} %)" if payload and larger else ""


def _formula(formula_bytes: float) -> str:
    if not formula_bytes:
        return "none: it knows no precision of this codec"
    return f"{formula_bytes:.0f} bytes (the literature's; forgets layers, scales and indices)"

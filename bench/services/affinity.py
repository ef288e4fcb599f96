"""What asking where a context is held is worth: hits and bytes of one trace, over two sharers and two receivers.

``python -m bench.services.affinity --trace FILE.jsonl --json FILE`` plays the trace (affinity_trace.py; drawn and
written if the file is not there) with several requests in flight, once for each choice: client and receivers choose
alike. Every service may keep ``room`` of all bytes that the trace's contexts take, so two that hold the same hold less
together. Hits and bytes are the services' own counts; how long it took says something on a quiet machine only.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench.services import affinity_trace
from bench.services.fleet import Fleet, fleet
from kvwire.balancing.choice import Balance
from kvwire.client import Client, Generation
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore
from kvwire.requests import Exchange, GenerateRequest, Method, Text
from loadtest.datasets import SpanItem, load_spans
from loadtest.span_scoring import span_context, span_prompt


@dataclass(frozen=True)
class Played:
    """One choice: hits over requests at either side, what moved, who was asked how often, and times by the client."""

    balance: str
    requests: int
    held_rate: float
    no_prefill_rate: float
    payload_bytes: int
    contexts: dict[str, int]
    by_receiver: list[int]
    by_sharer: list[int]
    first_token_ms: dict[str, float]


def kept_bytes(model: str, trace: Sequence[SpanItem]) -> int:
    """What the caches of all contexts of a trace take in float32."""
    stored = ModelStore().pull(model)
    config = json.loads((stored.path / "config.json").read_text(encoding="utf-8"))
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    per_token = int(2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_dim * 4)
    tokenizer = load_tokenizer(stored)
    contexts = {span_context(item) for item in trace}
    return per_token * sum(len(tokenizer(each, add_special_tokens=False).input_ids) for each in contexts)


async def ask_all(services: Fleet, trace: Sequence[SpanItem], balance: Balance, at_once: int) -> list[Generation]:
    """In the trace's order, the next one as soon as one of so many is answered.

    Raises:
        KvwireError: What a request met.
    """
    places = asyncio.Semaphore(at_once)
    exchange = Exchange(Method.PREFIX, codec="int8")

    async def one(client: Client, item: SpanItem) -> Generation:
        async with places:
            prompt, context = Text(span_prompt(item)), Text(span_context(item))
            return await client.generate_all(GenerateRequest(prompt, context, exchange, 1, ignore_eos=True))

    async with Client(services.receiver, balance=balance) as client:
        return list(await asyncio.gather(*(one(client, item) for item in trace)))


def play(model: str, trace: Sequence[SpanItem], balance: Balance, room_bytes: int, at_once: int) -> Played:
    """Play a trace on services that hold nothing yet."""
    own = ["--model", model, "--threads", "1", "--log-level", "warning", "--reuse-bytes", str(room_bytes)]
    with tempfile.TemporaryDirectory() as logs, fleet(own, Path(logs), 2, ["--balance", balance]) as services:
        answers = asyncio.run(ask_all(services, trace, balance, at_once))
        receivers, sharers = ([each.scrape() for each in side] for side in (services.receivers, services.sharers))
    first_ms = [1000 * each.first_token_s for each in answers]
    asked = len(trace)
    contexts = {
        known: round(sum(each.total("kvwire_contexts_total", known=known) for each in sharers))
        for known in ("nothing", "layers", "frames", "placed")
    }
    return Played(
        balance,
        asked,
        sum(each.total("kvwire_held_total") for each in receivers) / asked,
        1 - contexts["nothing"] / asked,
        round(sum(each.total("kvwire_wire_bytes_total", counter="payload") for each in receivers)),
        contexts,
        [round(each.total("kvwire_answers_total")) for each in receivers],
        [round(each.total("kvwire_contexts_total")) for each in sharers],
        {f"p{share}": float(np.percentile(first_ms, share)) for share in (50, 95)},
    )


def main(
    trace_file: Annotated[Path, typer.Option("--trace", help="the trace; drawn and written if it is not there")],
    json_file: Annotated[Path | None, typer.Option("--json", help="also write what was found here")] = None,
    model: Annotated[str, typer.Option(help="of all services")] = "smollm2-135m",
    balance: Annotated[list[Balance] | None, typer.Option(help="may be repeated; default: all choices")] = None,
    contexts: Annotated[int, typer.Option(min=2, help="of a trace that is drawn")] = 80,
    requests: Annotated[int, typer.Option(min=1, help="of a trace that is drawn")] = 400,
    room: Annotated[float, typer.Option(help="of all contexts' bytes, what each service may keep")] = 0.3,
    at_once: Annotated[int, typer.Option(min=1, help="requests in flight")] = 4,
    note: Annotated[str, typer.Option(help="what a reader must know of the machine; kept with the result")] = "",
    data: Annotated[Path | None, typer.Option(envvar="KVWIRE_DATA", help="folder of local dataset files")] = None,
) -> None:
    """Play the trace for each choice and tell hits and bytes."""
    items = load_spans("xquad_en", data_dir=data)
    if not trace_file.exists():
        affinity_trace.write(affinity_trace.draw(items, contexts, requests), trace_file)
    trace = affinity_trace.read(trace_file, items)
    room_bytes = round(room * kept_bytes(model, trace))
    found = []
    for choice in balance or Balance:
        played = play(model, trace, choice, room_bytes, at_once)
        found.append(played)
        sys.stdout.write(
            f"{choice}: held at the receiver {100 * played.held_rate:.1f} %, no prefill "
            f"{100 * played.no_prefill_rate:.1f} %, payload {played.payload_bytes / 1e6:.2f} MB\n"
        )
        sys.stdout.flush()
    if json_file is not None:
        about: dict[str, Any] = {
            "note": note,
            "model": ModelStore().pull(model).id,
            "room": room,
            "room_bytes": room_bytes,
            "at_once": at_once,
        }
        about |= {"requests": len(trace), "contexts": len({item.context for item in trace})}
        json_file.write_text(json.dumps({**about, "choices": [asdict(each) for each in found]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

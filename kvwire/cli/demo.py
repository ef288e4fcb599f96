"""``kvwire demo``: the main job in one command."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kvwire.cli.loadtest import measure, run_name
from kvwire.cli.options import DEFAULT_PAIR, Addresses, JsonOption, PairOption, save
from kvwire.requests import Exchange, Method, RelayMode

CODECS = ("fp16", "int8", "nf4", "int4", "int4+keep=0.5,by=value_norm")

RUNS = (
    Exchange(method=Method.RECEIVER_ONLY),
    Exchange(method=Method.RECEIVER_READS),
    Exchange(method=Method.TEXT, relay=RelayMode.WRITTEN),
    Exchange(method=Method.TEXT, relay=RelayMode.VERBATIM),
    *(Exchange(method=Method.PREFIX, codec=codec) for codec in CODECS),
)


def demo(
    pair: PairOption = DEFAULT_PAIR,
    limit: Annotated[int | None, typer.Option(min=1, help="first so many items")] = None,
    json_file: JsonOption = None,
) -> None:
    """Start a sharer and a receiver, drive 60 questions through methods and codecs, print one table."""
    from kvwire.models.reference import ModelReference
    from kvwire.models.store import ModelStore
    from kvwire.processes import Pair, running_pair
    from kvwire.security import ClientSecurity
    from loadtest.datasets import load
    from loadtest.driver import Plan
    from loadtest.table import show

    models = Pair.parse(pair)
    for reference in dict.fromkeys((models.sharer, models.receiver)):
        ModelStore().pull(ModelReference.parse(reference))
    items = load("pocket", limit=limit)
    results = []
    with tempfile.TemporaryDirectory() as logs, running_pair(models, log_dir=Path(logs)) as (sharer, receiver):
        sys.stderr.write(f"sharer at {sharer.address}, receiver at {receiver.address}\n")
        for exchange in RUNS:
            run = measure(
                items,
                Plan(exchange),
                Addresses(sharer.address, receiver.address),
                ClientSecurity(),
                {"dataset": "pocket", "pair": pair},
            )
            results.append((run_name(exchange), asyncio.run(run)))
    show(f"pocket: {len(items)} questions whose facts only the sharer knows, {pair}", results)
    save(dict(results), json_file)
    if any(result["failed"] for _, result in results):
        sys.stderr.write("some items failed; run again with --json and look at per_item\n")
        raise typer.Exit(1)

"""``kvwire experiment``: recipes through the wire, and the report of what came of them."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli.options import (
    DEFAULT_PAIR,
    Addresses,
    CaOption,
    JsonOption,
    PairOption,
    ReceiverOption,
    SharerOption,
    TokenOption,
)
from kvwire.errors import InvalidRequestError

if TYPE_CHECKING:
    from experiments.plan import Plan
    from kvwire.security import ClientSecurity

DataOption = Annotated[
    Path | None,
    typer.Option(envvar="KVWIRE_DATA", help="folder of local dataset files; without it the hub is asked"),
]

app = typer.Typer(help="Measure recipes over the wire, and report on them.", no_args_is_help=True)

# The arms of an item follow one another, so a few contexts are enough; 300 tokens of SmolLM2 take 14 MB.
_REUSE_BYTES = 512 * 1024 * 1024


@app.command()
def run(
    recipe: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="files, or names of recipes we ship")],
    out: Annotated[Path, typer.Option(help="folder of the results; a run that was cut short goes on there")],
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many items of each dataset")] = None,
    data: DataOption = None,
    pair: PairOption = DEFAULT_PAIR,
    receiver: ReceiverOption = "",
    sharer: SharerOption = "",
    ca: CaOption = None,
    token_file: TokenOption = None,
    json_file: JsonOption = None,
) -> None:
    """Run recipes: every item of every dataset through every arm, one line of JSON for each."""
    from experiments.curves import rows_of
    from experiments.plan import plan_of
    from experiments.questions.load import load_questions
    from experiments.recipe import load_recipe
    from experiments.results import load_results
    from kvwire.security import ClientSecurity

    recipes = [load_recipe(reference) for reference in recipe]
    names = [named.name for named in recipes]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"two recipes have one name ({', '.join(names)}); rename a file")
    plans = [plan_of(named, load_questions(named, data, limit)) for named in recipes]
    with _services(pair, receiver, sharer) as addresses:
        asyncio.run(_run_all(plans, addresses, ClientSecurity(ca=ca, token_file=token_file), out))
    results = [load_results(out / name) for name in names]
    if json_file is not None:
        rows = {found.name: [row.to_json() for row in rows_of(found)] for found in results}
        json_file.write_text(json.dumps(rows, indent=1) + "\n")
    if failures := sum(found.failures for found in results):
        sys.stderr.write(f"{failures} lines are failures; the report counts and lists them\n")
    print(f"results in {out}; now: kvwire experiment report {out}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of `experiment run --out`")],
) -> None:
    """Write the page, the figures and the tables of all results in a folder."""
    from experiments.report import write_report

    for path in write_report(folder):
        print(path)


@contextmanager
def _services(pair: str, receiver: str, sharer: str) -> Iterator[Addresses]:
    """The services at the given addresses, or a pair whose sharer keeps what it has read."""
    if bool(receiver) != bool(sharer):
        raise InvalidRequestError("give both --receiver and --sharer, or neither: both models go into the provenance")
    if receiver:
        yield Addresses(sharer, receiver)
        return
    from kvwire.processes import Pair, running_pair

    keeping = ["--reuse-bytes", str(_REUSE_BYTES)]
    with running_pair(Pair.parse(pair), ["--log-level", "warning"], sharer_arguments=keeping) as (far, near):
        yield Addresses(far.address, near.address)


async def _run_all(plans: "Sequence[Plan]", addresses: Addresses, security: "ClientSecurity", out: Path) -> None:
    """Check all plans against the services, then run them."""
    from experiments.ledger import Ledger
    from experiments.preflight import preflight
    from experiments.progress import progress
    from experiments.provenance import begin, provenance
    from experiments.runner import Runner
    from kvwire.client import Client

    names = {addresses.receiver: "the receiver", addresses.sharer: "the sharer"}
    async with Client(addresses.receiver, security) as client, Client(addresses.sharer, security) as far:
        described = {"receiver": await client.describe(), "sharer": await far.describe()}
        for plan in plans:
            await preflight(client, plan.named)
        for plan in plans:
            folder = out / plan.named.name
            folder.mkdir(parents=True, exist_ok=True)
            begin(folder / "run.json", provenance(plan, described))
        for plan in plans:
            keys = list(plan.keys())
            with (
                Ledger(out / plan.named.name / "results.jsonl", keys) as ledger,
                progress(plan.named.name, ledger.done, len(keys)) as told,
            ):
                await Runner(client, plan, names).run(ledger, told)

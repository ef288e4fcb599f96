"""``kvwire experiment``: recipes through the wire, and the report of what came of them."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli import lm_eval, official
from kvwire.cli.options import (
    DEFAULT_PAIR,
    Addresses,
    CaOption,
    DataOption,
    FusersOption,
    JsonOption,
    PairOption,
    ReceiverOption,
    SharerOption,
    TokenOption,
    fusers_arguments,
)
from kvwire.errors import InvalidRequestError

if TYPE_CHECKING:
    from experiments.plan import Plan
    from kvwire.security import ClientSecurity

app = typer.Typer(help="Measure recipes over the wire, and report on them.", no_args_is_help=True)

# The arms of an item follow one another, so a few contexts are enough; 300 tokens of SmolLM2 take 14 MB.
_REUSE_BYTES = 512 * 1024 * 1024


@app.command()
def run(
    recipe: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="files, or names of recipes we ship")],
    out: Annotated[Path, typer.Option(help="folder of the results; a run that was cut short goes on there")],
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many items of each dataset")] = None,
    workers: Annotated[int, typer.Option(min=1, help="pairs to start, each for an item at a time")] = 1,
    data: DataOption = None,
    pair: PairOption = DEFAULT_PAIR,
    fusers: FusersOption = None,
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
    with _services(pair, workers, receiver, sharer, fusers) as pairs:
        asyncio.run(_run_all(plans, pairs, ClientSecurity(ca=ca, token_file=token_file), out))
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


app.command("lm-eval")(lm_eval.lm_eval)
app.command("import")(official.import_evaluation)


@contextmanager
def _services(
    pair: str, workers: int, receiver: str, sharer: str, fusers: Sequence[str] | None
) -> Iterator[list[Addresses]]:
    """The services at the given addresses, or pairs that share the cores, whose sharers keep what they have read."""
    if bool(receiver) != bool(sharer):
        raise InvalidRequestError("give both --receiver and --sharer, or neither: both models go into the provenance")
    if receiver:
        if workers > 1:
            raise InvalidRequestError("--workers starts pairs of its own; leave it out, or --receiver and --sharer")
        yield [Addresses(sharer, receiver)]
        return
    from kvwire.processes import Pair, running_pair

    arguments = ["--log-level", "warning", *fusers_arguments(fusers)]
    if workers > 1:
        arguments += ["--threads", str(max(1, (os.cpu_count() or 1) // workers))]
    keeping = ["--reuse-bytes", str(_REUSE_BYTES)]
    with ExitStack() as stack:
        pairs = [
            stack.enter_context(running_pair(Pair.parse(pair), arguments, sharer_arguments=keeping))
            for _ in range(workers)
        ]
        yield [Addresses(far.address, near.address) for far, near in pairs]


async def _run_all(plans: "Sequence[Plan]", pairs: Sequence[Addresses], security: "ClientSecurity", out: Path) -> None:
    """Check all plans against the services, then run them."""
    from experiments.ledger import Ledger
    from experiments.preflight import preflight
    from experiments.progress import progress
    from experiments.provenance import begin, provenance
    from experiments.runner import Runner
    from kvwire.client import Client

    names = {pair.receiver: "the receiver" for pair in pairs} | {pair.sharer: "the sharer" for pair in pairs}
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(pair.receiver, security)) for pair in pairs]
        sharer = await stack.enter_async_context(Client(pairs[0].sharer, security))
        described = {"receiver": await clients[0].describe(), "sharer": await sharer.describe()}
        for plan in plans:
            for client in clients:
                await preflight(client, plan.named)
        for plan in plans:
            folder = out / plan.named.name
            folder.mkdir(parents=True, exist_ok=True)
            begin(folder / "run.json", provenance(plan, described, len(pairs)))
        for plan in plans:
            keys = list(plan.keys())
            with (
                Ledger(out / plan.named.name / "results.jsonl", keys) as ledger,
                progress(plan.named.name, ledger.done, len(keys)) as told,
            ):
                await Runner(clients, plan, names).run(ledger, told)

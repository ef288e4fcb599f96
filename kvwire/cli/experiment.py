"""``kvwire experiment``: recipes through the wire, and the report of what came of them."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvwire.cli.engines import Actors, EngineName, Models, Running, in_process, on_ray
from kvwire.cli.options import (
    DEFAULT_PAIR,
    CaOption,
    DataOption,
    FusersOption,
    JsonOption,
    PairOption,
    ReceiverOption,
    SharerOption,
    TokenOption,
)
from kvwire.errors import InvalidRequestError
from kvwire.processes import Pair

if TYPE_CHECKING:
    from experiments.engines.base import Worker
    from experiments.plan import Plan

app = typer.Typer(help="Measure recipes over the wire, and report on them.", no_args_is_help=True)

_ENGINES = {EngineName.IN_PROCESS: in_process, EngineName.RAY: on_ray}


@app.command()
def run(
    recipe: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="files, or names of recipes we ship")],
    out: Annotated[Path, typer.Option(help="folder of the results; a run that was cut short goes on there")],
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many items of each dataset")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="pairs to start, each for an item at a time")] = None,
    engine: Annotated[EngineName, typer.Option(help="where pairs run: beside this, or in actors of Ray")] = (
        EngineName.IN_PROCESS
    ),
    actors: Annotated[int | None, typer.Option(min=1, help="of Ray, each with a pair of its own")] = None,
    actor_cpus: Annotated[int | None, typer.Option(min=1, help="cores of each, and threads of a service; 1")] = None,
    actor_gpus: Annotated[
        float | None, typer.Option(min=0, max=1, help="GPU of each, or a part of one, which its services compute on")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="local: a Ray of our own (default); auto or HOST:PORT: one that runs")
    ] = None,
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

    recipes = [load_recipe(reference) for reference in recipe]
    names = [named.name for named in recipes]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"two recipes have one name ({', '.join(names)}); rename a file")
    plans = [plan_of(named, load_questions(named, data, limit)) for named in recipes]
    chosen = _ENGINES[engine](
        Models(Pair.parse(pair), fusers),
        Running(receiver, sharer, ca, token_file),
        workers,
        Actors(actors, actor_cpus, actor_gpus, ray_address),
    )
    with chosen.workers() as ready:
        asyncio.run(_run_all(plans, ready, chosen.facts, out))
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


async def _run_all(plans: "Sequence[Plan]", workers: "Sequence[Worker]", facts: dict[str, Any], out: Path) -> None:
    """Check all plans against the services, then run them."""
    from experiments.ledger import Ledger
    from experiments.progress import progress
    from experiments.provenance import begin, provenance
    from experiments.runner import Runner

    async with AsyncExitStack() as stack:
        for worker in workers:
            stack.push_async_callback(worker.close)
        introduced = await asyncio.gather(*(worker.introduce() for worker in workers))
        for plan in plans:
            await asyncio.gather(*(worker.check(plan.named) for worker in workers))
        for plan in plans:
            folder = out / plan.named.name
            folder.mkdir(parents=True, exist_ok=True)
            begin(folder / "run.json", provenance(plan, introduced, facts))
        for plan in plans:
            keys = list(plan.keys())
            with (
                Ledger(out / plan.named.name / "results.jsonl", keys) as ledger,
                progress(plan.named.name, ledger.done, len(keys)) as told,
            ):
                await Runner(workers, plan).run(ledger, told)

"""``kvwire experiment``: recipes through the wire, and the report of what came of them."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli import experiment_matrix, experiment_preset, lm_eval, official
from kvwire.cli.engines import Actors, EngineName, Running, in_process, on_ray
from kvwire.cli.experiment_run import run_all
from kvwire.cli.options import (
    ArtifactsOption,
    CaOption,
    CertOption,
    DataOption,
    FusersOption,
    JsonOption,
    KeyOption,
    ReceiverOption,
    SharerOption,
    TokenOption,
    save,
)
from kvwire.errors import InvalidRequestError
from kvwire.processes import Pair

if TYPE_CHECKING:
    from experiments.plan import Plan
    from experiments.results import Results

app = typer.Typer(
    help="Measure recipes over the wire, and report on them.", no_args_is_help=True, rich_markup_mode=None
)
app.command("matrix")(experiment_matrix.matrix)
app.command("lm-eval")(lm_eval.lm_eval)
app.command("import")(official.import_evaluation)

_ENGINES = {EngineName.IN_PROCESS: in_process, EngineName.RAY: on_ray}


@app.command()
def run(
    recipe: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE...", help="files, or names of recipes we ship")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder of the results; a run that was cut short goes on there")
    ] = None,
    preset: Annotated[str, typer.Option(help="instead of recipes, all rows of the matrix: local, full or h100")] = "",
    minutes: Annotated[float, typer.Option(min=1, help="how long preset local may take, making included")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="of a preset: look whether it can run, and stop")] = False,
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
    pair: Annotated[
        str, typer.Option(help="models as SHARER:RECEIVER; default: the recipe's, or else smollm2-135m on both sides")
    ] = "",
    fusers: FusersOption = None,
    artifacts: ArtifactsOption = None,
    receiver: ReceiverOption = "",
    sharer: SharerOption = "",
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    token_file: TokenOption = None,
    json_file: JsonOption = None,
) -> None:
    """Run recipes: every item of every dataset through every arm, one line of JSON for each."""
    import asyncio

    from experiments.results import find_results, load_results
    from kvwire.cli.experiment_groups import Given, grouped
    from kvwire.cli.experiment_services import running, started

    if receiver and (pair or fusers):
        raise InvalidRequestError(
            "--pair and --fusers are for services that are started here; leave them out, or --receiver and --sharer"
        )
    of_recipes = bool(pair or fusers or receiver or sharer or limit)
    _check_together(preset, recipe, engine, dry_run=dry_run, of_recipes=of_recipes)
    if pair:
        Pair.parse(pair)  # refused before an engine is looked for
    chosen = _ENGINES[engine](
        Running(receiver, sharer, ca, cert, key, token_file),
        workers,
        Actors(actors, actor_cpus, actor_gpus, ray_address),
    )
    given = Given(pair, tuple(fusers or ()), data, artifacts, chosen.devices, chosen.options)
    if dry_run:
        experiment_preset.dry_run(preset, given)
        return
    if out is None:
        raise InvalidRequestError("give --out, a folder for the results; only --dry-run needs none")
    if preset:
        experiment_preset.command(preset, minutes, out, given, chosen.engine)
        _tell(find_results(out), out, json_file)
        return
    plans = _plans(recipe or (), data, limit)
    if receiver:
        with chosen.engine.workers(partial(running, sharer, receiver)) as ready:
            asyncio.run(run_all(plans, ready, chosen.engine.facts, out))
    else:
        for group in grouped(plans, given):
            with chosen.engine.workers(partial(started, group.wanted)) as ready:
                asyncio.run(run_all(group.plans, ready, chosen.engine.facts, out, group.made))
    _tell([load_results(out / plan.named.name) for plan in plans], out, json_file)


def _plans(references: Sequence[str], data: Path | None, limit: int | None) -> "list[Plan]":
    """The recipes with their questions.

    Raises:
        InvalidRequestError: Two would write into one folder, or one of them cannot be run.
    """
    from experiments.plan import plan_of
    from experiments.questions.load import load_questions
    from experiments.recipe import load_recipe

    recipes = [load_recipe(reference) for reference in references]
    names = [named.name for named in recipes]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"two recipes have one name ({', '.join(names)}); rename a file")
    return [plan_of(named, load_questions(named, data, limit)) for named in recipes]


def _check_together(
    preset: str, recipe: list[str] | None, engine: EngineName, *, dry_run: bool, of_recipes: bool
) -> None:
    """Refuse arguments that say nothing together; ``of_recipes``: some were given that are for recipes alone."""
    if bool(preset) == bool(recipe):
        raise InvalidRequestError("name recipes, or give --preset; one of the two")
    if dry_run and not preset:
        raise InvalidRequestError("--dry-run looks whether a preset can run; give --preset")
    if preset and of_recipes:
        raise InvalidRequestError(
            "the recipes of a preset name their pairs and fusers, and their sizes follow from the time; "
            "leave --pair, --fusers, --receiver, --sharer and --limit out"
        )
    if preset and engine is EngineName.RAY:
        raise InvalidRequestError(
            "a preset is cut to this machine's time and devices and is not offered on Ray; name its recipes instead, "
            "`kvwire experiment matrix` lists them"
        )


@app.command()
def make(
    recipe: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="files, or names of recipes we ship")],
    data: DataOption = None,
    pair: Annotated[str, typer.Option(help="models as SHARER:RECEIVER; default: the recipe's")] = "",
    artifacts: ArtifactsOption = None,
) -> None:
    """Make what recipes need, fusers and tables, and nothing more; what is made already is left as it is."""
    from experiments.recipe import load_recipe
    from kvwire.cli.experiment_groups import Given

    given = Given(pair, data=data, artifacts=artifacts)
    for named in map(load_recipe, recipe):
        for name, sha256 in given.needs_of(named.recipe).make().items():
            print(f"{named.name}: {name} {sha256}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of `experiment run --out`")],
    json_file: JsonOption = None,
) -> None:
    """Write the page, the figures and the tables of all results in a folder."""
    from experiments.report import write_report
    from experiments.results import find_results

    for path in write_report(folder, lambda said: typer.echo(said, err=True)):
        print(path)
    _write_rows(find_results(folder), json_file)


def _tell(results: "Sequence[Results]", out: Path, json_file: Path | None) -> None:
    """Where the results are, and how many failed."""
    _write_rows(results, json_file)
    if failures := sum(found.failures for found in results):
        sys.stderr.write(f"{failures} lines are failures; the report counts and lists them\n")
    print(f"results in {out}; now: kvwire experiment report {out}")


def _write_rows(results: "Sequence[Results]", json_file: Path | None) -> None:
    from experiments.curves import rows_of

    if json_file is not None:  # intervals take seconds
        save({found.name: [row.to_json() for row in rows_of(found)] for found in results}, json_file)

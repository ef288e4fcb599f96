"""``kvwire experiment matrix``: each row of the matrix, and how far it has come here."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kvwire.cli.experiment_checks import absent, look
from kvwire.cli.experiment_groups import Given
from kvwire.cli.options import ArtifactsOption, DataOption, JsonOption, save

if TYPE_CHECKING:
    from experiments.matrix import Entry


@dataclass(frozen=True)
class RowState:
    """One row as one recipe measures it.

    ``state``: ``measured`` (all items of the run), ``ready`` (nothing is missing that cannot be made here) or
    ``missing``. ``why``: how many items, what is to be done first, or what is missing.
    """

    row: str
    title: str
    recipe: str
    state: str
    why: str


def matrix(
    out: Annotated[Path | None, typer.Option(help="folder of results: what was measured there counts")] = None,
    data: DataOption = None,
    artifacts: ArtifactsOption = None,
    json_file: JsonOption = None,
) -> None:
    """List every row of the matrix: measured, ready to be, or what is missing for it."""
    states = row_states(out, Given(data=data, artifacts=artifacts))
    save([asdict(state) for state in states], json_file)
    table = Table("row", "what", "recipe", "state", "", box=SIMPLE_HEAD, pad_edge=False)
    for state in states:
        table.add_row(state.row, state.title, state.recipe, state.state, state.why)
    Console(width=None if sys.stdout.isatty() else 240).print(table, highlight=False)


def write_states(out: Path, given: Given) -> None:
    """Write the rows' states beside the results."""
    from experiments.report.matrix import FILE

    save([asdict(state) for state in row_states(out, given)], out / FILE)


def row_states(out: Path | None, given: Given) -> list[RowState]:
    """Of every row of every recipe we ship."""
    from experiments.matrix import entries

    found: dict[str, tuple[str, str]] = {}
    states = []
    for entry in entries():
        name = entry.named.name
        if name not in found:
            found[name] = _measured(name, out) or _possible(entry, given)
        states.append(RowState(entry.row, entry.title, name, *found[name]))
    return states


def _measured(recipe: str, out: Path | None) -> tuple[str, str] | None:
    from experiments.results import load_results

    if out is None or not (out / recipe / "run.json").is_file():
        return None
    sets = load_results(out / recipe).datasets
    done = all(len(each.items) == each.planned for each in sets)
    counted = ", ".join(f"{each.name} {len(each.items)} of {each.planned} items" for each in sets)
    return ("measured", counted) if done else ("ready", f"begun: {counted}")


def _possible(entry: "Entry", given: Given) -> tuple[str, str]:
    from experiments.artifacts import making_minutes
    from kvwire.models.store import ModelStore

    failed = next((check for check in look(entry.named, given, ask_hub=False) if not check.passed), None)
    if failed is not None:
        return "missing", f"{failed.what}: {failed.said}"
    missing = [f"{each.what} ({each.giver})" for each in absent(entry.named, given, on_gpu=entry.variant == "")]
    if missing:
        return "missing", "needs " + ", ".join(missing)
    pair, store = given.pair_of(entry.named.recipe), ModelStore()
    if away := [model for model in (pair.sharer, pair.receiver) if store.find(model) is None]:
        return "ready", f"{', '.join(dict.fromkeys(away))} will be fetched first"
    minutes = making_minutes(given.needs_of(entry.named.recipe).artifacts) if given.data else None
    return "ready", f"about {minutes:.0f} minutes of making come first" if minutes else ""

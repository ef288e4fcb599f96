"""The rows of an experiment matrix: measured here, with a headline; or not, and why.

``matrix.json`` in a folder of results lists the rows wanted, as ``kvwire experiment matrix --json`` writes them::

    [{"row": "B1-local", "title": TEXT, "recipe": NAME, "state": "measured" | "ready" | "missing",
      "why": TEXT}, ...]

A run says under ``row`` in its ``run.json`` which rows it measures. What was run here counts as measured, whatever the
list says; a row that is in no list gets a line all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from experiments.curves import Row
from experiments.report.headline import headline
from experiments.report.table import Table
from experiments.results import Results
from kvwire.errors import InvalidRequestError

#: Beside the results of a folder: what the report knows of rows that have none.
FILE = "matrix.json"

#: Of what was not run here.
_STATES = {"measured": "measured elsewhere", "ready": "ready, not run here", "missing": "missing"}


class Wanted(BaseModel):
    """One row of the list, as one recipe measures it; what else is said of it is not shown."""

    model_config = ConfigDict(frozen=True)

    row: str
    title: str = ""
    recipe: str = ""
    state: Literal["measured", "ready", "missing"]
    why: str = ""


@dataclass(frozen=True)
class Run:
    """A run's results, and its rows by dataset and arm."""

    results: Results
    rows: Sequence[Row]


def wanted_rows(folder: Path) -> tuple[Wanted, ...]:
    """The list of a folder; empty if it has none.

    Raises:
        InvalidRequestError: It is no such list.
    """
    path = folder / FILE
    if not path.is_file():
        return ()
    try:
        return tuple(TypeAdapter(list[Wanted]).validate_json(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(f"{path}, {place or 'the whole'}: {first['msg']}; see docs/experiments.md") from error


def matrix_table(wanted: Sequence[Wanted], runs: Sequence[Run]) -> Table | None:
    """A line per row, recipe and dataset measured here, and one per row and recipe that was not.

    None if nobody speaks of rows.
    """
    listed = {(each.row, each.recipe): each for each in wanted}
    measured = {(row, run.results.name): run for run in runs for row in run.results.run.get("row", ())}
    if not listed and not measured:
        return None
    body: list[list[str]] = []
    for place in dict.fromkeys([*listed, *measured]):
        each = listed.get(place)
        if place in measured:
            body += _measured(place[0], each, measured[place])
        elif each:
            body.append([each.row, each.title, each.recipe, _STATES[each.state], "-", each.why])
    return Table(
        "matrix", "The matrix", [["row", "what", "recipe", "state", "items", "headline, or why not"], *body], words=True
    )


def _measured(name: str, wanted: Wanted | None, run: Run) -> Iterator[list[str]]:
    title = wanted.title if wanted and wanted.title else run.results.title
    for dataset in run.results.datasets:
        own = [row for row in run.rows if row.dataset == dataset.name]
        items = " of ".join(dict.fromkeys((str(len(dataset.items)), str(dataset.planned))))
        said = headline(own) if own else "not begun"
        yield [name, f"{title}: {dataset.name}", run.results.name, "measured here", items, said]

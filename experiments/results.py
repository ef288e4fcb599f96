"""Reads a run's folder back: what was asked, and of every item that all arms have answered, the lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.arms import Arm
from experiments.provenance import FORMAT
from experiments.questions.base import Shown
from experiments.record import Record
from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.requests import Method, RelayMode


@dataclass(frozen=True)
class DatasetResults:
    """Lines by arm, each in the order of ``items``, as is the document each is of.

    ``planned`` is the number of items of the whole run.
    """

    name: str
    items: tuple[str, ...]
    clusters: tuple[str, ...]
    planned: int
    arms: tuple[Arm, ...]
    records: Mapping[str, tuple[Record, ...]]

    @property
    def reference(self) -> Arm:
        """The uncompressed cache, which the others are compared with."""
        return next(arm for arm in self.arms if arm.reference)


@dataclass(frozen=True)
class Results:
    """One recipe's results. ``run`` is its provenance."""

    name: str
    run: Mapping[str, Any]
    datasets: tuple[DatasetResults, ...]

    @property
    def title(self) -> str:
        """The recipe's."""
        return str(self.run["title"])

    @property
    def failures(self) -> int:
        """Lines with an error."""
        return sum(
            record["error"] is not None
            for dataset in self.datasets
            for lines in dataset.records.values()
            for record in lines
        )


def find_results(folder: Path) -> list[Results]:
    """All results of a folder of ``experiment run --out``, by name.

    Raises:
        NotFoundError: There are none.
        InvalidRequestError: One of them cannot be read.
    """
    found = sorted(folder.glob("*/run.json"))
    if not found:
        raise NotFoundError(f"{folder} holds no results (NAME/run.json); give the --out of an experiment run")
    return [load_results(run.parent) for run in found]


def load_results(folder: Path) -> Results:
    """The results of one recipe; a last line cut short, and items not all arms have answered, are left out.

    Raises:
        InvalidRequestError: Not the files of a run, or of a run of another format.
    """
    run = _read_run(folder / "run.json")
    path = folder / "results.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    try:
        records: list[Record] = [json.loads(line) for line in lines]
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequestError(f"{path} has a line that is no JSON ({error}); run the experiment again") from error
    datasets = []
    for described in run["datasets"]:
        arms = tuple(_arm(fields) for fields in described["arms"])
        own = len(described["items"]) * len(arms)
        datasets.append(_dataset(described, arms, records[:own]))
        records = records[own:]
    return Results(run["recipe"]["name"], run, tuple(datasets))


def _read_run(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_bytes())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequestError(f"{path} is no provenance of a run ({error})") from error
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise InvalidRequestError(f"{path} is not of format {FORMAT}; another version of kvwire wrote it")
    return run


def _arm(fields: dict[str, Any]) -> Arm:
    said = {"method": Method(fields["method"]), "relay": RelayMode(fields["relay"])}
    # Runs of before sharers were shown more than the context do not say so.
    return Arm(**{**fields, **said, "shown": Shown(fields.get("shown", Shown.CONTEXT))})


def _dataset(described: dict[str, Any], arms: tuple[Arm, ...], records: list[Record]) -> DatasetResults:
    whole = len(records) // len(arms)
    rounds = [records[at : at + len(arms)] for at in range(0, whole * len(arms), len(arms))]
    items = tuple(lines[0]["item"] for lines in rounds)
    return DatasetResults(
        name=described["name"],
        items=items,
        # Runs of before there were clusters have none.
        clusters=tuple(described.get("clusters", items)[:whole]),
        planned=len(described["items"]),
        arms=arms,
        records={arm.name: tuple(lines[index] for lines in rounds) for index, arm in enumerate(arms)},
    )

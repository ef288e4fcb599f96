"""``kvwire experiment import`` and ``kvwire fuser import-training``: recipes of the official C2C code as ours."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kvwire.cli.files import writable
from kvwire.cli.options import JsonOption, save

if TYPE_CHECKING:
    from kvwire.official import LeftOut


def import_evaluation(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="an official evaluation recipe (YAML)")],
    out: Annotated[Path, typer.Argument(metavar="RECIPE", help="the YAML file to write", callback=writable)],
    json_file: JsonOption = None,
) -> None:
    """Turn an official C2C evaluation recipe into one of ours, and say what of it has no counterpart."""
    from experiments.official import import_evaluation as imported

    found = imported(file, out)
    out.write_text(found.text, encoding="utf-8")
    _tell([found.command], found.left_out, asdict(found) | {"recipe": str(out)}, json_file)


def import_training(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="an official training recipe (JSON or YAML)")],
    json_file: JsonOption = None,
) -> None:
    """Say which commands train what an official C2C training recipe trains, and what of it has no counterpart."""
    from fuser.official.training import import_training as imported

    found = imported(file)
    _tell([found.fresh, found.train], found.left_out, asdict(found), json_file)


def _tell(
    commands: Sequence[str], left_out: "Sequence[LeftOut]", everything: dict[str, Any], json_file: Path | None
) -> None:
    """Commands on standard output, for a shell to run; what is left out beside them."""
    sys.stdout.write("\n".join(commands) + "\n")
    save(everything, json_file, default=str)
    if not left_out:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="without a counterpart")
    for column in ("key", "says", "because"):
        table.add_column(column, overflow="fold")
    for each in left_out:
        table.add_row(each.key, json.dumps(each.value, default=str), each.why)
    Console(stderr=True).print(table)

"""``kvwire fuser``: convert checkpoints, check them over the wire, and see how tokens of two models align."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kvwire.cli import fuser_fresh, fuser_make, fuser_train, official
from kvwire.cli.files import writable
from kvwire.cli.options import JsonOption, save

app = typer.Typer(help="Make, convert, check and look into fusers.", no_args_is_help=True, rich_markup_mode=None)

# What float32 arithmetic of another order differs by stays ten times below.
_TOLERANCE = 1e-4


app.command("calibrate")(fuser_make.calibrate)
app.command("fresh")(fuser_fresh.fresh)
app.command("train")(fuser_train.train)
app.command("import-training")(official.import_training)


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a fuser with its expected outputs (cases.safetensors)")
    ],
    tolerance: Annotated[float, typer.Option(min=0, help="largest absolute difference")] = _TOLERANCE,
    json_file: JsonOption = None,
) -> None:
    """Run every case of a folder through two services over the wire at fp32, and compare with what it expects."""
    import asyncio

    from kvwire.verify.run import verify as run

    compared = asyncio.run(run(folder))
    found = asdict(compared) | {"folder": str(folder), "tolerance": tolerance, "passed": compared.within(tolerance)}
    save(found, json_file)
    for name, value in found.items():
        sys.stdout.write(f"{name:<20} {', '.join(value) if name == 'cases' else value}\n")
    if not compared.within(tolerance):
        raise typer.Exit(1)


@app.command()
def convert(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="an official C2C checkpoint, or hf:OWNER/NAME@COMMIT/FOLDER of one")
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write", callback=writable)],
    sharer: Annotated[str, typer.Option(help="the model it was trained to read, as kvwire models names it")],
    receiver: Annotated[str, typer.Option(help="the model it was trained to write to")],
) -> None:
    """Write an official C2C checkpoint as one safetensors file, bound to the exact weights of both models."""
    from fuser.official.layout import read_official
    from fuser.projectors import c2c_file
    from kvwire.models.hub_folder import fetch_folder
    from kvwire.models.store import ModelStore

    path = fetch_folder(folder) if folder.startswith("hf:") else Path(folder)
    store = ModelStore()
    models = [store.pull(name).binding for name in (sharer, receiver)]
    c2c_file.write(read_official(path).bound(*models), out, {"how": "converted", "from": path.name})
    sys.stdout.write(f"{out}\n")


@app.command()
def align(
    text: Annotated[str, typer.Option(help="what both models read")],
    sharer: Annotated[str, typer.Option(help="model whose tokens are taken")] = "qwen2.5-coder-0.5b",
    receiver: Annotated[str, typer.Option(help="model whose tokens get one each")] = "smollm2-135m",
    rule: Annotated[str, typer.Option(help="characters (ours), first or longest (official C2C)")] = "characters",
    json_file: JsonOption = None,
) -> None:
    """Show which sharer token stands for each receiver token."""
    from fuser.alignments import RULES
    from kvwire.errors import InvalidRequestError
    from kvwire.models.load import load_tokenizer
    from kvwire.models.store import ModelStore

    if rule not in RULES:
        raise InvalidRequestError(f"rule {rule!r}: use {', '.join(RULES)}")
    store = ModelStore()
    ours, theirs = (load_tokenizer(store.pull(name)) for name in (receiver, sharer))
    found = RULES[rule](ours, theirs, text)
    about = {"sharer": sharer, "receiver": receiver, "rule": rule, "text": text}
    save(about | {"tokens": [asdict(row) for row in found]}, json_file)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{receiver} reads what {sharer} read, rule {rule}")
    for column in ("slot", "receiver token", "sharer token", "index"):
        table.add_column(column, justify="right" if column in ("slot", "index") else "left")
    for slot, row in enumerate(found):
        index = "-" if row.sharer_index is None else str(row.sharer_index)
        table.add_row(str(slot), repr(row.receiver_text), repr(row.sharer_text), index)
    Console().print(table)

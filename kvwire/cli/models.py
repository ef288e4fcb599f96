"""``kvwire models``: what can be pulled, what is on disk, and where."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

if TYPE_CHECKING:
    from kvwire.models.catalog import CatalogModel
    from kvwire.models.manifest import StoredModel

app = typer.Typer(help="Pull, list and locate models.", no_args_is_help=True, rich_markup_mode=None)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
_REFERENCE_HELP = "smollm2-135m, hf:OWNER/NAME@REVISION or path:DIR"
_Reference = Annotated[str, typer.Argument(metavar="REF", help=_REFERENCE_HELP)]
_References = Annotated[list[str], typer.Argument(metavar="REF...", help=_REFERENCE_HELP)]


@app.command("list")
def list_models(as_json: _AsJson = False) -> None:
    """List the models of the catalog and those on disk, with sizes, licences and terms."""
    from kvwire.models.store import ModelStore

    rows = _rows(ModelStore().list())
    if as_json:
        _print_json(rows)
    else:
        console = Console()
        console.print(_table(rows))
        for licence, terms in dict.fromkeys((row["licence"], row["terms"]) for row in rows):
            console.print(f"{licence}: {terms}", highlight=False, soft_wrap=True)


@app.command("pull")
def pull_models(references: _References, as_json: _AsJson = False) -> None:
    """Fetch models and convert them once; models on disk are left as they are."""
    from kvwire.models.store import ModelStore

    store = ModelStore()
    pulled = [store.pull(reference) for reference in references]
    if as_json:
        _print_json([_stored_row(model) for model in pulled])
    else:
        for model in pulled:
            typer.echo(model.path)


@app.command("path")
def path_of_model(reference: _Reference, as_json: _AsJson = False) -> None:
    """Print the folder of a model that is on disk."""
    from kvwire.models.store import ModelStore

    path = ModelStore().path(reference)
    if as_json:
        _print_json({"reference": reference, "path": str(path)})
    else:
        typer.echo(path)


def _rows(stored: "Sequence[StoredModel]") -> list[dict[str, Any]]:
    from kvwire.models.catalog import CATALOG

    on_disk = {model.reference: model for model in stored}
    known = [
        _stored_row(on_disk.pop(name)) if name in on_disk else _catalog_row(name, entry)
        for name, entry in CATALOG.items()
    ]
    return [*known, *(_stored_row(model) for model in on_disk.values())]


def _stored_row(model: "StoredModel") -> dict[str, Any]:
    from kvwire.models.catalog import CATALOG

    entry = CATALOG.get(model.reference)
    return {
        **model.facts(),
        "download_bytes": entry.download_bytes if entry else None,
        "on_disk": True,
        "path": str(model.path),
    }


def _catalog_row(name: str, entry: "CatalogModel") -> dict[str, Any]:
    return {
        "reference": name,
        "id": entry.id,
        "revision": entry.revision,
        "family": entry.family,
        "licence": entry.licence,
        "terms": entry.terms,
        "weight_format": entry.weight_format,
        "parameters": entry.parameters,
        "disk_bytes": entry.disk_bytes,
        "download_bytes": entry.download_bytes,
        "on_disk": False,
        "path": None,
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("model", "family", "size", "licence", "weights", "on disk", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[:4]:
        column.no_wrap = True
    table.columns[4].min_width = len("dequantized")
    for row in rows:
        download = f"; {decimal(row['download_bytes'])} to fetch" if row["download_bytes"] else ""
        disk = decimal(row["disk_bytes"])
        table.add_row(
            row["reference"],
            row["family"],
            f"{row['parameters'] / 1e6:.0f} M",
            row["licence"],
            row["weight_format"],
            f"yes, {disk}" if row["on_disk"] else f"no, {disk}{download}",
        )
    return table


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))

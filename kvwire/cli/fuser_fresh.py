"""``kvwire fuser fresh``: a fuser that has learned nothing yet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli.files import writable
from kvwire.cli.fuser_make import ReceiverModel, SharerModel, reader, tell
from kvwire.cli.options import JsonOption

if TYPE_CHECKING:
    from kvwire.model_card import ModelCard


def fresh(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write", callback=writable)],
    sharer: SharerModel,
    receiver: ReceiverModel,
    hidden: Annotated[int, typer.Option(min=1, help="width of each layer's projectors")] = 256,
    inner: Annotated[int, typer.Option(min=1, help="width within their blocks")] = 512,
    layers: Annotated[int, typer.Option(min=3, help="their depth")] = 3,
    mapping: Annotated[str, typer.Option(help="last_aligned or k_nearest")] = "last_aligned",
    seed: Annotated[int, typer.Option(help="of its random weights")] = 0,
    json_file: JsonOption = None,
) -> None:
    """Write a C2C fuser that has learned nothing, for method fuse between two models of one tokenizer."""
    from fuser.projectors import c2c_file
    from fuser.train.fresh import check_one_tokenizer
    from fuser.train.fresh import fresh as made_fresh
    from kvwire.models.store import ModelStore

    stored = [ModelStore().pull(name) for name in (sharer, receiver)]
    check_one_tokenizer(*(each.binding for each in stored))
    fuser = made_fresh(_card(sharer), _card(receiver), hidden, inner, layers, mapping, seed)
    made = {"how": "fresh", "seed": seed}
    c2c_file.write(fuser, out, made)
    weights = sum(tensor.numel() for tensor in fuser.weights().values())
    tell(made | {"file": str(out), "weights": weights, "file_bytes": out.stat().st_size}, json_file)


def _card(model: str) -> "ModelCard":
    import torch

    return reader(model, torch.float32).card

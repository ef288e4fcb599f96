"""A model card as a file: an engine's configuration tells less of a model than a cache depends on.

``python -m serving.card_file smollm2-135m smollm2.json`` writes one, of a model as ``kvwire models`` names it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pydantic
import torch
import typer

from kvwire.engine.card import model_card
from kvwire.errors import StartError
from kvwire.model_card import ModelCard
from kvwire.models.load import load
from kvwire.models.store import ModelStore

_CARD = pydantic.TypeAdapter(ModelCard)


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as JSON; fingerprints are hexadecimal."""
    path.write_text(json.dumps(asdict(card), default=bytes.hex, indent=1) + "\n", encoding="utf-8")


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        StartError: It cannot be read, or is no card.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        binding = found["binding"]
        for what in ("weights_fingerprint", "tokenizer_fingerprint"):
            binding[what] = bytes.fromhex(binding[what])
        return _CARD.validate_python(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = " ".join(str(error).split())
        raise StartError(f"{path} is no model card ({words}); make one with: python -m serving.card_file") from error


def main(
    model: Annotated[str, typer.Argument(help="as `kvwire models` names it")],
    path: Annotated[Path, typer.Argument(help="of the file")],
) -> None:
    """Write a model's card, JSON."""
    write_card(model_card(load(ModelStore().pull(model), dtype=torch.float32)), path)


if __name__ == "__main__":
    typer.run(main)

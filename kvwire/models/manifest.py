"""``kvwire.json``: what is known of a model on disk; written last, so a folder without it is no model."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from kvwire.errors import StoreError
from kvwire.model_card import ModelBinding

MANIFEST_NAME = "kvwire.json"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk, ready to load; fingerprints are SHA-256 in hexadecimal.

    ``path`` is its folder, the one thing here that the manifest does not repeat; ``reference`` pulls it; ``id`` and
    ``revision`` are what the model card announces. ``family``: as transformers names it, for example llama.
    ``weight_format``: how the weights were stored before loading. ``parameters``: values in the weight files.
    """

    path: Path
    reference: str
    id: str
    revision: str
    family: str
    licence: str
    terms: str
    weight_format: str
    weights_fingerprint: str
    tokenizer_fingerprint: str
    parameters: int
    weights_bytes: int
    disk_bytes: int
    kvwire_version: str

    @property
    def binding(self) -> ModelBinding:
        """What headers and fusers are bound to."""
        return ModelBinding(
            id=self.id,
            revision=self.revision,
            weights_fingerprint=bytes.fromhex(self.weights_fingerprint),
            tokenizer_fingerprint=bytes.fromhex(self.tokenizer_fingerprint),
        )

    def facts(self) -> dict[str, str | int]:
        """Everything but the path, by name."""
        facts = asdict(self)
        del facts["path"]
        return facts


def write_manifest(model: StoredModel) -> None:
    """Write the manifest into the model's folder and flush it to disk."""
    with (model.path / MANIFEST_NAME).open("w", encoding="utf-8") as file:
        json.dump(model.facts(), file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> StoredModel | None:
    """Read a folder's manifest; None without one.

    Raises:
        StoreError: It is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        return StoredModel(path=folder, **json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}); delete {folder} and pull the model again") from error

"""``path:`` models: read where they lie; what was found out about them is remembered under KVWIRE_HOME."""

import hashlib
import json
from pathlib import Path
from uuid import uuid4

from kvwire.errors import NotFoundError
from kvwire.models.describe import describe
from kvwire.models.manifest import StoredModel
from kvwire.models.provenance import Provenance
from kvwire.models.reference import ModelReference

#: Name, size in bytes and modification time in ns of every file: hashing gigabytes at every start would cost
#: more than loading them.
Stamp = list[list[str | int]]


def describe_folder(reference: ModelReference, cache: Path) -> StoredModel:
    """Describe the folder of a reference; it is hashed only when sizes or times differ from those in ``cache``.

    Raises:
        NotFoundError: There is no such folder.
        StoreError: It holds no model that kvwire can load.
    """
    folder = Path(reference.name)
    if not folder.is_dir():
        raise NotFoundError(f"{reference} names no folder of this machine; check the path")
    stamp = _stamp(folder)
    memory = cache / f"{hashlib.sha256(reference.name.encode()).hexdigest()}.json"
    model = _recall(memory, stamp, folder)
    if model is None:
        model = describe(folder, Provenance.of_folder(reference))
        _remember(memory, stamp, model)
    return model


def _stamp(folder: Path) -> Stamp:
    files = sorted(entry for entry in folder.iterdir() if entry.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _recall(memory: Path, stamp: Stamp, folder: Path) -> StoredModel | None:
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
        return StoredModel(path=folder, **remembered["model"]) if remembered["stamp"] == stamp else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # absent, or of another version
        return None


def _remember(memory: Path, stamp: Stamp, model: StoredModel) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    draft = memory.with_suffix(f".{uuid4().hex}.partial")  # services that start together write at the same time
    draft.write_text(json.dumps({"stamp": stamp, "model": model.facts()}), encoding="utf-8")
    draft.replace(memory)

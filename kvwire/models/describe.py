"""Read a folder of safetensors and tokenizer files, and say what model it is."""

import json
import math
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer

from kvwire import __version__
from kvwire.errors import StoreError
from kvwire.models.fingerprint import tokenizer_fingerprint, weights_fingerprint
from kvwire.models.manifest import StoredModel
from kvwire.models.provenance import Provenance
from kvwire.models.quiet import quiet


def describe(folder: Path, provenance: Provenance) -> StoredModel:
    """Fingerprint and measure the model in a folder.

    Raises:
        StoreError: It holds none that kvwire can load.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise StoreError(f"{folder} holds no .safetensors file; kvwire never reads pickles, convert them first")
    fingerprint = weights_fingerprint(weights)
    family, (values, stored_as) = _family(folder), _count_values(weights)
    return StoredModel(
        path=folder,
        reference=str(provenance.reference),
        id=provenance.id or f"local-{family}-{fingerprint[:12]}",
        revision=provenance.revision,
        family=family,
        licence=provenance.licence,
        terms=provenance.terms,
        weight_format=provenance.weight_format or f"safetensors {stored_as}",
        weights_fingerprint=fingerprint,
        tokenizer_fingerprint=_tokenizer_fingerprint(folder),
        parameters=values,
        weights_bytes=sum(file.stat().st_size for file in weights),
        disk_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        kvwire_version=__version__,
    )


def _family(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder} has no usable config.json ({error}); a model folder needs one") from error


def _count_values(files: list[Path]) -> tuple[int, str]:
    by_dtype: Counter[str] = Counter()
    for path in files:
        try:
            with safe_open(path, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  # safe_open is no mapping
                    entry = tensors.get_slice(name)
                    by_dtype[entry.get_dtype()] += math.prod(entry.get_shape())
        except SafetensorError as error:
            raise StoreError(f"{path} is no whole safetensors file ({error}); fetch it again") from error
    return by_dtype.total(), "+".join(name for name, _ in by_dtype.most_common())


def _tokenizer_fingerprint(folder: Path) -> str:
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder} has no tokenizer that transformers can load: {error}") from error
    return tokenizer_fingerprint(tokenizer)

"""What makes two copies of a model the same: the bytes of its weights and everything its tokenizer does."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kvwire.errors import StoreError

_READ_BYTES = 1 << 20


def weights_fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over the bytes of the files in the order of their names, hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda file: file.name):
        with path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 over tokenizer, chat template and special tokens of a loaded tokenizer, hexadecimal.

    Taken from what runs, not from files: the same tokenizer may be written with other spacing or key order, and
    some classes rebuild parts of it while loading.

    Raises:
        StoreError: It has no tokenizer.json form.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise StoreError(
            f"{type(tokenizer).__name__} of {tokenizer.name_or_path} has no tokenizer.json form, which kvwire "
            f"needs; save the model with a fast tokenizer"
        )
    rules = json.loads(backend.to_str())
    # Padding and truncation are settings of a call, left over from whoever saved the tokenizer.
    everything = {
        "tokenizer": {key: value for key, value in rules.items() if key not in {"padding", "truncation"}},
        "chat_template": tokenizer.chat_template,
        "special_tokens": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
    }
    canonical = json.dumps(everything, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

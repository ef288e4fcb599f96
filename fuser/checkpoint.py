"""A fuser as one file of safetensors, bound to the two models it was made for.

Metadata ``kvwire``: JSON of ``format``, ``version``, ``kind`` (the fuser's name), ``sharer`` and ``receiver`` (id,
revision, and SHA-256 of weights and tokenizer; null if unknown), and ``facts``, which the kind itself defines. The
fingerprint that streams are bound to is the SHA-256 of the file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kvwire.errors import BindingError, DataLossError, NotFoundError
from kvwire.model_card import ModelBinding

__all__ = ["Checkpoint", "read", "write"]

FORMAT, VERSION = "kvwire fuser", "1"
_FINGERPRINTS = ("weights_fingerprint", "tokenizer_fingerprint")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file whose header was read; its tensors are still on disk."""

    path: Path
    kind: str
    sharer: ModelBinding | None
    receiver: ModelBinding | None
    facts: Mapping[str, Any]
    fingerprint: bytes

    def tensors(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Exactly the tensors of ``shapes``, in their stored float type.

        Raises:
            DataLossError: One is missing, surplus, of another shape or no float; nothing was loaded.
        """
        with safe_open(self.path, framework="pt") as file:
            names = set(file.keys())
            problems = [f"{name} is missing" for name in shapes.keys() - names]
            problems += [f"{name} is unexpected" for name in names - shapes.keys()]
            for name in names & shapes.keys():
                entry = file.get_slice(name)
                if tuple(entry.get_shape()) != shapes[name] or entry.get_dtype() not in {"F32", "F16", "BF16"}:
                    problems.append(f"{name} is no float tensor of shape {shapes[name]}")
            if problems:
                raise DataLossError(f"{self.path}: {'; '.join(sorted(problems)[:8])}; make or fetch it again")
            return {name: file.get_tensor(name) for name in shapes}


def read(path: Path) -> Checkpoint:
    """Check a file and read its header.

    Raises:
        NotFoundError: It is not there.
        DataLossError: It is no whole safetensors file.
        BindingError: It is no fuser of this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            said = dict(json.loads((file.metadata() or {})["kvwire"]))
        if (said["format"], said["version"]) != (FORMAT, VERSION):
            raise BindingError(f"{path} is {said['format']!r} version {said['version']}, this build reads {VERSION}")
        sharer, receiver = (_binding(said[side]) for side in ("sharer", "receiver"))
        return Checkpoint(path, str(said["kind"]), sharer, receiver, dict(said["facts"]), _sha256(path))
    except FileNotFoundError:
        raise NotFoundError(f"{path} is not there; name a fuser's file or an official checkpoint's folder") from None
    except SafetensorError as error:
        raise DataLossError(f"{path} is no whole safetensors file ({error}); fetch it again") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BindingError(f"{path} is no fuser of kvwire ({error!r}); convert or make it with: kvwire fuser") from None


def write(
    path: Path,
    kind: str,
    sharer: ModelBinding | None,
    receiver: ModelBinding | None,
    facts: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    """Write a file that :func:`read` reads; it appears whole or not at all."""
    about = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "sharer": _said(sharer),
        "receiver": _said(receiver),
        "facts": facts,
    }
    metadata = {"kvwire": json.dumps(about, sort_keys=True)}  # one entry: safetensors writes several in any order
    draft = path.with_suffix(".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata)
    draft.replace(path)


def _said(binding: ModelBinding | None) -> dict[str, str] | None:
    if binding is None:
        return None
    return {
        "id": binding.id,
        "revision": binding.revision,
        **{name: getattr(binding, name).hex() for name in _FINGERPRINTS},
    }


def _binding(said: Mapping[str, str] | None) -> ModelBinding | None:
    if said is None:
        return None
    return ModelBinding(said["id"], said["revision"], *(bytes.fromhex(said[name]) for name in _FINGERPRINTS))


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

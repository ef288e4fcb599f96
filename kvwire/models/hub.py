"""``hf:`` models: the repository's own safetensors files, byte for byte, from the Hugging Face hub."""

import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from kvwire.errors import NotFoundError, StoreError
from kvwire.models.quiet import quiet
from kvwire.models.reference import ModelReference

#: Weights, configuration and tokenizer; never a pickle.
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
#: Other exports of the same weights live in subfolders or under this name.
_UNWANTED = ["*/*", "consolidated*"]


def snapshot_arguments(reference: ModelReference) -> dict[str, Any]:
    """Which files of which revision the hub is asked for."""
    return {
        "repo_id": reference.name,
        "revision": reference.revision,
        "allow_patterns": _WANTED,
        "ignore_patterns": _UNWANTED,
    }


def resolve(reference: ModelReference) -> tuple[str, int]:
    """Which commit a revision is now, and how many bytes its wanted files have.

    Raises:
        NotFoundError: The hub has no such repository or revision.
        StoreError: It cannot be reached, wants its terms accepted, or has no safetensors files there.
    """
    files = _ask(reference, dry_run=True)
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise StoreError(f"{reference} has no safetensors files; kvwire reads no pickled weights")
    return files[0].commit_hash, sum(file.file_size for file in files)


def download(reference: ModelReference, commit: str, into: Path) -> None:
    """Bring the files of a commit into the folder ``into``; those already there from a cut pull are kept.

    Raises:
        NotFoundError, StoreError: As :func:`resolve`.
        OSError: The disk is at fault.
    """
    _ask(reference, revision=commit, local_dir=into)
    shutil.rmtree(into / ".cache", ignore_errors=True)  # the hub library's notes on what had come so far


def _ask(reference: ModelReference, **arguments: Any) -> Any:
    return snapshot(str(reference), **{**snapshot_arguments(reference), **arguments})


def snapshot(reference: str, repo_id: str, **arguments: Any) -> Any:
    """What ``snapshot_download`` gives for a repository, silently; ``reference`` is what its errors call it.

    Raises:
        NotFoundError: The hub has no such repository or revision.
        StoreError: It cannot be reached, or wants its terms accepted.
        OSError: The disk is at fault.
    """
    try:
        with quiet():
            return snapshot_download(repo_id, **arguments)
    except GatedRepoError as error:
        raise StoreError(
            f"{reference} is gated: accept its terms at https://huggingface.co/{repo_id}, set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotFoundError(f"the hub has no {reference}, or keeps it private; check name and revision") from error
    except Exception as error:  # of its HTTP library's errors too, which are not its own
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the hub
            raise
        raise StoreError(
            f"cannot fetch {reference} from the hub: {error}; check the network, or use a folder of this machine"
        ) from error

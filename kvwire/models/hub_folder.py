"""A folder of a repository on the hub: an official C2C checkpoint among others of its kind."""

import re
from pathlib import Path
from typing import Any

from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.models.hub import snapshot

_FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})/(?P<folder>[\w.+/-]+)", re.ASCII)


def fetch_folder(reference: str) -> Path:
    """Download ``hf:OWNER/NAME@COMMIT/FOLDER`` once into the hub's own cache.

    Raises:
        InvalidRequestError: It is not of that form; a branch is no commit.
        NotFoundError: There is no such repository, commit or folder.
        StoreError: The hub cannot be reached, or wants its terms accepted.
        OSError: The disk is at fault.
    """
    asked = _parsed(reference)
    folder = Path(_ask(asked)) / asked["folder"]
    if not folder.is_dir():
        raise _absent(asked)
    return folder


def resolve_folder(reference: str) -> int:
    """How many bytes :func:`fetch_folder` has still to download; fetches nothing, and raises the same."""
    asked = _parsed(reference)
    files = _ask(asked, dry_run=True)
    if not files:
        raise _absent(asked)
    return sum(file.file_size for file in files if file.will_download)


def _parsed(reference: str) -> "re.Match[str]":
    found = _FORM.fullmatch(reference)
    if found is None:
        raise InvalidRequestError(
            f"{reference!r} is no folder of a commit; write hf:OWNER/NAME@COMMIT/FOLDER, 40 digits"
        )
    return found


def _ask(asked: "re.Match[str]", **arguments: Any) -> Any:
    pattern = f"{asked['folder'].rstrip('/')}/*"
    return snapshot(asked[0], asked["repo"], revision=asked["revision"], allow_patterns=[pattern], **arguments)


def _absent(asked: "re.Match[str]") -> NotFoundError:
    return NotFoundError(f"{asked['repo']} has no folder {asked['folder']} at {asked['revision'][:12]}")

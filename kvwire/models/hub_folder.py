"""A folder of a repository on the hub: an official C2C checkpoint among others of its kind."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from kvwire.errors import InvalidRequestError, NotFoundError, StoreError

_FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})/(?P<folder>[\w.+/-]+)", re.ASCII)


def fetch_folder(reference: str) -> Path:
    """Download ``hf:OWNER/NAME@COMMIT/FOLDER`` once into the hub's own cache.

    Raises:
        InvalidRequestError: It is not of that form; a branch is no commit.
        NotFoundError: There is no such folder.
        StoreError: The hub cannot be reached.
    """
    found = _FORM.fullmatch(reference)
    if found is None:
        raise InvalidRequestError(
            f"{reference!r} is no folder of a commit; write hf:OWNER/NAME@COMMIT/FOLDER, 40 digits"
        )
    try:
        root = snapshot_download(
            found["repo"], revision=found["revision"], allow_patterns=[f"{found['folder'].rstrip('/')}/*"]
        )
    except (HfHubHTTPError, OSError) as error:
        raise StoreError(f"cannot fetch {reference} from the hub: {error}; check the network") from error
    folder = Path(root) / found["folder"]
    if not folder.is_dir():
        raise NotFoundError(f"{found['repo']} has no folder {found['folder']} at {found['revision'][:12]}")
    return folder

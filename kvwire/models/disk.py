"""A full disk or a forbidden folder: found before the work where possible, told clearly where not."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from kvwire.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def require_free(folder: Path, needed_bytes: int) -> None:
    """See that the disk of a folder has so many bytes to spare.

    Raises:
        StoreError: It has not.
    """
    if shutil.disk_usage(folder).free < needed_bytes:
        raise _full(folder, needed_bytes)


@contextmanager
def disk_faults(folder: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Tell of a full or forbidden disk under the body by the folder and the remedy.

    Raises:
        StoreError: It is full or forbidden.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder, needed_bytes) from error
        if error.errno in _FORBIDDEN:
            raise StoreError(
                f"not permitted: {error}; check who may read it, and who may write under {folder} (KVWIRE_HOME)"
            ) from error
        raise


def file_sha256(path: Path) -> str:
    """SHA-256 of one file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush every file of a folder and the folder itself, so that a power cut cannot leave hollow files."""
    for path in (*(entry for entry in folder.iterdir() if entry.is_file()), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _full(folder: Path, needed_bytes: int) -> StoreError:
    there = next(each for each in (folder, *folder.parents) if each.exists())  # it may have had no room for itself
    free_bytes = shutil.disk_usage(there).free
    return StoreError(
        f"the disk of {folder} is full: about {decimal(needed_bytes)} needed, {decimal(free_bytes)} free; "
        f"make room or set KVWIRE_HOME to a folder on another disk"
    )

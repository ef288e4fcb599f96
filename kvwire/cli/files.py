"""Files that commands read and write: one that cannot be written is refused before anything is measured."""

import os
from collections.abc import Sequence
from pathlib import Path

from kvwire.errors import InvalidRequestError


def writable(path: Path | None) -> Path | None:
    """The file of an option or argument, as its callback.

    Raises:
        InvalidRequestError: It cannot be written there.
    """
    if path is None:
        return None
    if path.is_dir():
        raise InvalidRequestError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise InvalidRequestError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InvalidRequestError(f"cannot write {path}: it is not permitted; name another file")
    return path


def read_texts(files: Sequence[Path]) -> str:
    """What files of UTF-8 text say, one after the other.

    Raises:
        InvalidRequestError: One cannot be read, or is no such text.
    """
    texts = []
    for file in files:
        try:
            texts.append(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"{file} cannot be read as UTF-8 text ({error}); check the path") from error
    return "\n".join(texts)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that others look for, and its folder: it is there with all of it, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.partial")
    draft.write_bytes(data)
    draft.replace(path)

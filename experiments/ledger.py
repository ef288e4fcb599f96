"""``results.jsonl``: written line by line in the plan's order, so that what is done is always a clean prefix of it."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from experiments.plan import Key
from experiments.record import Record
from kvwire.errors import InvalidRequestError, OverloadedError


class Ledger:
    """The open file of one run. Use as a context manager; a second process that opens it is refused.

    A line that a killed run left half-written is cut off, and the run goes on with that line.

    Raises:
        OverloadedError: Another run writes to it.
        InvalidRequestError: It holds lines of something else than ``keys``.
    """

    def __init__(self, path: Path, keys: Sequence[Key]) -> None:
        self._keys = keys
        self._path = path
        self._file = path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._errors = self._recover()
        except BlockingIOError as error:
            self._file.close()
            raise OverloadedError(f"another run writes to {path}; wait for it, or take another folder") from error
        except BaseException:  # whatever stopped it, Ctrl-C too: the lock is let go
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def done(self) -> int:
        """How many lines are written."""
        return len(self._errors)

    def failed(self, line: int) -> bool:
        """Whether a written line, counted from 0, is of a failure."""
        return self._errors[line]

    def append(self, record: Record) -> None:
        """Write the next line; it outlives this process once this returns."""
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()
        self._errors.append(record["error"] is not None)

    def _recover(self) -> list[bool]:
        self._file.seek(0)
        errors: list[bool] = []
        end = 0
        for line in self._file:
            record = _parsed(line)
            if record is None and not self._file.read(1):
                break
            where = f"{self._path}, line {len(errors) + 1}"
            if record is None:
                raise InvalidRequestError(f"{where} is no record; take the file away, or use another folder")
            key = (record.get("dataset"), record.get("item"), record.get("arm"))
            if len(errors) >= len(self._keys) or key != self._keys[len(errors)]:
                wanted = self._keys[len(errors)] if len(errors) < len(self._keys) else "nothing more"
                raise InvalidRequestError(f"{where} is of {key}, the recipe has {wanted} there; use another folder")
            errors.append(record.get("error") is not None)
            end += len(line)
        os.ftruncate(self._file.fileno(), end)
        return errors


def _parsed(line: bytes) -> Record | None:
    """The record of a whole line."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
    return record if isinstance(record, dict) else None  # type: ignore[return-value]  # the caller checks its key

"""Reads dataset files into rows that know where they came from, so that every complaint can name the place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvwire.errors import InvalidRequestError, NotFoundError


@dataclass(frozen=True, slots=True)
class Row:
    """One record; ``where`` is its file and its line (JSONL) or row (parquet), counted from 1."""

    where: str
    fields: dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """All rows of a file, in file order; ``.parquet`` is read with pyarrow, anything else as JSONL.

    Raises:
        NotFoundError: No such file.
        InvalidRequestError: A line that is no JSON object, named by file and line.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is no file; check the path")
    return _parquet(path) if path.suffix == ".parquet" else _jsonl(path)


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            try:
                fields = json.loads(line)
            except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
                raise InvalidRequestError(f"{where}: not a line of JSON in UTF-8 ({error})") from error
            if not isinstance(fields, dict):
                raise InvalidRequestError(f"{where}: a JSON object is wanted, found {type(fields).__name__}")
            yield Row(where, fields)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow.parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415  # only the hub's files need it
    except ImportError as error:
        raise NotFoundError(
            f"{path} needs pyarrow to be read; run `pip install pyarrow`, or point --data at JSONL files"
        ) from error
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"{path} does not read as parquet ({error}); fetch it anew") from error
    for number, fields in enumerate(rows, 1):
        yield Row(f"{path}, row {number}", fields)

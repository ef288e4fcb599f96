"""Files of results: a JSON list of rows, each with the names and numbers of its dataclass."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.row import Absent, PeerRow, Result, Row, name_of
from kvwire.errors import InvalidRequestError


def text_of(results: Sequence[Result]) -> str:
    """What such a file holds, a result a line."""
    lines = ",\n".join(json.dumps(asdict(result)) for result in results)
    return f"[\n{lines}\n]\n"


def read(files: Sequence[Path]) -> list[Result]:
    """All results of the files; of two of one codec, model and length, the later file's in the first one's place.

    Raises:
        InvalidRequestError: A file is not there, or is none of these.
    """
    found: dict[tuple[object, ...], Result] = {}
    for file in files:
        try:
            results = [_result(item) for item in json.loads(file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InvalidRequestError(f"{file} is no file of `kvwire codec bench --json`: {error}") from None
        for result in results:
            found[name_of(result).peer, result.codec, result.model, result.tokens] = result
    return list(found.values())


def _result(item: dict[str, Any]) -> Result:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
    kinds: tuple[type[Result], ...] = (Row, PeerRow, Absent)
    for kind in kinds:
        if set(values) == {field.name for field in fields(kind)}:
            return kind(**values)
    raise ValueError(f"a row of {', '.join(sorted(item))}")

"""Reads YAML and remembers on which line everything stands, so that every complaint can name the place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kvwire.errors import InvalidRequestError, NotFoundError

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """One YAML document: its text, what it says, and the line (from 1) of every key and list entry."""

    path: Path
    text: str
    data: Any
    lines: Mapping[Place, int]

    def refuse(self, place: Sequence[str | int], defect: str) -> InvalidRequestError:
        """The error of a defect at a place, by file, line and key."""
        known = tuple(place)
        while known and known not in self.lines:
            known = known[:-1]
        key = ".".join(map(str, place))
        return InvalidRequestError(
            f"{self.path}, line {self.lines.get(known, 1)}{f' ({key})' if key else ''}: {defect}"
        )


def read_yaml(path: Path) -> Source:
    """Read a file of one YAML document.

    Raises:
        NotFoundError: No such file.
        InvalidRequestError: Not YAML in UTF-8, or a key that stands twice; by file and line.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is no file; check the path")
    lines: dict[Place, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _walk(path, node, (), lines)
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRequestError(f"{path}{line}: not YAML ({error.problem})") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidRequestError(f"{path}: not YAML in UTF-8 ({error})") from error
    return Source(path, text, data, lines)


def _walk(path: Path, node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> None:
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                inner = (*place, str(key.value))
                line = key.start_mark.line + 1
                if inner in lines:
                    raise InvalidRequestError(
                        f"{path}, line {line}: {key.value!r} stands on line {lines[inner]} already; give it once"
                    )
                lines[inner] = line
                _walk(path, value, inner, lines)
        case yaml.SequenceNode():
            for index, value in enumerate(node.value):
                lines[*place, index] = value.start_mark.line + 1
                _walk(path, value, (*place, index), lines)
        case _:
            pass

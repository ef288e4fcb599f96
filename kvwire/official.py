"""A recipe of the official C2C code (thu-nics/C2C), read key by key: what has no counterpart is told, never lost."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kvwire.errors import InvalidRequestError, NotFoundError


@dataclass(frozen=True)
class LeftOut:
    """A key with dots between its parts, what it says, and why it has no counterpart."""

    key: str
    value: Any
    why: str


class OfficialRecipe:
    """What a file says, YAML or JSON as its name ends.

    Raises:
        NotFoundError: There is none.
        InvalidRequestError: Neither, or no sections.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFoundError(f"{path} is no file; check the path")
        self.path = path
        self._seen: set[str] = set()
        self._left_out: list[LeftOut] = []
        try:
            text = path.read_text(encoding="utf-8")
            self._said = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise InvalidRequestError(f"{path} is neither YAML nor JSON in UTF-8 ({error})") from error
        if not isinstance(self._said, dict) or not all(isinstance(part, dict) for part in self._said.values()):
            raise InvalidRequestError(f"{path} has no sections; an official recipe has model, and eval or training")

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """What a key says, ``default`` if nothing.

        Raises:
            InvalidRequestError: It says something of another kind, or nothing, and there is no default.
        """
        self._seen.add(key)
        found = self._find(key)
        if found is None:
            if default is None:
                raise self.refuse(key, "is missing")
            return default
        if not isinstance(found, kind) or isinstance(found, bool) != (kind is bool):
            names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.refuse(key, f"should be {names}")
        return found

    def leave(self, key: str, why: str, *, unless: Any = None) -> None:
        """Tell why a key has no counterpart, if it says anything but what is done here."""
        self._seen.add(key)
        found = self._find(key)
        if found is not None and found != unless:
            self._left_out.append(LeftOut(key, found, why))

    def refuse(self, key: str, why: str) -> InvalidRequestError:
        """The error of what a key says."""
        found = self._find(key)
        return InvalidRequestError(f"{self.path}: {key}{'' if found is None else f' ({found!r})'} {why}")

    def left_out(self) -> tuple[LeftOut, ...]:
        """All that has no counterpart; last, the keys that nobody asked for."""
        unknown = (key for key in _leaves(self._said) if not any(f"{key}.".startswith(f"{one}.") for one in self._seen))
        return (*self._left_out, *(LeftOut(key, self._find(key), "unknown here") for key in unknown))

    def _find(self, key: str) -> Any:
        found = self._said
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def reference(name: str) -> str:
    """A model as we name it: a folder by its absolute path, anything else by its name on the hub."""
    return f"path:{name}" if name.startswith("/") else f"hf:{name}"


def _leaves(said: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in said.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"

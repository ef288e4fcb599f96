"""One way to name a model, wherever it comes from.

::

    smollm2-135m                          a name of the catalog
    hf:Qwen/Qwen3-0.6B@<revision>         a repository of the Hugging Face hub
    path:/models/mine                     a folder of this machine, read in place

``@<revision>`` may be left out and then means ``main``. ``main`` moves: pin a commit wherever a result is to
be repeated. Weights are read from safetensors files only, never from pickles.
"""

import os.path
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.models.catalog import CATALOG

_HUB_PREFIX = "hf:"
_FOLDER_PREFIX = "path:"
_DEFAULT_REVISION = "main"
_HUB_FORM = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)


class Source(StrEnum):
    """Where a model comes from."""

    CATALOG = "catalog"
    HUB = "hub"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A parsed model name; ``str()`` gives a text that parses to the same value.

    ``name``: the catalog name, the hub's ``owner/repository``, or an absolute folder. ``revision``: a hub commit, tag
    or branch; empty for the other two sources.
    """

    source: Source
    name: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str, known: Collection[str] = tuple(CATALOG)) -> Self:
        """Read one reference; ``known`` are the names of the catalog.

        Raises:
            InvalidRequestError: It is malformed.
            NotFoundError: Its name is not known.
        """
        if text.startswith(_FOLDER_PREFIX):
            return cls._parse_folder(text)
        if text.startswith(_HUB_PREFIX):
            return cls._parse_hub(text)
        if text not in known:
            raise NotFoundError(
                f"no model is called {text!r}; known are {', '.join(sorted(known))}, "
                f"hf:OWNER/NAME@REVISION and path:DIR"
            )
        return cls(Source.CATALOG, text)

    @classmethod
    def _parse_folder(cls, text: str) -> Self:
        folder = text.removeprefix(_FOLDER_PREFIX)
        if not folder:
            raise InvalidRequestError(f"{text!r} names no folder; write path:DIR")
        # os.path: keeps symlinks, and takes ~somebody literally where nobody has that name.
        return cls(Source.FOLDER, os.path.abspath(os.path.expanduser(folder)))  # noqa: PTH100, PTH111

    @classmethod
    def _parse_hub(cls, text: str) -> Self:
        match = _HUB_FORM.fullmatch(text.removeprefix(_HUB_PREFIX))
        if match is None:
            raise InvalidRequestError(f"{text!r} is no hub reference; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
        return cls(Source.HUB, match["name"], match["revision"] or _DEFAULT_REVISION)

    def __str__(self) -> str:
        match self.source:
            case Source.CATALOG:
                return self.name
            case Source.HUB:
                return f"{_HUB_PREFIX}{self.name}@{self.revision}"
            case Source.FOLDER:
                return f"{_FOLDER_PREFIX}{self.name}"

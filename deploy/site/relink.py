"""A page whose links go to pages of the site, instead of to files of the repository."""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from kvwire.errors import InvalidRequestError

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
_FIGURES = "docs/figures/"


def relinked(root: Path, place: str, names: Mapping[str, str]) -> str:
    """The text of ``place``; ``names`` of pages by their places. What the site has not is named, not linked.

    Raises:
        InvalidRequestError: A link to a file that is not there.
    """

    def link(found: re.Match[str]) -> str:
        mark, text, target, anchor = (each or "" for each in found.groups())
        if not target or "://" in target:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if not (root / file).exists():
            raise InvalidRequestError(f"{place} links to {target}, which is not there; it was moved or renamed")
        if file in names:
            return f"{mark}[{text}]({names[file]}{anchor})"
        if file.startswith(_FIGURES):
            return f"{mark}[{text}](figures/{file.removeprefix(_FIGURES)})"
        return f"{text} (`{file}`)"

    return _LINK.sub(link, (root / place).read_text(encoding="utf-8"))

"""What the receiver's metrics port shows besides metrics, by path."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePath

from kvwire.http_server import Route, page
from receiver_service.live.ask import Ask
from receiver_service.live.status import Status

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def pages(status: Status, ask: Ask) -> Mapping[str, Route]:
    """The page, the files it is made of, and what it asks."""
    return {**_files(), "/live.json": status.route(), "/ask": ask.route()}


def _files() -> dict[str, Route]:
    """Read once, at the start."""
    found = {file.name: file.read_bytes() for file in (files(__package__) / "files").iterdir()}
    return {
        "/" if name == "index.html" else f"/{name}": page(body, _TYPES[PurePath(name).suffix])
        for name, body in found.items()
    }

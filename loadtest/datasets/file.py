"""Any file in one of the public schemas (see ``choices.py``), named on the command line as ``file:PATH``."""

from pathlib import Path

from kvwire.errors import InvalidRequestError
from loadtest.datasets.choices import read_items
from loadtest.datasets.item import Item
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import Query


def load_file(path: Path, query: Query) -> list[Item]:
    """Items of a file; with ``open_book`` every row must have a fact.

    Raises:
        InvalidRequestError: A defective row, an empty file, or a split other than the default.
    """
    if query.split != "test":
        raise InvalidRequestError(f"a file has no splits; leave --split out or name another file instead of {path}")
    return read_items(read_rows(path), open_book=query.open_book)

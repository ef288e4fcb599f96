"""ARC (AI2 Reasoning Challenge): grade-school science, 2 to 5 choices, no facts. Clark et al., arXiv 1803.05457."""

from kvwire.errors import InvalidRequestError
from loadtest.datasets.choices import read_items
from loadtest.datasets.item import Item
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import HubFile, Query

_AI2_SPLITS = {"train": "Train", "validation": "Dev", "test": "Test"}


def load_challenge(query: Query) -> list[Item]:
    """ARC-Challenge; 1,172 test items, of which the official C2C evaluation counts the 1,150 labelled A to D."""
    return _load("ARC-Challenge", query)


def load_easy(query: Query) -> list[Item]:
    """ARC-Easy; 2,376 test items."""
    return _load("ARC-Easy", query)


def _load(part: str, query: Query) -> list[Item]:
    if query.open_book:
        raise InvalidRequestError(f"{part} has no facts; leave out --open-book, or take openbookqa or pocket")
    path = query.find(
        local=(f"arc/{part}-{query.split}.jsonl", f"{part}/{part}-{_AI2_SPLITS[query.split]}.jsonl"),
        remote=HubFile(
            "allenai/ai2_arc",
            "210d026faf9955653af8916fad021475a3f00453",
            f"{part}/{query.split}-00000-of-00001.parquet",
        ),
    )
    return read_items(read_rows(path), open_book=False)

"""OpenBookQA with its core facts: elementary science, 4 choices, 500 test items. Mihaylov et al., EMNLP 2018."""

from loadtest.datasets.choices import read_items
from loadtest.datasets.item import Item
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import HubFile, Query

_AI2_SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def load_openbookqa(query: Query) -> list[Item]:
    """OpenBookQA; with ``open_book`` each item's core fact is its context."""
    file = f"{_AI2_SPLITS[query.split]}_complete.jsonl"
    path = query.find(
        local=(f"openbookqa/{file}", f"Data/Additional/{file}"),
        remote=HubFile(
            "allenai/openbookqa",
            "388097ea7776314e93a529163e0fea805b8a6454",
            f"additional/{query.split}-00000-of-00001.parquet",
        ),
    )
    return read_items(read_rows(path), open_book=query.open_book)

"""Text that nothing is asked about: the training split of WikiText-2, as far as a folder or the hub has it."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import Fetch, HubFile, Query, fetch_from_hub


def training_text(data_dir: Path | None, fetch: Fetch = fetch_from_hub) -> str:
    """All of it; blank lines are dropped, because copies of the file differ in them.

    Raises:
        NotFoundError: It is in none of the places looked at.
    """
    path = Query(data_dir=data_dir, split="train", open_book=False, fetch=fetch).find(
        local=(
            "wikitext2/wikitext-2-raw_train.txt",
            "wikitext-2-raw/wiki.train.raw",
            "wikitext2/wikitext-2-raw_train_first5k_rows.txt.gz",
        ),
        remote=HubFile(
            "Salesforce/wikitext",
            "b08601e04326c79dfdd32d625aee71d232d685c3",
            "wikitext-2-raw-v1/train-00000-of-00001.parquet",
        ),
    )
    return re.sub(r"\n(\s*\n)+", "\n", _READERS.get(path.suffix, _plain)(path))


def _plain(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _gzipped(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def _parquet(path: Path) -> str:
    return "".join(str(row.fields.get("text", "")) for row in read_rows(path))


_READERS: dict[str, Callable[[Path], str]] = {".gz": _gzipped, ".parquet": _parquet}

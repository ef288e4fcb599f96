"""Text that nothing is asked about: the training split of WikiText-2, as far as a folder or the hub has it."""

from pathlib import Path

from loadtest.datasets.source import Query, fetch_from_hub
from loadtest.datasets.wikitext2 import read_text

_FIRST_ROWS = "wikitext2/wikitext-2-raw_train_first5k_rows.txt.gz"


def training_text(data_dir: Path | None) -> str:
    """All of it, or its first rows where a folder has no more; without blank lines.

    Raises:
        NotFoundError, InvalidRequestError: It is in none of the places looked at, or no text.
    """
    _, text = read_text(Query(data_dir, "train", open_book=False, fetch=fetch_from_hub), _FIRST_ROWS)
    return text

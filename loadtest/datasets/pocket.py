"""pocket: 60 open-book questions of our own, shipped with the package, so that a demo needs no download.

Every fact is invented and nobody can know it without reading, so the questions measure whether the fact arrived. The
four choices of an item are alike in form and length, and the right ones are spread evenly over the four positions and
over the four ranks that a model without the fact gives them. SmolLM2-135M-Instruct (fp32, mean log-likelihood per
token, no BOS) answers 83 % with the fact and 28 % without it; chance is 25 %.
"""

from pathlib import Path

from kvwire.errors import InvalidRequestError
from loadtest.datasets.choices import read_items
from loadtest.datasets.item import Item
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import Query

_FILE = Path(__file__).with_name("pocket.jsonl")


def load_pocket(query: Query) -> list[Item]:
    """All 60 items, always with their facts: a question without its fact could only be guessed."""
    if query.split != "test":
        raise InvalidRequestError(f"pocket has only the split test, not {query.split}")
    return read_items(read_rows(_FILE), open_book=True)

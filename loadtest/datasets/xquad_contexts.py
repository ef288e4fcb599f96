"""The paragraphs of XQuAD (xquad_en.py) as text to be continued: 48 articles of Wikipedia with 5 paragraphs each.

One item per paragraph that is long enough; its article is its cluster. Articles take turns, so that a limit takes from
all of them evenly, and the item before is of another article. Read from SQuAD's nested JSON only: the hub's rows do not
say which article a paragraph is of.
"""

import json
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from kvwire.errors import InvalidRequestError
from loadtest.datasets.cut import Cut
from loadtest.datasets.item import ContinuationItem
from loadtest.datasets.source import Query

#: About 70 tokens and 45: 216 of the 240 paragraphs, of all 48 articles, are that long; half are not longer than 700.
LENGTHS = Cut(context_characters=300, continuation_characters=200)


def load_xquad_contexts(query: Query, cut: Cut) -> list[ContinuationItem]:
    """The paragraphs that are long enough; an id is the article's title and the paragraph's number in it, from 0.

    Raises:
        InvalidRequestError: Not SQuAD's JSON form, a title used twice, or no paragraph is long enough.
    """
    if query.split != "test":
        raise InvalidRequestError(f"XQuAD has only the split test, not {query.split}")
    path = query.find(local=("xquad_en/xquad.en.json", "xquad.en.json"), remote=None)
    articles = dict(_articles(path))
    by_article = (
        [cut.item(f"{title}-{number}", text, cluster=title) for number, text in enumerate(paragraphs)]
        for title, paragraphs in articles.items()
    )
    items = [item for item in chain.from_iterable(zip_longest(*by_article)) if item]
    if not items:
        raise InvalidRequestError(f"{path}: no paragraph has {cut.characters} characters; ask for less")
    return items


def _articles(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Title and paragraphs of each article."""
    seen: set[str] = set()
    try:
        for article in json.loads(path.read_bytes())["data"]:
            match article:
                case {"title": str(title), "paragraphs": [*paragraphs]} if title.strip() and title not in seen:
                    seen.add(title)
                    yield title, [str(paragraph["context"]) for paragraph in paragraphs]
                case _:
                    raise InvalidRequestError(f"{path}: article {len(seen)} has no title of its own or no paragraphs")
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path}: not in SQuAD's JSON form ({type(error).__name__}: {error})") from error

"""WikiText-2 (raw), from the other end: how well so many characters before an article's end predict that end.

One item per article and always the same continuation, whatever the length of the context, so that results at several
lengths are of the same words. The article's last characters are the continuation, the word before is the prompt, and
what comes before that is the context; where an article is shorter than the context, the one before it goes on.
"""

import re
from bisect import bisect_right

from kvwire.errors import InvalidRequestError
from loadtest.datasets.cut import Cut
from loadtest.datasets.item import ContinuationItem
from loadtest.datasets.source import Query
from loadtest.datasets.wikitext2 import articles_of, read_text

LENGTHS = Cut(context_characters=1200, continuation_characters=200)

_BEFORE_WORD = re.compile(r"\s+(?=\S)")
# What is cut off beside the asked lengths: the word that each part begins in.
_LONGEST_WORDS = 200


def load_wikitext2_ends(query: Query, cut: Cut) -> list[ContinuationItem]:
    """One item per article with as much text before its end, in file order; an id is its number and title.

    Raises:
        InvalidRequestError: No article has so much text before its end.
    """
    path, text = read_text(query)
    items, end = [], 0
    for number, (title, article) in enumerate(articles_of(text)):
        end = text.index(article, end) + len(article)
        name = f"{number}-{title}"
        if item := _item(name, text[max(0, end - cut.characters - _LONGEST_WORDS) : end].rstrip(), cut):
            items.append(item)
    if not items:
        raise InvalidRequestError(f"{path}: no article ends behind {cut.characters} characters; ask for less")
    return items


def _item(name: str, text: str, cut: Cut) -> ContinuationItem | None:
    """The end of ``text``, each part from the space before a word on; None if it is too short."""
    starts = [found.start() for found in _BEFORE_WORD.finditer(text)]
    rest = bisect_right(starts, len(text) - cut.continuation_characters) - 1
    context = bisect_right(starts, starts[rest - 1] - cut.context_characters) - 1 if rest > 0 else -1
    if context < 0:
        return None
    at, prompt = starts[context], starts[rest - 1]
    return ContinuationItem(name, text[at:prompt].lstrip(), text[prompt : starts[rest]], text[starts[rest] :], name)

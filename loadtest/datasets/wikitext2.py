"""WikiText-2 (raw): how well the opening of a Wikipedia article predicts what follows. Merity et al., arXiv 1609.07843.

One item per article: its first characters are the context, the next word is the prompt, and the text after that is the
continuation. Parts end at the end of a word. Blank lines are dropped first, because copies of the file differ in them.
Articles too short for all three parts give no item; 60 of the test split's are long enough for the default lengths.
A line `` = Title = `` opens an article; two formulas of the test split look the same and are taken for one each.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from kvwire.errors import InvalidRequestError
from loadtest.datasets.item import ContinuationItem
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import HubFile, Query

CONTEXT_CHARACTERS = 1200  # about 300 tokens: the cache is worth compressing, and a prefill takes a second
CONTINUATION_CHARACTERS = 200  # about 50 tokens, as in the measurements this set is compared with

_TITLE = re.compile(r"^ = ([^=\n]+) = $", re.MULTILINE)
_WORD_END = re.compile(r"\s*\S+")
_OFFICIAL = {"train": "train", "validation": "valid", "test": "test"}


def load_wikitext2(query: Query, context_characters: int, continuation_characters: int) -> list[ContinuationItem]:
    """One item per article that is long enough, in file order; an id is the article's number and title.

    Raises:
        InvalidRequestError: A length below 1, or no article is long enough.
    """
    if min(context_characters, continuation_characters) < 1:
        raise InvalidRequestError(
            f"context of {context_characters} and continuation of {continuation_characters} characters: give at least 1"
        )
    path = query.find(
        local=(f"wikitext2/wikitext-2-raw_{query.split}.txt", f"wikitext-2-raw/wiki.{_OFFICIAL[query.split]}.raw"),
        remote=HubFile(
            "Salesforce/wikitext",
            "b08601e04326c79dfdd32d625aee71d232d685c3",
            f"wikitext-2-raw-v1/{query.split}-00000-of-00001.parquet",
        ),
    )
    cut = (
        _cut(f"{number}-{title}", article, context_characters, continuation_characters)
        for number, (title, article) in enumerate(_articles(_text(path)))
    )
    items = [item for item in cut if item]
    if not items:
        raise InvalidRequestError(
            f"{path}: no article has {context_characters + continuation_characters} characters; ask for less"
        )
    return items


def _text(path: Path) -> str:
    try:
        text = (
            "".join(str(row.fields.get("text", "")) for row in read_rows(path))
            if path.suffix == ".parquet"
            else path.read_text(encoding="utf-8")
        )
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path}: not UTF-8 text ({error})") from error
    return re.sub(r"\n(\s*\n)+", "\n", text)


def _articles(text: str) -> Iterator[tuple[str, str]]:
    """Title and text, title line included, of each article."""
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    for title, end in zip(titles, ends, strict=True):
        yield title[1], text[title.start() : end]


def _cut(name: str, article: str, context_characters: int, continuation_characters: int) -> ContinuationItem | None:
    """The article in three parts, each ending with a whole word; None if it is too short."""
    context = _WORD_END.match(article, context_characters)
    prompt = context and _WORD_END.match(article, context.end())
    rest = prompt and _WORD_END.match(article, prompt.end() + continuation_characters)
    if not (context and prompt and rest):
        return None
    return ContinuationItem(name, article[: context.end()], prompt[0], article[prompt.end() : rest.end()])

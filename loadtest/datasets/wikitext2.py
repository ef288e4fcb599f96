"""WikiText-2 (raw): how well the opening of a Wikipedia article predicts what follows. Merity et al., arXiv 1609.07843.

One item per article, which is its own cluster: its first characters are the context, the next word is the prompt, and
the text after that is the continuation. Blank lines are dropped first, because copies of the file differ in them. An
article too short for all three parts gives no item; the test split has 60, all long enough for the default lengths.
A line `` = Title = `` opens an article; two formulas of the test split look the same, but go on with a number.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from kvwire.errors import InvalidRequestError
from loadtest.datasets.cut import Cut
from loadtest.datasets.item import ContinuationItem
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import HubFile, Query

#: About 300 tokens: the cache is worth compressing, and a prefill takes a second. Then about 50, as in the measurements
#: this set is compared with.
LENGTHS = Cut(context_characters=1200, continuation_characters=200)

_TITLE = re.compile(r"^ = ([^=\n]+) = $(?!\n+ 1 )", re.MULTILINE)
_OFFICIAL = {"train": "train", "validation": "valid", "test": "test"}


def load_wikitext2(query: Query, cut: Cut) -> list[ContinuationItem]:
    """One item per article that is long enough, in file order; an id is the article's number and title.

    Raises:
        InvalidRequestError: No article is long enough.
    """
    path, text = read_text(query)
    named = ((f"{number}-{title}", article) for number, (title, article) in enumerate(articles_of(text)))
    items = [item for name, article in named if (item := cut.item(name, article, cluster=name))]
    if not items:
        raise InvalidRequestError(f"{path}: no article has {cut.characters} characters; ask for less")
    return items


def read_text(query: Query, *further: str) -> tuple[Path, str]:
    """The split's file, which may have one of ``further`` names in a folder, and its text without blank lines.

    Raises:
        NotFoundError, InvalidRequestError: It is not there, or no text.
    """
    path = query.find(
        local=(
            f"wikitext2/wikitext-2-raw_{query.split}.txt",
            f"wikitext-2-raw/wiki.{_OFFICIAL[query.split]}.raw",
            *further,
        ),
        remote=HubFile(
            "Salesforce/wikitext",
            "b08601e04326c79dfdd32d625aee71d232d685c3",
            f"wikitext-2-raw-v1/{query.split}-00000-of-00001.parquet",
        ),
    )
    try:
        text = _whole(path)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, zlib.error) as error:
        raise InvalidRequestError(f"{path}: not UTF-8 text, or not whole ({error})") from error
    return path, re.sub(r"\n(\s*\n)+", "\n", text)


def _whole(path: Path) -> str:
    match path.suffix:
        case ".parquet":
            return "".join(str(row.fields.get("text", "")) for row in read_rows(path))
        case ".gz":
            return gzip.decompress(path.read_bytes()).decode("utf-8")
        case _:
            return path.read_text(encoding="utf-8")


def articles_of(text: str) -> Iterator[tuple[str, str]]:
    """Title and text, title line included, of each article."""
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    for title, end in zip(titles, ends, strict=True):
        yield title[1], text[title.start() : end]

"""The texts that quality is measured on: articles of WikiText-2's test split, never used in calibration."""

from dataclasses import dataclass
from pathlib import Path

from kvwire.engine.prompts import PromptReader
from kvwire.errors import InvalidRequestError
from loadtest.datasets import load_continuations

#: Tokens behind the prefix whose distributions are compared.
SCORED_TOKENS = 95

# An English token has 4.4 characters with these models; articles cut here are long enough for all but a few.
_CHARACTERS_PER_TOKEN = 6


@dataclass(frozen=True)
class Document:
    """One article: what is sent as a cache, and what is read behind it."""

    id: str
    prefix: tuple[int, ...]
    scored: tuple[int, ...]


def documents(count: int, prefix_tokens: int, prompts: PromptReader, data_dir: Path | None) -> list[Document]:
    """The first ``count`` articles that are long enough; a BOS, if the model has one, is part of the prefix.

    Raises:
        NotFoundError: The data set is not there.
        InvalidRequestError: It has fewer such articles.
    """
    wanted = prefix_tokens + SCORED_TOKENS
    items = load_continuations(
        "wikitext2",
        data_dir=data_dir,
        context_characters=_CHARACTERS_PER_TOKEN * wanted,
        continuation_characters=1,
    )
    found = []
    for item in items:
        tokens = (*prompts.bos(), *prompts.plain(item.context))[:wanted]
        if len(tokens) == wanted:
            found.append(Document(item.id, tokens[:prefix_tokens], tokens[prefix_tokens:]))
        if len(found) == count:
            return found
    raise InvalidRequestError(f"WikiText-2 has {len(found)} articles of {wanted} tokens, not {count}; ask for fewer")

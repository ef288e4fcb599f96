"""Cuts a text into what the sharer alone reads, the word the receiver starts from, and what comes next."""

import re
from dataclasses import dataclass

from kvwire.errors import InvalidRequestError
from loadtest.datasets.item import ContinuationItem

_WORD_END = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class Cut:
    """How long the opening and what follows are at least, in characters; both end at the end of a word.

    Raises:
        InvalidRequestError: A length below 1.
    """

    context_characters: int
    continuation_characters: int

    def __post_init__(self) -> None:
        if min(self.context_characters, self.continuation_characters) < 1:
            raise InvalidRequestError(
                f"context of {self.context_characters} and continuation of {self.continuation_characters} characters: "
                "give at least 1"
            )

    @property
    def characters(self) -> int:
        """What a text needs to have, and a word more."""
        return self.context_characters + self.continuation_characters

    def item(self, name: str, text: str, cluster: str) -> ContinuationItem | None:
        """The beginning of ``text`` as an item; None if it is too short."""
        context = _WORD_END.match(text, self.context_characters)
        prompt = context and _WORD_END.match(text, context.end())
        rest = prompt and _WORD_END.match(text, prompt.end() + self.continuation_characters)
        if not (context and prompt and rest):
            return None
        return ContinuationItem(name, text[: context.end()], prompt[0], text[prompt.end() : rest.end()], cluster)

"""Chat templates by message sections: which characters of a rendered chat are message content, and which template.

In aligned mode only content is aligned and fused; two models' templates say nothing to each other.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuser.align import Tokenized, by_characters, tokenized
from kvwire.chat_template import Message, render
from kvwire.errors import InvalidRequestError


@dataclass(frozen=True)
class Section:
    """Characters ``start`` up to ``end`` of a rendered chat; ``message``: whose content it is, None for template."""

    start: int
    end: int
    message: int | None


def sections(rendered: str, contents: Sequence[str]) -> tuple[Section, ...]:
    """Template and content in turn, covering all of ``rendered``; ``contents`` of the messages, in order.

    A message without content, or whose content the template trims, has the section that is left of it, or none.

    Raises:
        InvalidRequestError: The template drops or changes a message.
    """
    found: list[Section] = []
    at = 0
    for message, content in enumerate(contents):
        words = content.strip()
        if not words:
            continue
        start = rendered.find(words, at)
        if start < 0:
            raise InvalidRequestError(
                f"this model's chat template drops or changes message {message}; align it as plain text"
            )
        if start > at:
            found.append(Section(at, start, None))
        at = start + len(words)
        found.append(Section(start, at, message))
    if at < len(rendered):
        found.append(Section(at, len(rendered), None))
    return tuple(found)


@dataclass(frozen=True)
class Chat:
    """A rendered chat in one model's tokens, and its sections."""

    tokens: Tokenized
    sections: tuple[Section, ...]

    def owners(self) -> tuple[int | None, ...]:
        """For every token the message that holds its last character, None for the template's tokens."""
        ends = [section.end for section in self.sections]
        at = (bisect_left(ends, end) for end in self.tokens.ends)
        return tuple(self.sections[index].message for index in at)

    def content(self, message: int) -> tuple[list[int], list[int]]:
        """A message's tokens by index, and where each ends, in characters from the content's start."""
        start = next((section.start for section in self.sections if section.message == message), 0)
        indices = [index for index, owner in enumerate(self.owners()) if owner == message]
        return indices, [self.tokens.ends[index] - start for index in indices]


def read_chat(tokenizer: Any, rendered: str, contents: Sequence[str]) -> Chat:
    """Tokenize a rendered chat whole, as its model reads it; ``tokenizer`` is a fast one of transformers.

    Raises:
        InvalidRequestError: The template drops or changes a message.
    """
    return Chat(tokenized(tokenizer, rendered), sections(rendered, contents))


def read_messages(tokenizer: Any, messages: Sequence[Message]) -> Chat:
    """Render messages up to where the answer begins, and tokenize them; ``tokenizer`` is a fast one of transformers.

    Raises:
        InvalidRequestError: No chat template, or one that refuses the messages, or drops or changes one.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidRequestError("tokens are aligned by messages, and one of the models has no chat template")
    rendered = render(tokenizer, messages, answer=True)
    return read_chat(tokenizer, rendered, [message["content"] for message in messages])


def align_chats(receiver: Chat, sharer: Chat, messages: int) -> tuple[int | None, ...]:
    """For every receiver token the index of its sharer token, by characters within the same message's content.

    None for tokens of the template, and of messages that the sharer has no tokens of.
    """
    sources: list[int | None] = [None] * len(receiver.tokens.ids)
    for message in range(messages):
        ours, our_ends = receiver.content(message)
        theirs, their_ends = sharer.content(message)
        for index, source in zip(ours, by_characters(our_ends, their_ends), strict=False):
            sources[index] = theirs[source]
    return tuple(sources)

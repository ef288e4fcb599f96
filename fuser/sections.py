"""Chat templates by message sections: which characters of a rendered chat are message content, and which template.

In aligned mode only content is aligned and fused; two models' templates say nothing to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuser.align import Tokenized, tokenized
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


def read_messages(tokenizer: Any, messages: Sequence[Message]) -> Chat:
    """Render messages up to where the answer begins, and tokenize that whole, as the model reads it.

    ``tokenizer`` is a fast one of transformers.

    Raises:
        InvalidRequestError: No chat template, or one that refuses the messages, or drops or changes one.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidRequestError("tokens are aligned by messages, and one of the models has no chat template")
    rendered = render(tokenizer, messages, answer=True)
    return Chat(tokenized(tokenizer, rendered), sections(rendered, [message["content"] for message in messages]))

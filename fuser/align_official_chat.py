"""Chats as official C2C checkpoints with aligned tokens take them: each model's own template around the same content.

Of every message's content the sharer reads one token for each of the receiver's; what the templates say is each model's
own and not fused. (The official code pads the shorter template and masks the padding; what is left of it is this.)
Source: thu-nics/C2C, ``rosetta/model/aligner.py``, ``align_chat_messages``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fuser.align_official import Pick, sharer_tokens
from fuser.sections import Chat, read_messages
from kvwire.chat_template import Message
from kvwire.errors import InvalidRequestError


@dataclass(frozen=True)
class ChatTokens:
    """A chat in one model's tokens, up to where the answer begins; ``content``: those that hold content, ascending."""

    ids: tuple[int, ...]
    content: tuple[int, ...]


def receiver_chat(tokenizer: Any, messages: Sequence[Message]) -> ChatTokens:
    """A chat as the receiver reads it; ``tokenizer`` is a fast one of transformers.

    Raises:
        InvalidRequestError: No chat template, one that drops or changes a message, or no content.
    """
    chat = _read(tokenizer, messages)
    return ChatTokens(chat.tokens.ids, tuple(index for begin, end in _contents(chat) for index in range(begin, end)))


def sharer_chat(receiver: Any, sharer: Any, messages: Sequence[Message], pick: Pick) -> ChatTokens:
    """The same chat as the sharer reads it: its content is as long as the receiver's.

    Raises:
        InvalidRequestError: As for the receiver's.
    """
    ours, theirs = _read(receiver, messages), _read(sharer, messages)
    ids: list[int] = []
    content: list[int] = []
    behind = 0
    for (begin, end), (start, stop) in zip(_contents(ours), _contents(theirs), strict=True):
        aligned = sharer_tokens(receiver, sharer, ours.tokens.ids[begin:end], pick)
        ids += theirs.tokens.ids[behind:start]
        content += range(len(ids), len(ids) + len(aligned))
        ids += aligned
        behind = stop
    return ChatTokens((*ids, *theirs.tokens.ids[behind:]), tuple(content))


def _read(tokenizer: Any, messages: Sequence[Message]) -> Chat:
    chat = read_messages(tokenizer, messages)
    if all(section.message is None for section in chat.sections):
        raise InvalidRequestError("the messages have no content; there is nothing to fuse")
    return chat


def _contents(chat: Chat) -> Iterator[tuple[int, int]]:
    """Of each message with content, which tokens hold any of it: first, and behind the last."""
    spans = list(pairwise((0, *chat.tokens.ends)))
    for section in chat.sections:
        if section.message is not None:
            held = [at for at, (begin, end) in enumerate(spans) if begin < section.end and end > section.start]
            yield held[0], held[-1] + 1

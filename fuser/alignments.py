"""The alignment rules by name, and what each makes of a text, to be shown."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fuser.align import align, tokenized
from fuser.align_official import Pick, first, longest, sharer_tokens
from fuser.sections import align_chats, read_messages


@dataclass(frozen=True)
class Row:
    """A receiver token and its sharer token, None for a chat template's own.

    ``sharer_index`` counts the sharer's own tokens of the text; None where it reads one token per receiver token.
    """

    receiver_id: int
    receiver_text: str
    sharer_id: int | None
    sharer_text: str
    sharer_index: int | None


Rule = Callable[[Any, Any, str], list[Row]]


def _by_characters(receiver: Any, sharer: Any, text: str) -> list[Row]:
    found = align(receiver, sharer, text)
    ids = [found.sharer.ids[source] for source in found.sources]
    return [
        Row(ours, receiver.decode([ours]), theirs, sharer.decode([theirs]), source)
        for ours, theirs, source in zip(found.receiver.ids, ids, found.sources, strict=True)
    ]


def _by_message(receiver: Any, sharer: Any, text: str) -> list[Row]:
    """The text as one user message of a chat; the template's tokens stand alone."""
    ours, theirs = (read_messages(each, [{"role": "user", "content": text}]) for each in (receiver, sharer))
    found = []
    for token, source in zip(ours.tokens.ids, align_chats(ours, theirs, 1), strict=True):
        if source is None:
            found.append(Row(token, receiver.decode([token]), None, "", None))
        else:
            taken = theirs.tokens.ids[source]
            found.append(Row(token, receiver.decode([token]), taken, sharer.decode([taken]), source))
    return found


def _official(pick: Pick, receiver: Any, sharer: Any, text: str) -> list[Row]:
    ids = tokenized(receiver, text).ids
    return [
        Row(ours, receiver.decode([ours]), theirs, sharer.decode([theirs]), None)
        for ours, theirs in zip(ids, sharer_tokens(receiver, sharer, ids, pick), strict=True)
    ]


RULES: dict[str, Rule] = {
    "characters": _by_characters,
    "chat": _by_message,
    "first": partial(_official, first),
    "longest": partial(_official, longest),
}

"""The alignment rules by name, and what each makes of a text, to be shown."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fuser.align import align, tokenized
from fuser.align_official import Pick, first, longest, sharer_tokens


@dataclass(frozen=True)
class Row:
    """A receiver token and its sharer token.

    ``sharer_index`` counts the sharer's own tokens of the text; None where it reads one token per receiver token.
    """

    receiver_id: int
    receiver_text: str
    sharer_id: int
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


def _official(pick: Pick, receiver: Any, sharer: Any, text: str) -> list[Row]:
    ids = tokenized(receiver, text).ids
    return [
        Row(ours, receiver.decode([ours]), theirs, sharer.decode([theirs]), None)
        for ours, theirs in zip(ids, sharer_tokens(receiver, sharer, ids, pick), strict=True)
    ]


RULES: dict[str, Rule] = {
    "characters": _by_characters,
    "first": partial(_official, first),
    "longest": partial(_official, longest),
}

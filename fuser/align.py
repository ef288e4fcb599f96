"""Which sharer token stands for each receiver token, by character offsets on each side's natural tokenization.

A receiver token takes the first sharer token that ends at or after its own last character: the earliest token whose
cache knows all that the receiver's token says. Both models read the text as they would by themselves, so neither meets
tokens it was not trained on. The rule is ours; align_official.py holds the one that C2C checkpoints were trained with.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Tokenized:
    """A text in one model's tokens, nothing added; ``ends``: the character each token ends before, never falling."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Alignment:
    """A text in both models' tokens; ``sources[i]`` is the index of receiver token i's sharer token, never falling."""

    receiver: Tokenized
    sharer: Tokenized
    sources: tuple[int, ...]


def align(receiver: Any, sharer: Any, text: str) -> Alignment:
    """Align a text; ``receiver`` and ``sharer`` are fast tokenizers of transformers.

    Without any sharer token ``sources`` is empty.
    """
    ours, theirs = tokenized(receiver, text), tokenized(sharer, text)
    return Alignment(ours, theirs, by_characters(ours.ends, theirs.ends))


def by_characters(receiver_ends: Sequence[int], sharer_ends: Sequence[int]) -> tuple[int, ...]:
    """For every receiver token the index of the first sharer token that ends at or after it, else of the last one.

    A character spread over several tokens ends with the last of them; both sequences never fall.
    """
    if not sharer_ends:
        return ()
    last = len(sharer_ends) - 1
    firsts = (min(bisect_left(sharer_ends, end), last) for end in receiver_ends)
    return tuple(bisect_right(sharer_ends, sharer_ends[first]) - 1 for first in firsts)


def tokenized(tokenizer: Any, text: str) -> Tokenized:
    """A text's tokens and where they end; ``tokenizer`` is a fast one of transformers."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return Tokenized(tuple(read.input_ids), tuple(accumulate((end for _, end in read.offset_mapping), max)))

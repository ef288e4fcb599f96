"""The rule official C2C checkpoints are trained with: each receiver token's text in one sharer token of its own.

A receiver token is decoded alone and its text tokenized alone by the sharer; of several tokens the first or the longest
stands for it. The sharer then reads these tokens, which need not be how it would read the text.
Source: thu-nics/C2C, ``rosetta/model/aligner.py``.
"""

from collections.abc import Callable, Sequence
from typing import Any

Pick = Callable[[Any, Sequence[int]], int]


def first(sharer: Any, candidates: Sequence[int]) -> int:  # noqa: ARG001  # a rule's signature
    """The first token."""
    return candidates[0]


def longest(sharer: Any, candidates: Sequence[int]) -> int:
    """The token of the longest text, in characters; the earliest of several."""
    return max(candidates, key=lambda token: len(_text(sharer, token)))


def sharer_tokens(receiver: Any, sharer: Any, ids: Sequence[int], pick: Pick) -> tuple[int, ...]:
    """One sharer token for each receiver token; ``receiver`` and ``sharer`` are tokenizers of transformers."""
    special = frozenset(receiver.all_special_ids)
    return tuple(
        _special(receiver, sharer, token) if token in special else _ordinary(receiver, sharer, token, pick)
        for token in ids
    )


def _ordinary(receiver: Any, sharer: Any, token: int, pick: Pick) -> int:
    candidates = sharer.encode(_text(receiver, token), add_special_tokens=False)
    return pick(sharer, candidates) if candidates else _unknown(sharer)


def _special(receiver: Any, sharer: Any, token: int) -> int:
    """The token of the same role, else of the same text."""
    roles = {
        # The official code gives a tokenizer without padding its end of sequence; a later role wins.
        _padding(receiver): _padding(sharer),
        receiver.eos_token_id: sharer.eos_token_id,
        receiver.bos_token_id: sharer.bos_token_id,
        receiver.unk_token_id: sharer.unk_token_id,
    }
    if (role := roles.get(token)) is not None:
        return int(role)
    found = sharer.convert_tokens_to_ids(_text(receiver, token))
    return _unknown(sharer) if found is None else int(found)


def _padding(tokenizer: Any) -> int | None:
    found: int | None = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return found


def _unknown(sharer: Any) -> int:
    return int(sharer.unk_token_id or 0)


def _text(tokenizer: Any, token: int) -> str:
    decoded: str = tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return decoded

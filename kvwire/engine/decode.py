"""Greedy decoding with explicit positions, and distributions over given continuations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine

# U+FFFD: what a tokenizer shows for bytes that do not yet make a character.
_INCOMPLETE = "\ufffd"


@dataclass(frozen=True)
class Step:
    """One decoding step: the token taken, the text it adds, its log-probability, and the logits it was taken from."""

    token_id: int
    text: str
    logprob: float
    logits: Tensor


def greedy(
    engine: Engine,
    cache: PositionedCache,
    logits: Tensor,
    position: int,
    max_new_tokens: int,
    stop: frozenset[int],
) -> Iterator[Step]:
    """Yield tokens until a stop token (not yielded) or ``max_new_tokens``.

    ``logits``: ``(vocabulary,)`` float32 after the last prompt token. ``position``: where the first new token stands.
    Ties go to the lowest token id. Each step is computed when the caller asks for it.
    """
    taken: list[int] = []
    shown = ""
    while True:
        token = int(torch.argmax(logits))
        if token in stop:
            return
        taken.append(token)
        text = engine.prompts.text(taken)
        added = "" if text.endswith(_INCOMPLETE) else text[len(shown) :]
        shown += added
        yield Step(token, added, float(torch.log_softmax(logits, dim=-1)[token]), logits)
        if len(taken) == max_new_tokens:
            return
        logits = engine.next_logits([token], cache, position + len(taken) - 1)


def continuation_distributions(
    engine: Engine,
    cache: PositionedCache,
    logits: Tensor,
    position: int,
    continuations: Sequence[tuple[int, ...]],
) -> list[Tensor]:
    """Log-probabilities over the vocabulary before every token of every continuation, given the cache.

    ``logits``: ``(vocabulary,)`` float32 after the last prompt token, which predict each continuation's first token.
    Returns one ``(tokens, vocabulary)`` float32 tensor per continuation. All are read in one pass, side by side.
    """
    heads = [continuation[:-1] for continuation in continuations]
    rows = engine.branch_logits(heads, cache, position) if any(heads) else logits.new_empty(0, logits.shape[-1])
    pieces = rows.split([len(head) for head in heads])
    return [torch.log_softmax(torch.cat([logits[None], piece]), dim=-1) for piece in pieces]


def chosen(distributions: Tensor, tokens: tuple[int, ...]) -> tuple[float, ...]:
    """Log-probability of each token under the distribution before it, ``(tokens, vocabulary)``."""
    index = torch.tensor(tokens, device=distributions.device)[:, None]
    return tuple(distributions.gather(-1, index)[:, 0].tolist())

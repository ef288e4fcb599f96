"""Greedy decoding with explicit positions, and log-likelihoods of given continuations."""

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


def continuation_logprobs(
    engine: Engine,
    cache: PositionedCache,
    logits: Tensor,
    position: int,
    continuations: Sequence[tuple[int, ...]],
) -> list[tuple[float, ...]]:
    """Log-probability of every token of every continuation, given the cache.

    ``logits``: ``(vocabulary,)`` float32 after the last prompt token, which predict each continuation's first token.
    All continuations are read in one forward pass, side by side.
    """
    first = torch.log_softmax(logits, dim=-1)
    heads = [continuation[:-1] for continuation in continuations]
    rows = engine.branch_logits(heads, cache, position) if any(heads) else logits.new_empty(0, logits.shape[-1])
    scores = []
    start = 0
    for continuation, head in zip(continuations, heads, strict=True):
        later = torch.log_softmax(rows[start : start + len(head)], dim=-1)
        chosen = later.gather(-1, torch.tensor(continuation[1:], device=later.device, dtype=torch.int64)[:, None])
        scores.append((float(first[continuation[0]]), *chosen[:, 0].tolist()))
        start += len(head)
    return scores

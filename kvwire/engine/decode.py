"""What greedy decoding takes of logits, and distributions over given continuations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine, Part
from kvwire.report import Token

# U+FFFD: what a tokenizer shows for bytes that do not yet make a character.
_INCOMPLETE = "\ufffd"


@dataclass(frozen=True)
class Step:
    """One decoding step: the token taken, the text it adds, its log-probability, and the logits it was taken from."""

    token_id: int
    text: str
    logprob: float
    logits: Tensor


class Greedy:
    """An answer as it is written, token by token, until a stop token or ``max_new_tokens``.

    Ties go to the lowest token id.
    """

    def __init__(self, engine: Engine, max_new_tokens: int, stop: frozenset[int]) -> None:
        self._prompts = engine.prompts
        self._stop = stop
        self._shown = slice(0, 0)  # the latest tokens whose text was shown; others may depend on them, none before does
        self.max_new_tokens = max_new_tokens
        self.tokens: list[int] = []
        self.ended = False

    def take(self, token: int, logprob: float, logits: Tensor) -> Step | None:
        """The step that takes ``token``, the best of ``logits``, ``(vocabulary,)`` float32; None if it ends here."""
        self.ended = token in self._stop or len(self.tokens) + 1 == self.max_new_tokens
        if token in self._stop:
            return None
        self.tokens.append(token)
        return Step(token, self._added(), logprob, logits)

    def _added(self) -> str:
        """What the tokens since the last shown ones add, which is not read off them alone: a space may go first."""
        shown = self._prompts.text(self.tokens[self._shown])
        text = _complete(self._prompts.text(self.tokens[self._shown.start :]))
        if text:
            self._shown = slice(self._shown.stop, len(self.tokens))
        return text[len(shown) :]


def best(logits: Tensor) -> list[tuple[int, float]]:
    """The most likely token of each row of ``(rows, vocabulary)`` float32, and its log-probability."""
    most, tokens = logits.max(dim=-1)
    logprobs = most - torch.logsumexp(logits, dim=-1)
    return list(zip(tokens.tolist(), logprobs.tolist(), strict=True))


def _complete(text: str) -> str:
    """The text, or nothing while its last character is incomplete."""
    return "" if text.endswith(_INCOMPLETE) else text


def first_token(engine: Engine, logits: Tensor) -> Token:
    """The token greedy decoding takes after ``logits``, ``(vocabulary,)`` float32."""
    token = int(torch.argmax(logits))
    return Token(token, _complete(engine.prompts.text([token])), float(torch.log_softmax(logits, dim=-1)[token]))


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
    heads = _but_last(continuations)
    if not any(heads):
        return _distributions(logits[None], heads)
    (rows,) = engine.branch_logits([Part(cache, (), position, heads)])
    return _distributions(torch.cat([logits[None], rows]), heads)


def together(
    engine: Engine, unread: Sequence[Part], continuations: Sequence[Sequence[tuple[int, ...]]]
) -> list[tuple[Tensor, list[Tensor]]]:
    """Read several prompts with their continuations in one pass.

    ``unread``: the prompts, without branches. Returns per prompt the logits after it, ``(vocabulary,)``, and what
    :func:`continuation_distributions` returns.
    """
    heads = [_but_last(own) for own in continuations]
    parts = [replace(part, branches=own) for part, own in zip(unread, heads, strict=True)]
    found = engine.branch_logits(parts)
    return [(rows[0], _distributions(rows, own)) for rows, own in zip(found, heads, strict=True)]


def _but_last(continuations: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What is read of continuations: nothing is predicted from a last token."""
    return [continuation[:-1] for continuation in continuations]


def _distributions(rows: Tensor, heads: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """``rows``: logits after the prompt, then after every token of ``heads``."""
    if len(heads) == 1:
        return [torch.log_softmax(rows, dim=-1)]  # a long continuation is not copied once more
    pieces = rows[1:].split([len(head) for head in heads])
    return [torch.log_softmax(torch.cat([rows[:1], piece]), dim=-1) for piece in pieces]


def chosen(distributions: Tensor, tokens: tuple[int, ...]) -> tuple[float, ...]:
    """Log-probability of each token under the distribution before it, ``(tokens, vocabulary)``."""
    index = torch.tensor(tokens, device=distributions.device)[:, None]
    return tuple(distributions.gather(-1, index)[:, 0].tolist())

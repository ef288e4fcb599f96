"""Requests as numbers: how long each part is, and which context it is about; drawn before a run, the same by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Request:
    """One that comes ``due_s`` after the start; ``context`` tells contexts apart, those of one number are the same."""

    due_s: float
    context: int
    context_tokens: int
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Mix:
    """What is asked: shares of each number of tokens.

    Each request is about one of ``distinct`` contexts, the n-th most asked for n^-``zipf`` times as often as the first;
    with 0 of them every context is new.
    """

    context_tokens: Mapping[int, float]
    prompt_tokens: Mapping[int, float]
    answer_tokens: Mapping[int, float]
    distinct: int = 0
    zipf: float = 0.0

    def requests(self, due_s: Sequence[float], seed: int) -> list[Request]:
        """One request for each time."""
        random = np.random.default_rng(seed)
        contexts = self._contexts(random, len(due_s))
        lengths = _drawn(random, self.context_tokens, max(len(due_s), self.distinct))
        prompts = _drawn(random, self.prompt_tokens, len(due_s))
        answers = _drawn(random, self.answer_tokens, len(due_s))
        return [
            Request(due, context, lengths[context], prompt, answer)
            for due, context, prompt, answer in zip(due_s, contexts, prompts, answers, strict=True)
        ]

    def _contexts(self, random: np.random.Generator, count: int) -> list[int]:
        if not self.distinct:
            return list(range(count))
        weights = np.arange(1, self.distinct + 1) ** -self.zipf
        return [int(each) for each in random.choice(self.distinct, count, p=weights / weights.sum())]


def _drawn(random: np.random.Generator, shares: Mapping[int, float], count: int) -> list[int]:
    weights = np.array(list(shares.values()), dtype=np.float64)
    return [int(each) for each in random.choice(list(shares), count, p=weights / weights.sum())]

"""Makes requests of any lengths, for measuring a pair with."""

from collections.abc import Sequence

import numpy as np

from bench.services.facts import facts
from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore
from kvwire.report import Report
from kvwire.requests import Exchange, GenerateRequest, Method, ScoreRequest, TokenIds

_CHARACTERS = 10_000


class Asker:
    """Makes requests of any lengths: words of a text in random order, so that no two are about the same context."""

    def __init__(self, model: str, codec: str) -> None:
        tokenizer = load_tokenizer(ModelStore().pull(model))
        self._ids: list[int] = tokenizer(facts(_CHARACTERS), add_special_tokens=False).input_ids
        self._exchange = Exchange(Method.PREFIX, codec=codec)
        self._random = np.random.default_rng(0)

    def request(self, context: int, prompt: int, new_tokens: int) -> GenerateRequest:
        """By method ``prefix``."""
        return GenerateRequest(self._drawn(prompt), self._drawn(context), self._exchange, new_tokens, ignore_eos=True)

    def cache(self, context: int, prompt: int = 1) -> ScoreRequest:
        """By method ``prefix``: nothing but a prompt is read behind the cache, for one token's score."""
        return ScoreRequest(self._drawn(prompt), (self._drawn(1),), self._drawn(context), self._exchange)

    def own(self, prompt: int, new_tokens: int, method: Method = Method.RECEIVER_ONLY) -> GenerateRequest:
        """Without a cache."""
        return GenerateRequest(self._drawn(prompt), None, Exchange(method), new_tokens, ignore_eos=True)

    def _drawn(self, tokens: int) -> TokenIds:
        return TokenIds(tuple(self._random.choice(self._ids, tokens).tolist()))


async def cache(client: Client, request: ScoreRequest) -> Report:
    """How a cache came, asked for in a call that reads its prompts only once all caches are there.

    Raises:
        KvwireError: It did not.
    """
    (report,) = await caches(client, [request])
    return report


async def caches(client: Client, requests: Sequence[ScoreRequest]) -> list[Report]:
    """How caches came, one after the other, whose prompts were read in one pass then.

    Raises:
        KvwireError: One did not.
    """
    reports = []
    async for scored in client.score_together(requests):
        if isinstance(scored, KvwireError):
            raise scored
        reports.append(scored.report)
    return reports

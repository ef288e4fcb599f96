"""Drives items through a service in a closed loop and keeps what came of each."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.report import Report
from kvwire.requests import ChatMessage, Exchange, GenerateRequest, Messages, RequestInfo, ScoreRequest, Text
from loadtest import scoring
from loadtest.datasets import Item
from loadtest.scoring import ItemResult

Scoring = Literal["loglik", "letter"]


@dataclass(frozen=True)
class Outcome:
    """One item's result and what it cost; times in seconds by the client's clock, 0 where the item failed."""

    result: ItemResult
    report: Report | None = None
    first_token_s: float = 0.0
    total_s: float = 0.0
    itl_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How items are asked: by which exchange, scored how, so many at once, each within ``deadline_ms`` (0: no limit).

    The first ``warmup`` items are asked once more before, uncounted: they open connections and fault memory in.
    """

    exchange: Exchange
    scoring: Scoring = "loglik"
    concurrency: int = 1
    deadline_ms: int = 0
    warmup: int = 1


class Driver:
    """Asks items of one service."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self._plan = plan
        self._scored = self._loglik if plan.scoring == "loglik" else self._letter

    async def run(self, items: Sequence[Item], done: Callable[[Outcome], None]) -> list[Outcome]:
        """Ask every item, at most ``concurrency`` at once; return outcomes in the items' order.

        ``done`` hears of each outcome as it comes. A failed item becomes an outcome with its error.
        """
        await self.warm_up(items)
        places = asyncio.Semaphore(self._plan.concurrency)

        async def one(item: Item) -> Outcome:
            async with places:
                outcome = await self.ask(item)
            done(outcome)
            return outcome

        return await asyncio.gather(*(one(item) for item in items))

    async def warm_up(self, items: Sequence[Item]) -> None:
        """Ask the first few, as the plan says, for nobody."""
        for item in items[: self._plan.warmup]:
            await self.ask(item)

    async def ask(self, item: Item) -> Outcome:
        """Ask one item; one that fails becomes an outcome with its error."""
        try:
            return await self._scored(item)
        except KvwireError as error:
            return Outcome(scoring.failed(item, error))

    async def _loglik(self, item: Item) -> Outcome:
        scored = await self._client.score(
            ScoreRequest(
                prompt=Text(scoring.question_prompt(item)),
                continuations=tuple(Text(c) for c in scoring.continuations(item)),
                context=_context(item),
                exchange=self._plan.exchange,
                info=self._info(),
            )
        )
        result = scoring.score_likelihoods(item, scoring.choice_scores(item, scored.scores))
        return Outcome(result, scored.report, scored.first_token_s, scored.total_s)

    async def _letter(self, item: Item) -> Outcome:
        generated = await self._client.generate_all(
            GenerateRequest(
                prompt=Messages((ChatMessage("user", scoring.letter_prompt(item)),)),
                context=_context(item),
                exchange=self._plan.exchange,
                max_new_tokens=scoring.LETTER_MAX_NEW_TOKENS,
                info=self._info(),
            )
        )
        result = scoring.score_letter(item, generated.text)
        return Outcome(result, generated.report, generated.first_token_s, generated.total_s, generated.itl_s)

    def _info(self) -> RequestInfo:
        return RequestInfo(request_id=uuid.uuid4().hex, caller="loadtest", deadline_ms=self._plan.deadline_ms)


def _context(item: Item) -> Text | None:
    text = scoring.context_text(item)
    return None if text is None else Text(text)

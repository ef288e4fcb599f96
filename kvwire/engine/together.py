"""Scores several requests in one forward pass: the weights are read once for all of them."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from kvwire.engine.answer import Answerer, Asked, finished
from kvwire.engine.decode import first_token, together
from kvwire.engine.engine import Part
from kvwire.engine.question import Prepared
from kvwire.engine.worker import Task
from kvwire.errors import KvwireError
from kvwire.report import Scored
from kvwire.requests import ScoreRequest


async def score_together(
    answerer: Answerer, requests: Sequence[ScoreRequest], task: Task
) -> AsyncIterator[Scored | KvwireError]:
    """Prepare requests one after the other, read all prompts and continuations in one pass, yield each one's end.

    One that fails does not keep the others from being scored. Their reports have no ``first_token`` and no ``total``,
    which such a call does not have; ``together`` is how long the pass of all of them took.

    Raises:
        CancelledError, DeadlineError: The whole call ended.
    """
    outcomes: list[_Waiting | KvwireError] = []
    for request in requests:
        try:
            asked = await answerer.ask(request, task)
            prepared = await answerer.prepare(replace(asked.question, streams=False))
            if not isinstance(prepared, Prepared):
                raise TypeError(f"a question that must not stream was read to its end by {asked.question.exchange}")
            outcomes.append(_Waiting(asked, prepared))
        except KvwireError as error:
            task.check()
            outcomes.append(error)
    waiting = [outcome for outcome in outcomes if isinstance(outcome, _Waiting)]
    found = iter(await answerer.worker.run(lambda: _read(answerer, waiting), task) if waiting else ())
    for outcome in outcomes:
        yield outcome if isinstance(outcome, KvwireError) else next(found)


@dataclass(frozen=True)
class _Waiting:
    """A request that waits for the pass it shares with others."""

    asked: Asked
    prepared: Prepared


def _read(answerer: Answerer, waiting: Sequence[_Waiting]) -> list[Scored | KvwireError]:
    """Runs on the compute thread."""
    begun = time.perf_counter()
    unread = [Part(w.prepared.cache, w.prepared.unread, w.prepared.position) for w in waiting]
    found = together(answerer.engine, unread, [w.asked.continuations for w in waiting])
    answerer.engine.synchronize()
    ended = time.perf_counter()
    for each in waiting:
        each.asked.question.watch.stretch("together", begun, ended)
    return [_scored(answerer, w, *rows) for w, rows in zip(waiting, found, strict=True)]


def _scored(answerer: Answerer, waiting: _Waiting, logits: Tensor, found: list[Tensor]) -> Scored | KvwireError:
    asked = waiting.asked
    watch = asked.question.watch
    try:
        with watch.stage("score"):
            scores = answerer.scorer.score(asked.request, asked.continuations, found)
    except KvwireError as error:
        return error
    return Scored(
        first_token(answerer.engine, logits), tuple(scores), finished(waiting.prepared.report, watch, asked.tokens)
    )

"""Answers one request: whatever prepared the cache, generation and scoring go on from it in the same way."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from kvwire.engine.cache import PositionedCache
from kvwire.engine.compare import KeptDistributions, divergences
from kvwire.engine.decode import Step, chosen, continuation_distributions, greedy
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task, Worker
from kvwire.progress import Stopwatch
from kvwire.requests import (
    ContinuationScore,
    Exchange,
    GenerateRequest,
    Input,
    Report,
    RequestInfo,
    ScoreRequest,
    Text,
    Token,
)


@dataclass(frozen=True)
class Ready:
    """A cache with everything read, ready to answer from.

    ``logits``: ``(vocabulary,)`` float32 after the last prompt token; ``position``: where the next token stands;
    ``report``: what is known so far, without the receiver's stages.
    """

    cache: PositionedCache
    logits: Tensor
    position: int
    report: Report


@dataclass(frozen=True)
class Question:
    """A request on its way: what is asked, room to leave for the answer, when to stop, and where the time goes."""

    info: RequestInfo
    context: Input | None
    prompt: Input
    exchange: Exchange
    reserve_tokens: int
    task: Task
    watch: Stopwatch


class Preparation(Protocol):
    """Reads a question by its method; the sharer and the receiver each have their own."""

    async def __call__(self, question: Question) -> Ready:
        """Read the question and return a cache to answer from."""
        ...


class Answerer:
    """Generates and scores on one engine. Every step runs on the worker, so that requests take turns."""

    def __init__(self, engine: Engine, worker: Worker, prepare: Preparation, side: str) -> None:
        self.engine = engine
        self.worker = worker
        self.prepare = prepare
        self._side = side
        self._kept = KeptDistributions()

    async def generate(self, request: GenerateRequest, task: Task) -> AsyncIterator[Token | Report]:
        """Yield tokens, then the report."""
        question = self.question(request, request.max_new_tokens, task)
        async for event in self.steps(await self.prepare(question), request, question):
            yield Token(event.token_id, event.text, event.logprob) if isinstance(event, Step) else event

    def question(self, request: GenerateRequest | ScoreRequest, reserve_tokens: int, task: Task) -> Question:
        """A request set on its way; its stopwatch starts now."""
        watch = Stopwatch(self._side)
        return Question(request.info, request.context, request.prompt, request.exchange, reserve_tokens, task, watch)

    async def steps(self, ready: Ready, request: GenerateRequest, question: Question) -> AsyncIterator[Step | Report]:
        """Yield decoding steps with their logits, then the report."""
        task, watch = question.task, question.watch
        stop = frozenset[int]() if request.ignore_eos else self.engine.eos_token_ids
        steps = greedy(self.engine, ready.cache, ready.logits, ready.position, request.max_new_tokens, stop)
        count = 0
        while (step := await self.worker.run(lambda: _timed_next(steps, watch), task)) is not None:
            if count == 0:
                watch.mark("first_token")
            count += 1
            yield step
        watch.mark("total")
        yield _finished(ready.report, watch, count)

    async def score(self, request: ScoreRequest, task: Task) -> AsyncIterator[Token | ContinuationScore | Report]:
        """Yield the first greedy token, a score per continuation, then the report."""
        continuations = await self.worker.run(
            lambda: [self.engine.prompts.continuation(c) for c in request.continuations], task
        )
        total = sum(map(len, continuations))
        question = self.question(request, total, task)
        ready = await self.prepare(question)
        watch = question.watch
        stop = frozenset[int]()
        first = await self.worker.run(
            lambda: next(greedy(self.engine, ready.cache, ready.logits, ready.position, 1, stop)), task
        )
        watch.mark("first_token")
        yield Token(first.token_id, first.text, first.logprob)

        def scored() -> list[ContinuationScore]:
            with watch.stage("score"):
                return self._score(request, ready, continuations)

        for score in await self.worker.run(scored, task):
            yield score
        watch.mark("total")
        yield _finished(ready.report, watch, total)

    def _score(
        self, request: ScoreRequest, ready: Ready, continuations: Sequence[tuple[int, ...]]
    ) -> list[ContinuationScore]:
        caller, kept = request.info.caller, self._kept
        reference = kept.get(caller, request.compare_with, continuations) if request.compare_with else None
        found = continuation_distributions(self.engine, ready.cache, ready.logits, ready.position, continuations)
        if request.keep_distributions:
            kept.put(caller, request.info.request_id, continuations, found)
        scores = []
        for index, (tokens, distributions) in enumerate(zip(continuations, found, strict=True)):
            piece = request.continuations[index]
            kl_nats, same_top1 = divergences(reference[index], distributions) if reference else ((), ())
            characters = len(piece.text) if isinstance(piece, Text) else 0
            scores.append(
                ContinuationScore(index, tokens, chosen(distributions, tokens), characters, kl_nats, same_top1)
            )
        return scores


def _timed_next(steps: Iterator[Step], watch: Stopwatch) -> Step | None:
    with watch.stage("decode"):
        return next(steps, None)


def _finished(report: Report, watch: Stopwatch, generated: int) -> Report:
    return replace(report, tokens=replace(report.tokens, generated=generated)).with_stages(*watch.stages())

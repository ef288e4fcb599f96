"""Answers one request: whatever prepared the cache, generation and scoring go on from it in the same way."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import torch

from kvwire.engine.decode import Step, continuation_distributions, first_token
from kvwire.engine.decoder import Decoder
from kvwire.engine.engine import Engine
from kvwire.engine.question import Preparation, Prepared, Question, Ready
from kvwire.engine.reader import Reader
from kvwire.engine.score import Scorer
from kvwire.engine.stop_texts import StopTexts
from kvwire.engine.worker import Task, Worker
from kvwire.progress import Stopwatch
from kvwire.report import ContinuationScore, Report, Token
from kvwire.requests import GenerateRequest, ScoreRequest

#: Of a continuation's distributions while they are made: logits, by continuation, and as log-probabilities.
_COPIES = 3


@dataclass(frozen=True)
class Asked:
    """A scoring request on its way, and the tokens of its continuations."""

    request: ScoreRequest
    question: Question
    continuations: list[tuple[int, ...]]

    @property
    def tokens(self) -> int:
        """Of all continuations."""
        return sum(map(len, self.continuations))


class Answerer:
    """Generates and scores on one engine. Every step runs on the worker, so that requests take turns."""

    def __init__(self, engine: Engine, worker: Worker, prepare: Preparation, side: str) -> None:
        self.engine = engine
        self.worker = worker
        self.prepare = prepare
        self.side = side
        self.reader = Reader(engine, worker)
        self.scorer = Scorer()
        self.decoder = Decoder(engine, worker)

    async def ready(self, question: Question) -> Ready:
        """Read the whole question.

        Raises:
            KvwireError: Whatever its method meets.
        """
        prepared = await self.prepare(question)
        return prepared if isinstance(prepared, Ready) else await self.reader.read(prepared, question)

    async def _alone(self, prepared: Prepared, question: Question) -> Ready:
        """Read what is left beside nobody else's: what a score is must not depend on who else asked."""

        def read() -> Ready:
            with question.watch.stage(prepared.stage):
                logits = self.engine.next_logits(prepared.unread, prepared.cache, prepared.position)
                self.engine.synchronize()
            return Ready(prepared.cache, logits, prepared.end, prepared.report)

        return await self.worker.run(read, question.task, reads=len(prepared.unread))

    async def generate(self, request: GenerateRequest, task: Task) -> AsyncIterator[Token | Report]:
        """Yield tokens, then the report."""
        question = self.question(request, request.max_new_tokens, task)
        async for event in self.steps(await self.ready(question), request, question):
            yield Token(event.token_id, event.text, event.logprob) if isinstance(event, Step) else event

    def question(self, request: GenerateRequest | ScoreRequest, reserve_tokens: int, task: Task) -> Question:
        """A request set on its way; its stopwatch starts now."""
        watch = Stopwatch(self.side)
        return Question(request.info, request.context, request.prompt, request.exchange, reserve_tokens, task, watch)

    async def ask(self, request: ScoreRequest, task: Task) -> Asked:
        """Tokenize a scoring request.

        Raises:
            InvalidRequestError: A continuation that cannot be scored.
        """
        continuations = await self.worker.run(
            lambda: [self.engine.prompts.continuation(c) for c in request.continuations], task
        )
        tokens = sum(map(len, continuations))
        question = self.question(request, tokens, task)
        scores_bytes = tokens * _COPIES * self.engine.card.vocabulary * torch.float32.itemsize
        return Asked(request, replace(question, reserve_bytes=scores_bytes), continuations)

    async def steps(self, ready: Ready, request: GenerateRequest, question: Question) -> AsyncIterator[Step | Report]:
        """Yield decoding steps with their logits, then the report."""
        task, watch = question.task, question.watch
        stop = frozenset[int]() if request.ignore_eos else self.engine.eos_token_ids
        texts, count = StopTexts(request.stop), 0
        async with aclosing(self.decoder.steps(ready, request.max_new_tokens, stop, task, watch)) as steps:
            async for step in steps:
                if count == 0:
                    watch.mark("first_token")
                count += 1
                yield step
                if texts.completed_by(step.text):
                    break
        watch.add("wait", task.waited_s)
        watch.mark("total")
        yield finished(ready.report, watch, count)

    async def score(self, request: ScoreRequest, task: Task) -> AsyncIterator[Token | ContinuationScore | Report]:
        """Yield the first greedy token, a score per continuation, then the report."""
        asked = await self.ask(request, task)
        prepared, watch = await self.prepare(asked.question), asked.question.watch
        ready = prepared if isinstance(prepared, Ready) else await self._alone(prepared, asked.question)
        first = await self.worker.run(lambda: first_token(self.engine, ready.logits), task)
        watch.mark("first_token")
        yield first

        def scored() -> list[ContinuationScore]:
            with watch.stage("score"):
                found = continuation_distributions(
                    self.engine, ready.cache, ready.logits, ready.position, asked.continuations
                )
                return self.scorer.score(asked.request, asked.continuations, found)

        for score in await self.worker.run(scored, task):
            yield score
        watch.add("wait", task.waited_s)
        watch.mark("total")
        yield finished(ready.report, watch, asked.tokens)


def finished(report: Report, watch: Stopwatch, generated: int) -> Report:
    """The report of an answer of so many tokens, with this side's stages."""
    return replace(report, tokens=replace(report.tokens, generated=generated)).with_stages(*watch.stages())

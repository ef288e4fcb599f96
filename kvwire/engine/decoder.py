"""Continuous batching: every forward pass reads the next token of all answers that are being written.

Between two passes other work has its turn, answers that were prepared join, and those that ended or are not read leave.
Source: G. Yu et al., "Orca", OSDI 2022 (iteration-level scheduling). Rows are padded to the longest of their group, so
answers are grouped by the length they may come to: at most three quarters of the memory of long ones is padding,
whoever comes together.
"""

import asyncio
from collections.abc import AsyncGenerator

import torch

from kvwire.engine.decode import Greedy, Step, best
from kvwire.engine.engine import Engine
from kvwire.engine.question import Begin
from kvwire.engine.rows import longest_beside
from kvwire.engine.worker import Task, Worker
from kvwire.engine.written import Answer, Group, Outcome
from kvwire.progress import Stopwatch


class Decoder:
    """Writes answers on one engine, together."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._groups: dict[int, Group] = {}  # the compute thread's
        self._joining: list[Answer] = []  # the event loop's
        self._running: asyncio.Task[None] | None = None

    async def steps(
        self, begin: Begin, max_new_tokens: int, stop: frozenset[int], task: Task, watch: Stopwatch
    ) -> AsyncGenerator[Step, None]:
        """Yield steps until a stop token (not yielded) or ``max_new_tokens``.

        Raises:
            CancelledError, DeadlineError: The request ended.
        """
        writing = Greedy(self._engine, max_new_tokens, stop)
        first = await self._worker.run(lambda: writing.take(*best(begin.logits[None])[0], begin.logits), task)
        if first is not None:
            yield first
        if writing.ended:
            return
        answer = Answer(writing, begin.cache, begin.position, task, watch)
        self._join(answer)
        try:
            while (outcome := await answer.steps.get()) is not None:
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
                if answer.cache is not None and answer.steps.empty():
                    self._join(answer)  # it had been set aside
        finally:
            answer.left = True

    def _join(self, answer: Answer) -> None:
        self._joining.append(answer)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Pass after pass while anybody waits."""
        while self._joining or self._groups:
            joining, self._joining = self._joining, []
            try:
                outcomes = await self._worker.run(lambda joining=joining: self._pass(joining))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
                waiting = {*joining, *(answer for group in self._groups.values() for answer in group.answers)}
                outcomes = [(answer, error) for answer in waiting]
                self._groups = {}
            for answer, outcome in outcomes:
                answer.steps.put_nowait(outcome)

    @torch.inference_mode()
    def _pass(self, joining: list[Answer]) -> list[tuple[Answer, Outcome]]:
        """A step of every group; on the compute thread."""
        outcomes = [failed for group in self._groups.values() for failed in group.set_aside()]
        for answer in joining:
            if answer.cache is not None and not answer.left:
                group = self._groups.setdefault(longest_beside(answer.most_slots), Group(self._engine))
                group.join(answer, answer.cache)
        self._groups = {longest: group for longest, group in self._groups.items() if group.answers}
        for group in self._groups.values():
            outcomes += group.step()
        return outcomes

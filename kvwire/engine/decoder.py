"""Continuous batching: every forward pass reads the next token of all answers that are being written.

Between two passes other work has its turn, answers that were prepared join, and those that ended or are not read leave.
Source: G. Yu et al., "Orca", OSDI 2022 (iteration-level scheduling). Rows are padded to the longest of their group, so
answers are grouped by the length they may come to: at most three quarters of the memory of long ones is padding,
whoever comes together.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial

import torch

from kvwire.engine.cache import PositionedCache
from kvwire.engine.decode import Greedy, Step, best
from kvwire.engine.engine import Engine
from kvwire.engine.question import Begin
from kvwire.engine.rows import longest_beside
from kvwire.engine.worker import Task, Worker
from kvwire.engine.written import Answer, Group, Outcome
from kvwire.progress import Stopwatch

#: An answer, and the cache with which it joins those that are written.
_Joining = tuple[Answer, PositionedCache]


class Decoder:
    """Writes answers on one engine, together."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._groups: dict[int, Group] = {}  # the compute thread's
        self._joining: list[_Joining] = []  # the event loop's
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
        answer = Answer(writing, begin.position, task, watch)
        self._join(answer, begin.cache)
        try:
            while (outcome := await answer.steps.get()) is not None:
                match outcome:
                    case Step():
                        yield outcome
                    case PositionedCache():  # it had been set aside, and all before that is read
                        self._join(answer, outcome)
                    case _:
                        raise outcome
        finally:
            answer.left = True

    def _join(self, answer: Answer, cache: PositionedCache) -> None:
        answer.waits_from_s = time.perf_counter()
        self._joining.append((answer, cache))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Pass after pass while anybody waits."""
        while self._joining or self._groups:
            joining, self._joining = self._joining, []
            outcomes: list[tuple[Answer, Outcome]] = []
            try:
                await self._worker.run(partial(self._pass, joining, outcomes))
            except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
                waiting = {answer for answer, _ in joining}.union(*(group.answers for group in self._groups.values()))
                outcomes += [(answer, error) for answer in waiting]
                self._groups = {}
            for answer, outcome in outcomes:
                answer.steps.put_nowait(outcome)

    @torch.inference_mode()
    def _pass(self, joining: list[_Joining], outcomes: list[tuple[Answer, Outcome]]) -> None:
        """A step of every group; on the compute thread.

        ``outcomes`` hear of what came so far even if the pass fails then.
        """
        for group in self._groups.values():
            outcomes += group.set_aside()
        for answer, cache in joining:
            if not answer.left:
                group = self._groups.setdefault(longest_beside(answer.most_slots), Group(self._engine))
                group.join(answer, cache)
        self._groups = {longest: group for longest, group in self._groups.items() if group.answers}
        for group in self._groups.values():
            outcomes += group.step()

"""Reads a question's last tokens while the cache before them still comes: each layer as soon as it is there.

What is left to do once the last layer came is that layer of the pass, not the whole pass.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from torch import Tensor

from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine
from kvwire.engine.question import Question
from kvwire.engine.worker import Worker, seen_out
from kvwire.errors import CancelledError


class StreamedRead:
    """One pass over a cache whose layers are still being placed; ``there(layer)``: whether one has been.

    At most one at a time on a worker: it does others' work while it waits, and goes on when that is done. Use as a
    context manager, which stops it at the end if it still waits.
    """

    def __init__(
        self, engine: Engine, worker: Worker, question: Question, cache: PositionedCache, there: Callable[[int], bool]
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._question = question
        self._cache = cache
        self._there = there
        self._stopped = False
        self._waited_s = 0.0
        self._running: asyncio.Task[Tensor] | None = None

    def begin(self, tokens: Sequence[int], position: int) -> None:
        """Start to read tokens from ``position`` on."""
        work = self._worker.run(lambda: self._read(tokens, position), self._question.task)
        self._running = asyncio.create_task(work)

    async def logits(self) -> Tensor:
        """What follows the last token, ``(vocabulary,)`` float32.

        Raises:
            InvalidRequestError: There were no tokens.
            CancelledError, DeadlineError: The request ended, or the pass was never begun.
        """
        if self._running is None:
            raise CancelledError("the pass was never begun")
        return await self._running

    def _read(self, tokens: Sequence[int], position: int) -> Tensor:
        """Runs on the compute thread."""
        begun_s = time.perf_counter()
        self._cache.before = self._wait
        try:
            logits = self._engine.next_logits(tokens, self._cache, position)
            self._engine.synchronize()
        finally:
            self._cache.before = None
        self._question.watch.stretch("prompt", begun_s, time.perf_counter(), inner_s=self._waited_s)
        return logits

    def _wait(self, layer: int) -> None:
        begun_s = time.perf_counter()
        self._worker.work_until(lambda: self._stopped or self._there(layer), self._question.task)
        self._waited_s += time.perf_counter() - begun_s
        if self._stopped:
            raise CancelledError(f"layer {layer} of the cache will not come; the pass over it was stopped")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        if self._running is not None:
            await seen_out(self._running)

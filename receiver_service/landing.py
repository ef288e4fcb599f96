"""Places the layers of a cache while more of them come: all that wait, in one piece of work.

A piece for each would have a cache wait for as many turns as it has layers where answers are written in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kvwire.engine.worker import Task, Worker, seen_out
from receiver_service.arrival import Arrival

#: Decodes and places one layer; on the compute thread.
Work = Callable[[], None]


class Landing:
    """Of one stream; ``landed`` is called after each piece. Use as a context manager, which ends once all is placed.

    What placing finds wrong is raised by the next layer that comes, or at the end of a stream that nothing else ended.
    """

    def __init__(self, worker: Worker, task: Task, arrival: Arrival, landed: Callable[[], None]) -> None:
        self._worker = worker
        self._task = task
        self._arrival = arrival
        self._landed = landed
        self._waiting = deque[Work]()
        self._running: asyncio.Task[None] | None = None

    def add(self, work: Work) -> None:
        """Have a layer placed.

        Raises:
            KvwireError: An earlier one could not be.
        """
        self._waiting.append(work)
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            with self._arrival.placing():
                await self._worker.run(self._place, self._task)
            self._landed()

    def _place(self) -> None:
        """On the compute thread: what came while it had other work, and what comes meanwhile."""
        while self._waiting:
            self._task.check()
            self._waiting.popleft()()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, ended: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is None:
            return
        if isinstance(ended, asyncio.CancelledError):
            self._running.cancel()
        await seen_out(self._running)
        if ended is None:
            self._running.result()

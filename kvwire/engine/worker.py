"""The one thread torch runs on: its thread pool belongs to the thread that first used it."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from kvwire.engine.backlog import Backlog
from kvwire.engine.room import Room
from kvwire.errors import CancelledError, DeadlineError, FullError, KvwireError

T = TypeVar("T")

# How soon a computation that waits notices that its caller hung up, in seconds.
_CHECK_EVERY_S = 0.05


class _End:
    """Marks the end of a stream of items."""


@dataclass(eq=False)
class Task:
    """The life of one request: its deadline, whether its caller hung up, and how long it waited for others' work."""

    deadline_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    waited_s: float = 0.0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop the request at its next check; safe from any thread."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise if the request should stop. Cheap; called at every layer.

        Raises:
            CancelledError: The caller hung up.
            DeadlineError: The caller's time is up.
        """
        if self._cancelled.is_set():
            raise CancelledError("the caller hung up; compute was stopped")
        if self.deadline_s is not None and self.clock() > self.deadline_s:
            raise DeadlineError("the request's deadline passed while it was computed; allow more time or ask for less")

    def remaining_s(self) -> float | None:
        """Seconds left, never negative; None without a deadline."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - self.clock())


def check_all(tasks: Sequence[Task]) -> None:
    """Raise if work for several requests should stop: when none of them goes on.

    Raises:
        CancelledError, DeadlineError: All of them ended; how the last did.
    """
    for task in tasks:
        try:
            task.check()
        except KvwireError as error:
            ended = error
        else:
            return
    raise ended


class Worker:
    """Runs blocking work one piece at a time, off the event loop, for at most ``max_in_flight`` requests at once.

    Their caches have ``cache_bytes`` together.
    """

    def __init__(self, max_in_flight: int, cache_bytes: int = sys.maxsize) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._max_in_flight = max_in_flight
        self.in_flight = 0
        self.room = Room(cache_bytes)
        self.backlog = Backlog()

    async def run(self, work: Callable[[], T], task: Task | None = None, reads: int = 0) -> T:
        """Run ``work`` on the compute thread and return its result; skipped if ``task`` ended while it waited.

        ``reads``: tokens that it reads, which those who come later have to wait for.
        """
        asked_s = time.monotonic()
        with self.backlog.waiting(reads) as waiting:

            def checked() -> T:
                if task is not None:
                    task.check()
                    task.waited_s += time.monotonic() - asked_s
                with self.backlog.reading([waiting]):
                    return work()

            future: Future[T] = Future()
            self._work.put(lambda: _fulfil(future, checked))
            self._executor.submit(self._next)
            return await asyncio.wrap_future(future)

    def _next(self) -> None:
        try:
            work = self._work.get_nowait()
        except Empty:
            return  # it was done in the middle of other work
        work()

    def work_until(self, come: Callable[[], bool], task: Task) -> None:
        """Do what others wait for until ``come()`` is true; called by work that waits for other work's result.

        What is begun meanwhile is done before it goes on, so that two must not wait in this way for each other.

        Raises:
            CancelledError, DeadlineError: The task ended.
        """
        while not come():
            task.check()
            try:
                work = self._work.get(timeout=_CHECK_EVERY_S)
            except Empty:
                continue
            work()

    async def stream(
        self, begin: Callable[[Callable[[T], None]], Callable[[], None]], task: Task, depth: int
    ) -> AsyncGenerator[T, None]:
        """Run the work that ``begin(emit)`` gives on the compute thread and yield what is emitted, while it goes on.

        At most ``depth`` items wait unread; then ``emit`` blocks, so that a slow reader slows the computation down.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | _End] = asyncio.Queue()
        places = threading.Semaphore(depth)

        def emit(item: T) -> None:
            while not places.acquire(timeout=_CHECK_EVERY_S):
                task.check()
            loop.call_soon_threadsafe(items.put_nowait, item)

        running = asyncio.create_task(self.run(begin(emit), task))
        running.add_done_callback(lambda _: items.put_nowait(_End()))
        try:
            while not isinstance(item := await items.get(), _End):
                places.release()
                yield item
            await running
        finally:
            if not running.done():
                task.cancel()
            await seen_out(running)

    async def make_room(self, nbytes: int, task: Task) -> None:
        """Take so many bytes for a request's caches until it leaves its place; waits while others hold them.

        Raises:
            FullError, DeadlineError: As :meth:`Room.take` does.
        """
        asked_s = time.monotonic()
        await self.room.take(nbytes, task, task.remaining_s())
        task.waited_s += time.monotonic() - asked_s

    def admit(self, task: Task) -> "Admission":
        """Take a place for one request; use as a context manager. At its end the request's memory is free again.

        Raises:
            FullError: All places are taken, or its deadline would pass before anything of it is read.
        """
        if self.in_flight >= self._max_in_flight:
            raise FullError(
                f"{self.in_flight} requests are in flight, the limit is {self._max_in_flight}; retry with backoff"
            )
        self.backlog.check(task.remaining_s())
        return Admission(self, task)

    def close(self) -> None:
        """Finish what runs and stop the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _fulfil(future: "Future[T]", work: Callable[[], T]) -> None:
    """Do work whose result is awaited, unless nobody does any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is for whoever waits
        future.set_exception(error)


async def seen_out(work: "asyncio.Task[Any]") -> None:
    """Wait until work that was told to stop has done so; how it ended is of no interest any more.

    Who is cancelled while it waits, as all are when a service ends, goes on waiting: what the work uses is not to be
    given away before.
    """
    work.add_done_callback(_looked_at)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _looked_at(work: "asyncio.Task[Any]") -> None:
    """Have asyncio not complain that nobody asked how work ended."""
    if not work.cancelled():
        work.exception()


class Admission:
    """One place among a worker's requests in flight."""

    def __init__(self, worker: Worker, task: Task) -> None:
        self._worker = worker
        self._task = task

    def __enter__(self) -> None:
        self._worker.in_flight += 1

    def __exit__(self, *_: object) -> None:
        self._worker.in_flight -= 1
        self._worker.room.release(self._task)

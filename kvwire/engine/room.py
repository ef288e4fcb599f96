"""Memory for the caches of requests in flight: a ceiling, and a queue before it. Belongs to the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from statistics import median

from kvwire.errors import DeadlineError, FullError

#: By so many of the latest owners it is known for how long memory is held.
_HOLDS = 32


@dataclass(eq=False)
class _Waiting:
    owner: Hashable
    nbytes: int
    let_in: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Room:
    """At most ``max_bytes`` are taken at any time; who has waited longest is served first, however much it needs.

    A small request does not pass a large one that waits, or under a steady load the large one would wait for ever.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.taken_bytes = 0
        self._clock = clock
        self._since_s: dict[Hashable, float] = {}
        self._holds_s: deque[float] = deque(maxlen=_HOLDS)
        self._held: dict[Hashable, int] = {}
        self._queue: deque[_Waiting] = deque()

    def held(self, owner: Hashable) -> int:
        """Bytes an owner has taken and not given back."""
        return self._held.get(owner, 0)

    async def take(self, nbytes: int, owner: Hashable, timeout_s: float | None = None) -> None:
        """Take bytes, beside those the owner has; wait for them if others have to give some back first.

        Who holds some already does not wait for more: two that wait for each other's would wait for ever.

        Raises:
            FullError: More than there is, or not in time by what was seen of late, or an owner that would have to wait
                while it holds some.
            DeadlineError: The time was up first.
        """
        held = self.held(owner)
        if held + nbytes > self.max_bytes:
            raise FullError(
                f"the request's caches take up to {held + nbytes} bytes, this service has {self.max_bytes} for all; "
                "shorten the input or the answer, or raise cache_memory_bytes"
            )
        if held and not self._fits(nbytes):
            raise FullError(
                f"the request needs {nbytes} bytes beside the {held} it holds, {self.max_bytes - self.taken_bytes} are "
                "free; retry with backoff"
            )
        if held or (not self._queue and self._fits(nbytes)):
            self._give(owner, nbytes)
            return
        wait_s = self.wait_s(nbytes)
        if timeout_s is not None and wait_s > timeout_s:
            raise FullError(
                f"{nbytes} bytes of cache memory come free in some {wait_s:.1f} s if all hold theirs as long as of "
                f"late, and the request's deadline is in {timeout_s:.1f} s; retry with backoff, or allow more time"
            )
        await self._wait(_Waiting(owner, nbytes), timeout_s)

    def wait_s(self, nbytes: int) -> float:
        """How long until so many bytes are free behind those who wait already; 0 as long as nothing is known.

        That is if everybody holds theirs for as long as half did of late; who has held them longer may end any moment.
        """
        if not self._holds_s:
            return 0.0
        hold_s, now_s = median(self._holds_s), self._clock()
        ends = [(max(0.0, self._since_s[owner] + hold_s - now_s), held) for owner, held in self._held.items()]
        heapify(ends)
        free, at_s = self.max_bytes - self.taken_bytes, 0.0
        for wanted in (*(each.nbytes for each in self._queue), nbytes):
            while free < wanted:
                at_s, freed = heappop(ends)
                free += freed
            free -= wanted
            heappush(ends, (at_s + hold_s, wanted))
        return at_s

    def release(self, owner: Hashable, but_bytes: int = 0) -> None:
        """Take back all that an owner holds, or all but so many bytes, and let in who waited for it."""
        held = self._held.pop(owner, 0)
        kept = min(held, but_bytes)
        if kept:
            self._held[owner] = kept
        elif (since_s := self._since_s.pop(owner, None)) is not None:
            self._holds_s.append(self._clock() - since_s)
        self.taken_bytes -= held - kept
        self._let_in()

    async def _wait(self, waiting: _Waiting, timeout_s: float | None) -> None:
        self._queue.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.let_in
        except BaseException as error:  # however the wait ends, nobody else may wait for what it had
            if waiting in self._queue:
                self._queue.remove(waiting)
                self._let_in()  # it may have stood before others that fit
            else:  # it was let in and did not come to know it
                self.release(waiting.owner)
            if isinstance(error, TimeoutError):
                raise DeadlineError(
                    f"the request's deadline passed while it waited for {waiting.nbytes} bytes of cache memory; "
                    "allow more time or ask for less"
                ) from None
            raise

    def _let_in(self) -> None:
        while self._queue and self._fits(self._queue[0].nbytes):
            first = self._queue.popleft()
            if not first.let_in.cancelled():  # else its wait has ended, and its task is about to hear of it
                self._give(first.owner, first.nbytes)
                first.let_in.set_result(None)

    def _fits(self, nbytes: int) -> bool:
        return self.taken_bytes + nbytes <= self.max_bytes

    def _give(self, owner: Hashable, nbytes: int) -> None:
        self._since_s.setdefault(owner, self._clock())
        self._held[owner] = self.held(owner) + nbytes
        self.taken_bytes += nbytes

"""Memory for the caches of requests in flight: a ceiling, and a queue before it. Belongs to the event loop."""

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from kvwire.errors import DeadlineError, OverloadedError


@dataclass(eq=False)
class _Waiting:
    owner: Hashable
    nbytes: int
    let_in: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Room:
    """At most ``max_bytes`` are taken at any time; who has waited longest is served first, however much it needs.

    A small request does not pass a large one that waits, or under a steady load the large one would wait for ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.taken_bytes = 0
        self._held: dict[Hashable, int] = {}
        self._queue: deque[_Waiting] = deque()

    def held(self, owner: Hashable) -> int:
        """Bytes an owner has taken and not given back."""
        return self._held.get(owner, 0)

    async def take(self, nbytes: int, owner: Hashable, timeout_s: float | None = None) -> None:
        """Take bytes, beside those the owner has; wait for them if others have to give some back first.

        Who holds some already does not wait for more: two that wait for each other's would wait for ever.

        Raises:
            OverloadedError: More than there is, or an owner that would have to wait while it holds some.
            DeadlineError: The time was up first.
        """
        held = self.held(owner)
        if held + nbytes > self.max_bytes:
            raise OverloadedError(
                f"the request's caches take up to {held + nbytes} bytes, this service has {self.max_bytes} for all; "
                "shorten the input or the answer, or raise cache_memory_bytes"
            )
        if held and not self._fits(nbytes):
            raise OverloadedError(
                f"the request needs {nbytes} bytes beside the {held} it holds, {self.max_bytes - self.taken_bytes} are "
                "free; retry with backoff"
            )
        if held or (not self._queue and self._fits(nbytes)):
            self._give(owner, nbytes)
        else:
            await self._wait(_Waiting(owner, nbytes), timeout_s)

    def release(self, owner: Hashable, but_bytes: int = 0) -> None:
        """Take back all that an owner holds, or all but so many bytes, and let in who waited for it."""
        held = self._held.pop(owner, 0)
        kept = min(held, but_bytes)
        if kept:
            self._held[owner] = kept
        self.taken_bytes -= held - kept
        self._let_in()

    async def _wait(self, waiting: _Waiting, timeout_s: float | None) -> None:
        self._queue.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.let_in
        except BaseException as error:
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
            self._give(first.owner, first.nbytes)
            first.let_in.set_result(None)

    def _fits(self, nbytes: int) -> bool:
        return self.taken_bytes + nbytes <= self.max_bytes

    def _give(self, owner: Hashable, nbytes: int) -> None:
        self._held[owner] = self.held(owner) + nbytes
        self.taken_bytes += nbytes

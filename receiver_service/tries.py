"""Calls a sharer for one request: again where that may help, somewhere else where it can, and in time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from kvwire.balancing.breaker import State
from kvwire.engine.question import Question
from kvwire.errors import (
    DataLossError,
    DeadlineError,
    KvwireError,
    LocalError,
    OverloadedError,
    SpoiledError,
    TooLargeError,
    UnavailableError,
)
from kvwire.model_card import Description
from kvwire.telemetry import Metrics
from receiver_service.replicas import Replicas, StrangerError
from receiver_service.sharers import SharerLink

T = TypeVar("T")

#: What counts as the sharer failing. A request that is wrong, or a pair that does not match, fails under any policy; so
#: does one whose own time is up, which has to be looked at besides.
FAULTS = (UnavailableError, DataLossError, OverloadedError, LocalError, DeadlineError)

#: What a sharer is asked is idempotent; these may go well another time.
_MAY_PASS = (UnavailableError, DataLossError, OverloadedError)
_STAYS = (SpoiledError, TooLargeError)

#: gRPC takes five at most; a sharer that is restarted or full for longer is the policy's business.
_MOST_TRIES = 4

# Full jitter: any time up to a bound that doubles. Source: M. Brooker, Exponential Backoff and Jitter, AWS, 2015. The
# first bound is that of a channel's own reconnecting.
_FIRST_WAIT_S = 0.2

#: A call of one address, which was found to run what is described.
Call = Callable[[SharerLink, Description], Awaitable[T]]


@dataclass
class Tally:
    """Of one request, all its sharers together: calls that were made, and addresses whose work was used.

    ``broken``: addresses whose last call ended with the connection.
    """

    tries: int = 0
    addresses: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def used(self, link: SharerLink) -> None:
        """Note that something of an address is in the answer."""
        if link.address not in self.addresses:
            self.addresses.append(link.address)


class Tries:
    """One request's calls of one sharer, until ``until_s`` by its task's clock."""

    def __init__(
        self,
        replicas: Replicas,
        question: Question,
        until_s: float | None,
        tally: Tally,
        metrics: Metrics,
        random: Random,
    ) -> None:
        self.replicas = replicas
        self.tally = tally
        self._question = question
        self._until_s = until_s
        self._metrics = metrics
        self._random = random

    def left_s(self) -> float | None:
        """Seconds that are left for the sharer, None without a limit.

        Raises:
            DeadlineError: There are none.
        """
        if self._until_s is None:
            return None
        left_s = self._until_s - self._question.task.clock()
        if left_s <= 0:
            raise DeadlineError(f"no time is left to ask sharer {self.replicas.name}; allow more, or ask for less")
        return left_s

    async def described(self) -> Description:
        """What the sharer runs; a call only where nobody knows.

        Raises:
            KvwireError: As :meth:`run` does.
        """

        async def known(link: SharerLink, description: Description) -> Description:
            del link
            return description

        found = self.replicas.known
        return found if found is not None else await self._until_answered(known)

    async def run(self, call: Call[T]) -> T:
        """Call until it is answered.

        Raises:
            UnavailableError: All addresses are left alone.
            KvwireError: What the last call met, if no other may be made, or not in time.
        """

        async def told(link: SharerLink, description: Description) -> T:
            answer = await call(link, description)
            link.breaker.answered()
            self.replicas.budget.answered()
            self._count(link, "OK")
            return answer

        return await self._until_answered(told)

    async def _until_answered(self, call: Call[T]) -> T:
        tried: list[SharerLink] = []
        while True:
            await self._looked_up()
            link = self.replicas.next(self._question, tried)
            if link is None:
                raise UnavailableError(self.replicas.alone())
            left_s = self.left_s()
            tried.append(link)
            # Under a policy the text is asked for where a cache has just broken off, maybe on what is left of that
            # connection: nobody there has heard of it.
            unheard = len(tried) == 1 and link.address in self.tally.broken
            probes = link.breaker.state is State.OPEN
            try:
                with link.breaker.judging():
                    return await call(link, await self.replicas.describe(link, left_s))
            except KvwireError as fault:
                self._count(link, fault.status)
                if isinstance(fault, StrangerError):  # it answers, and is of no use
                    link.breaker.open(f"{fault.status}: {fault}")
                wait_s = self._again_in_s(fault, tried, free=probes or unheard)
                if wait_s is None and len(tried) == 1:
                    raise
                if wait_s is None:
                    raise type(fault)(f"{fault} (after {len(tried)} tries)") from fault
            await asyncio.sleep(wait_s)

    async def _looked_up(self) -> None:
        """See that addresses are known; who looks them up may take longer than there is time.

        Raises:
            UnavailableError: None are known in time.
        """
        try:
            async with asyncio.timeout(self.left_s()):
                await self.replicas.refresh()
        except TimeoutError:
            raise UnavailableError(
                f"sharer {self.replicas.name}: its addresses were still being looked up when its time was up; check "
                "who resolves its name, or allow more time"
            ) from None

    def _again_in_s(self, fault: KvwireError, tried: Sequence[SharerLink], *, free: bool) -> float | None:
        """How long to wait before another call; None if there is to be none.

        A probe and what nobody has heard multiply nothing and are ``free``; so is another address in the place of one
        that cannot be reached, of which there are only so many, and which is soon left alone.
        """
        following = self.replicas.next(self._question, tried)
        elsewhere = following is not None and following not in tried
        if isinstance(fault, StrangerError) and elsewhere:
            return 0.0
        if not isinstance(fault, _MAY_PASS) or isinstance(fault, _STAYS):
            return None
        free = free or (elsewhere and isinstance(fault, UnavailableError))
        if not free:
            self.replicas.budget.failed()
        paid = free or self.replicas.budget.allows
        if following is None or len(tried) >= _MOST_TRIES or not paid:
            return None
        wait_s = 0.0 if elsewhere else self._random.uniform(0, _FIRST_WAIT_S * 2 ** (tried.count(following) - 1))
        in_time = self._until_s is None or self._question.task.clock() + wait_s < self._until_s
        return wait_s if in_time else None

    def _count(self, link: SharerLink, status: str) -> None:
        self.tally.tries += 1
        if status == UnavailableError.status:
            self.tally.broken.add(link.address)
        else:
            self.tally.broken.discard(link.address)
        self._metrics.sharer_calls.labels(link.name, link.address, status).inc()

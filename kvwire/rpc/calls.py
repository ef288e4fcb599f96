"""A client's calls of a service at one address or several: of another one while nobody can be reached at the first.

What is asked changes nothing at a service, so until something of an answer was handed on it may be asked elsewhere,
each address once. A service that refuses, or fails at its work, was there and said so: it is not asked again.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, Self, TypeVar

from kvwire.balancing.choice import CHOICES, Balance, affinity_key
from kvwire.balancing.places import parse
from kvwire.balancing.pool import Pool
from kvwire.errors import UnavailableError
from kvwire.requests import GenerateRequest, ScoreRequest
from kvwire.rpc.connection import Connection
from kvwire.security import ClientSecurity

T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)

#: Who finds nobody at so many addresses finds nobody.
_MOST_TRIES = 4


class Stream(Protocol[E_co]):
    """What a call answers, bit by bit."""

    def __aiter__(self) -> AsyncIterator[E_co]:
        """As it comes."""
        ...

    def cancel(self) -> bool:
        """Have it end."""
        ...


class Attempts:
    """One request's: at addresses by its key, or ``only`` at one, within so many seconds."""

    def __init__(self, key: bytes, within_s: float | None = None, only: Connection | None = None) -> None:
        self.key = key
        self.only = only
        self.tried: list[Connection] = []
        self._within_s = within_s
        self._begun_s = time.monotonic()

    @classmethod
    def of(cls, requests: Sequence[GenerateRequest | ScoreRequest], only: Connection | None = None) -> Self:
        """Those of requests that are asked as one: by the first one's key, within the shortest time."""
        limits = [one.info.deadline_ms / 1000 for one in requests if one.info.deadline_ms]
        keys = [affinity_key(one.info.caller, one.context, one.prompt) for one in requests[:1]]
        return cls(b"".join(keys), min(limits, default=None), only)

    @property
    def left_s(self) -> float | None:
        """What is left of its time, None without a limit."""
        return None if self._within_s is None else self._within_s - (time.monotonic() - self._begun_s)


class Calls:
    """Finds an address for each call."""

    def __init__(self, places: str, security: ClientSecurity, balance: Balance) -> None:
        """``places``: as :func:`kvwire.balancing.places.parse` reads them.

        Raises:
            StartError: An address without a port, or twice; a file that cannot be read.
        """
        self._pool = Pool(parse(places), lambda place: Connection(place, security), CHOICES[balance]())

    async def connections(self) -> Sequence[Connection]:
        """To all addresses there are now.

        Raises:
            UnavailableError: There are none.
        """
        await self._pool.refresh()
        return self._pool.members

    async def answered(self, attempts: Attempts, ask: Callable[[Connection, float | None], Awaitable[T]]) -> T:
        """What ``ask`` returns of a connection, in the time that is left.

        Raises:
            KvwireError: What the last call met.
        """
        while True:
            connection = await self._next(attempts)
            try:
                with connection.calling():
                    return await ask(connection, attempts.left_s)
            except UnavailableError as fault:
                self._go_on(attempts, fault)

    async def streamed(
        self, attempts: Attempts, begin: Callable[[Connection, float | None], Stream[T]]
    ) -> AsyncGenerator[T, None]:
        """Yield what comes of a stream; it is cancelled at the end.

        Raises:
            KvwireError: What the last call met.
        """
        while True:
            connection, begun = await self._next(attempts), False
            try:
                with connection.calling():
                    stream = begin(connection, attempts.left_s)
                    try:
                        async for event in stream:
                            if not begun:
                                begun = True
                                connection.breaker.answered()  # not only at the end: an answer may take minutes
                            yield event
                    finally:
                        stream.cancel()
            except UnavailableError as fault:
                if begun:
                    raise
                self._go_on(attempts, fault)
            else:
                return

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _next(self, attempts: Attempts) -> Connection:
        await self._pool.refresh()
        found = attempts.only or self._pool.untried(attempts.key, attempts.tried)
        if found is None:
            raise UnavailableError("all addresses that were tried are gone, and there is no other; retry the call")
        attempts.tried.append(found)
        return found

    def _go_on(self, attempts: Attempts, fault: UnavailableError) -> None:
        """Raise the fault unless somebody else may be asked, in time."""
        tried = len(attempts.tried)
        others = attempts.only is None and tried < min(_MOST_TRIES, len(self._pool.members))
        if others and (attempts.left_s is None or attempts.left_s > 0):
            return
        raise UnavailableError(f"{fault} (after {tried} addresses)") if tried > 1 else fault

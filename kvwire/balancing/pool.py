"""The addresses of one service, as they come and go."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

from kvwire.balancing.breaker import Breaker
from kvwire.balancing.choice import Choice, Member
from kvwire.balancing.places import Name, Place, Resolve, look_up, system_resolve
from kvwire.errors import UnavailableError

_log = logging.getLogger(__name__)

#: Names older than this are looked up again: what a cluster's DNS caches for itself, and what a new address waits for.
_FRESH_S = 5.0


class Pooled(Member, Protocol):
    """An address that can be left alone, and closed."""

    @property
    def breaker(self) -> Breaker:
        """Whether it is called."""
        ...

    async def close(self) -> None:
        """End its connection."""
        ...


P = TypeVar("P", bound=Pooled)


class Pool(Generic[P]):
    """Members by address, made as addresses come; one that is gone from its name ends what it began and is closed.

    Names are looked up when somebody asks, so that who asks nothing costs nothing.
    """

    def __init__(
        self,
        entries: Sequence[Place | Name],
        make: Callable[[Place], P],
        choice: Choice,
        resolve: Resolve = system_resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``entries``: as :func:`~kvwire.balancing.places.parse` gives them."""
        self._entries = entries
        self._make = make
        self._choice = choice
        self._resolve = resolve
        self._clock = clock
        self._named = any(isinstance(entry, Name) for entry in self._entries)
        self._looked_s = -_FRESH_S
        self._looking: asyncio.Task[None] | None = None
        self._made: dict[str, P] = {}
        self._gone = set[str]()
        self.members: tuple[P, ...] = ()
        self._why = ""
        self._become([entry for entry in self._entries if isinstance(entry, Place)])

    async def refresh(self) -> None:
        """See that addresses are not old; they are waited for only if there are none.

        Raises:
            UnavailableError: There are still none.
        """
        if self._named and self._looking is None and (not self.members or self._clock() - self._looked_s >= _FRESH_S):
            self._looking = asyncio.create_task(self._look_up())
        if not self.members and self._looking is not None:
            await asyncio.shield(self._looking)
        if not self.members:
            raise UnavailableError(self._why)

    def next(self, key: bytes, tried: Collection[P]) -> P | None:
        """Whom to ask: one that was not tried before those that were; None if all are left alone."""
        admitted = [each for each in self.members if each.breaker.admits]
        untried = [each for each in admitted if each not in tried]
        return self._choice(untried or admitted, key) if admitted else None

    def untried(self, key: bytes, tried: Collection[P]) -> P | None:
        """Whom to ask of those that were not tried: rather one that is left alone than nobody."""
        untried = [each for each in self.members if each not in tried]
        admitted = [each for each in untried if each.breaker.admits]
        return self._choice(admitted or untried, key) if untried else None

    async def close(self) -> None:
        """Close all members."""
        if self._looking is not None:
            self._looking.cancel()
        for member in self._made.values():
            await member.close()

    async def _look_up(self) -> None:
        try:
            places: list[Place] = []
            for entry in self._entries:
                places += [entry] if isinstance(entry, Place) else await look_up(entry, self._resolve)
        except UnavailableError as error:
            self._why = str(error)
            _log.warning("%s; going on with what is known", error)
        else:
            self._become(places)
            await self._close_what_left()
        finally:
            self._looked_s = self._clock()
            self._looking = None

    def _become(self, places: list[Place]) -> None:
        for place in places:
            if place.address not in self._made:
                self._made[place.address] = self._make(place)
        self.members = tuple(self._made[address] for address in dict.fromkeys(each.address for each in places))

    async def _close_what_left(self) -> None:
        """Who is no longer named, and was not the last time either, so that nobody is about to ask; if it is idle."""
        gone = {at for at, each in self._made.items() if each not in self.members and not each.in_flight}
        for address in gone & self._gone:
            await self._made.pop(address).close()
        self._gone = gone

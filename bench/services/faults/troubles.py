"""Faults that come again and again while a pair is loaded: of its link and of its sharer, in turn."""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.services.faults.relay import Blow, Relay
from kvwire.processes import RunningService, running_service

#: How long a link or a sharer stands still: longer than an answer takes.
_STILL_S = 2.0
#: Of the sharer's faults every so manieth kills it; the others leave its memory to be looked at.
_KILLED_EVERY = 30


@dataclass(frozen=True)
class Trouble:
    """A fault, and when it began and was over, in seconds from the start."""

    kind: str
    begun_s: float
    ended_s: float


class Sharer:
    """A sharer that can be killed and started again at the same addresses."""

    def __init__(self, arguments: Sequence[str], listen: str, metrics: str, log: Path | None = None) -> None:
        self.starts = 0
        self._start = [*arguments, "--listen", listen, "--metrics-listen", metrics]
        self._log = log
        self._running: AbstractContextManager[RunningService] | None = None
        self.service: RunningService | None = None

    def start(self) -> RunningService:
        """Start it and wait until it is ready."""
        self.starts += 1
        self._running = running_service("sharer_service", self._start, self._log)
        self.service = self._running.__enter__()
        return self.service

    def stop(self) -> None:
        """Stop it if it runs."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
        self._running = self.service = None

    def signal(self, what: signal.Signals) -> None:
        """Send a signal."""
        if self.service is not None:
            self.service.process.send_signal(what)


class Troubles:
    """Makes them, one every so many seconds, and remembers them."""

    def __init__(self, relay: Relay, sharer: Sharer, every_s: float) -> None:
        self._relay = relay
        self._sharer = sharer
        self._every_s = every_s
        self.had = list[Trouble]()

    async def run(self, begin_s: float, duration_s: float) -> None:
        """Trouble the pair from ``begin_s``, by ``time.monotonic``, on; the last one is over before the end."""
        of_link: dict[str, Callable[[], Awaitable[float]]] = {
            "link cut": lambda: self._strike(Blow.CUT),
            "link stalled": self._hold,
            "link reset": lambda: self._strike(Blow.RESET),
            "bit flipped": lambda: self._strike(Blow.FLIP),
        }
        links = itertools.cycle(of_link.items())
        for number in itertools.count(1):
            due_s = number * self._every_s
            if due_s + self._every_s > duration_s:
                return
            await asyncio.sleep(max(0.0, begin_s + due_s - time.monotonic()))
            if number % 2:
                kind, act = next(links)
            elif number % (2 * _KILLED_EVERY):
                kind, act = "sharer stopped", self._stop
            else:
                kind, act = "sharer killed", self._kill
            with contextlib.suppress(TimeoutError):
                begun_s = await act()
                self.had.append(Trouble(kind, begun_s - begin_s, time.monotonic() - begin_s))

    async def _strike(self, blow: Blow) -> float:
        """In the middle of a cache; when that was.

        Raises:
            TimeoutError: None came in all the time until the next fault.
        """
        async with asyncio.timeout(self._every_s):
            await self._relay.strike(blow)
        return time.monotonic()

    async def _hold(self) -> float:
        begun_s = time.monotonic()
        self._relay.hold()
        await asyncio.sleep(_STILL_S)
        self._relay.release()
        return begun_s

    async def _stop(self) -> float:
        begun_s = time.monotonic()
        self._sharer.signal(signal.SIGSTOP)
        await asyncio.sleep(_STILL_S)
        self._sharer.signal(signal.SIGCONT)
        return begun_s

    async def _kill(self) -> float:
        begun_s = time.monotonic()
        self._sharer.signal(signal.SIGKILL)
        await asyncio.to_thread(self._sharer.stop)
        await asyncio.to_thread(self._sharer.start)
        return begun_s

"""A circuit breaker: an address that failed several times in a row is left alone for a while, then tried once.

Source: M. Nygard, Release It!, 2007, "Circuit Breaker".
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from random import Random

from kvwire.errors import CancelledError, DataLossError, DeadlineError, KvwireError, StalledError, UnavailableError

_log = logging.getLogger(__name__)

#: What says that an address is out of order. Any other answer says that somebody is there.
_FAILURES = (UnavailableError, DataLossError, StalledError)

#: More than one request's tries (at most four), so that what hurts one request alone does not cut off all others.
_FAILURES_IN_A_ROW = 5

# Long enough to spare callers and a sharer that starts, short enough that one which is back is soon found again.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 3.0


class State(IntEnum):
    """Whether calls are made; the numbers are those of the metric."""

    CLOSED = 0
    PROBING = 1
    OPEN = 2


class Breaker:
    """Judges the calls to one address; on the event loop."""

    def __init__(self, peer: str, clock: Callable[[], float] = time.monotonic, random: Random | None = None) -> None:
        """``peer`` is what the log calls it."""
        self._peer = peer
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # spreads probes, guards nothing
        self._failures = 0
        self._pauses = 0
        self._until_s = 0.0
        self.state = State.CLOSED
        self.why = ""

    @property
    def admits(self) -> bool:
        """Whether a call may be made now: always while closed, one when a pause is over."""
        return self.state is State.CLOSED or (self.state is State.OPEN and self.left_s <= 0)

    @property
    def left_s(self) -> float:
        """How much longer the address is left alone, in seconds."""
        return max(0.0, self._until_s - self._clock())

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Around a call that is admitted: how it fails is judged; that it was answered is to be told."""
        probes = self.state is State.OPEN
        if probes:
            self.state = State.PROBING
        try:
            yield
        except _FAILURES as failure:
            self._failed(failure)
            raise
        except (DeadlineError, CancelledError):  # the caller's doing says nothing about who was asked
            raise
        except KvwireError:
            self.answered()
            raise
        finally:
            if probes and self.state is State.PROBING:  # nothing was learned: the next may probe
                self.state = State.OPEN

    def answered(self) -> None:
        """The address did what it was asked to."""
        if self.state is not State.CLOSED:
            _log.warning("%s answers again", self._peer)
        self._failures = self._pauses = 0
        self._until_s = 0.0
        self.state = State.CLOSED

    def open(self, why: str) -> None:
        """Leave the address alone, each time for longer, until an answer."""
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._pauses)
        self._pauses += 1
        self._until_s = self._clock() + self._random.uniform(longest_s / 2, longest_s)
        self.state = State.OPEN
        self.why = why
        _log.warning("%s is left alone for %.1f s: %s", self._peer, self.left_s, why)

    def _failed(self, failure: KvwireError) -> None:
        if self.state is State.OPEN:  # begun before others opened it
            return
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW or self.state is State.PROBING:
            self.open(f"{failure.status}: {failure}")

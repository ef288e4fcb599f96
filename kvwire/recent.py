"""The latest requests of a service, for a page to show: numbers and names of them, never a text."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kvwire.report import Report
from kvwire.requests import Method, RequestInfo

# As many as a table can hold and, at a request every second, more than a minute of them.
_KEPT = 128


@dataclass(frozen=True)
class Failure:
    """A request that got no answer: the name of its gRPC status, and the message."""

    request_id: str
    method: Method
    code: str
    why: str


@dataclass(frozen=True)
class Ended:
    """How one request ended; ``ended_at_s`` in seconds since 1970, ``number`` counts from 1."""

    number: int
    ended_at_s: float
    outcome: Report | Failure


class Recent:
    """Keeps the latest requests and forgets older ones. For any thread."""

    def __init__(self, kept: int = _KEPT, clock: Callable[[], float] = time.time) -> None:
        self._ended: deque[Ended] = deque(maxlen=kept)
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0

    def answered(self, report: Report) -> None:
        """Keep a finished answer's report."""
        self._keep(report)

    def failed(self, info: RequestInfo, method: Method, code: str, why: str) -> None:
        """Keep how a request failed."""
        self._keep(Failure(info.request_id, method, code, why))

    def after(self, number: int) -> list[Ended]:
        """What ended after that one and is still kept, oldest first."""
        with self._lock:
            return [each for each in self._ended if each.number > number]

    def _keep(self, outcome: Report | Failure) -> None:
        with self._lock:
            self._count += 1
            self._ended.append(Ended(self._count, self._clock(), outcome))

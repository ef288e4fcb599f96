"""A stopwatch per request: named stages on one side's clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvwire.requests import StageTiming


class Stopwatch:
    """Collects stage durations of one request. Stages may run on any thread, one at a time each."""

    def __init__(self, side: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._side = side
        self._clock = clock
        self._started = clock()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the named stage."""
        begun = self._clock()
        try:
            yield
        finally:
            self.add(name, self._clock() - begun)

    @contextmanager
    def rest(self, name: str, *inner: str) -> Iterator[None]:
        """Add the time spent inside, less what the inner stages took meanwhile, to the named stage."""
        begun, before = self._clock(), sum(self._stages.get(stage, 0.0) for stage in inner)
        try:
            yield
        finally:
            spent = sum(self._stages.get(stage, 0.0) for stage in inner) - before
            self.add(name, self._clock() - begun - spent)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to the named stage."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    def mark(self, name: str) -> None:
        """Record the time from the request's arrival until now as the named stage."""
        self._stages[name] = self._clock() - self._started

    def stages(self) -> tuple[StageTiming, ...]:
        """All stages so far, in the order they first ran."""
        return tuple(StageTiming(name, self._side, seconds) for name, seconds in self._stages.items())

"""A stopwatch per request: named stages on one side's clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from kvwire.report import StageTiming


class Stretch(NamedTuple):
    """A time that a stage ran, by ``time.perf_counter``, on a layer or on all; ``spent_s`` leaves out inner stages."""

    stage: str
    layer: int | None
    begun_s: float
    ended_s: float
    spent_s: float


Listener = Callable[[Stretch], None]

#: Hears of every stretch of every stage of the call that is being answered, on whatever thread it ran.
listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Stopwatch:
    """Collects stage durations of one request. Stages may run on any thread, one at a time each."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._started_s = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._listener = listener.get()

    @contextmanager
    def stage(self, name: str, layer: int | None = None) -> Iterator[None]:
        """Add the time spent inside, on a layer or on all, to the named stage."""
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            self.stretch(name, begun_s, time.perf_counter(), layer)

    def stretch(
        self, name: str, begun_s: float, ended_s: float, layer: int | None = None, inner_s: float = 0.0
    ) -> None:
        """Add a time that has passed, by ``time.perf_counter``, but ``inner_s`` of inner stages, to the named stage."""
        spent_s = ended_s - begun_s - inner_s
        self.add(name, spent_s)
        if self._listener is not None:
            self._listener(Stretch(name, layer, begun_s, ended_s, spent_s))

    @contextmanager
    def rest(self, name: str, *inner: str) -> Iterator[None]:
        """Add the time spent inside, less what the inner stages took meanwhile, to the named stage."""
        begun_s, before = time.perf_counter(), sum(self._stages.get(stage, 0.0) for stage in inner)
        try:
            yield
        finally:
            inner_s = sum(self._stages.get(stage, 0.0) for stage in inner) - before
            self.stretch(name, begun_s, time.perf_counter(), inner_s=inner_s)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to the named stage."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    def mark(self, name: str) -> None:
        """Record the time from the request's arrival until now as the named stage."""
        self._stages.pop(name, None)
        self.stretch(name, self._started_s, time.perf_counter())

    def stages(self) -> tuple[StageTiming, ...]:
        """All stages so far, in the order they first ran."""
        return tuple(StageTiming(name, self._side, seconds) for name, seconds in self._stages.items())

"""A machine on which several compute: each takes longer while others compute too.

With a slowdown of 2 they share one core evenly (processor sharing); with 1 they do not disturb each other. Services on
two cores lie between: they share memory's bandwidth, and the threads that move bytes need a core now and then.
"""

from collections.abc import Generator
from typing import Any

from simpy import Environment, Event

#: What a process of the simulation is made of: waits for events, and returns something.
Process = Generator[Event, Any, Any]


class Host:
    """One machine."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._working = 0
        self._changed = env.event()

    def work(self, seconds: float, slowdown: float) -> Process:
        """Work that takes so long alone, ``slowdown`` times as long beside one other, and so on with more of them."""
        if seconds == 0:
            return
        self._step(+1)
        left_s, ended = seconds, False
        while not ended:
            pace, begun_s = 1 + (slowdown - 1) * (self._working - 1), self._env.now
            timeout = self._env.timeout(left_s * pace)
            yield timeout | self._changed
            ended = timeout.processed
            left_s = max(0.0, left_s - (self._env.now - begun_s) / pace)
        self._step(-1)

    def _step(self, by: int) -> None:
        self._working += by
        changed, self._changed = self._changed, self._env.event()
        changed.succeed()

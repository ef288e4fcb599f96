"""The one thread a service computes on: pieces of work one after the other, in the order in which they came."""

from collections import deque
from collections.abc import Callable

from simpy import Environment, Event

from simulation.host import Host, Process

#: What is to be done, and the event that it was.
_Piece = tuple[Callable[[], Process], Event]


class Compute:
    """One thread on a host.

    ``busy_s`` is how long it has computed, by the clock; ``work_s`` how long it would have alone: beside others it
    mostly waits for its core, so that is what the processor was busy.
    """

    def __init__(self, env: Environment, host: Host, slowdown: float) -> None:
        self._env = env
        self._host = host
        self._slowdown = slowdown
        self._pieces: deque[_Piece] = deque()
        self._come = env.event()
        self.busy_s = self.work_s = 0.0
        env.process(self._run())

    def run(self, work: Callable[[], Process]) -> Event:
        """Queue work; the event is that it was done."""
        done = self._env.event()
        self._pieces.append((work, done))
        if not self._come.triggered:
            self._come.succeed()
        return done

    def take(self, seconds: float) -> Event:
        """Queue work that takes so long alone."""
        return self.run(lambda: self.spend(seconds))

    def spend(self, seconds: float) -> Process:
        """Compute, inside a piece of work."""
        begun_s = self._env.now
        yield from self._host.work(seconds, self._slowdown)
        self.busy_s += self._env.now - begun_s
        self.work_s += seconds

    def work_until(self, come: Callable[[], bool]) -> Process:
        """Inside a piece of work: do what others wait for until ``come()``, which some of it makes true."""
        while not come():
            yield from self._next()

    def _run(self) -> Process:
        while True:
            yield from self._next()

    def _next(self) -> Process:
        while not self._pieces:
            self._come = self._env.event()
            yield self._come
        work, done = self._pieces.popleft()
        yield from work()
        done.succeed()

"""Writes answers together: every pass gives each of them its next token; between two passes other work has its turn."""

from dataclasses import dataclass, field

from simpy import Environment, Event

from simulation.compute import Compute
from simulation.host import Process
from simulation.times import ReceiverTimes


@dataclass(eq=False)
class _Answer:
    left: int
    ended: Event
    token_s: list[float] = field(default_factory=list)


class Decoder:
    """Of one receiver. ``passes`` and ``tokens`` count what it has written after the first tokens, and in how many."""

    def __init__(self, env: Environment, compute: Compute, times: ReceiverTimes) -> None:
        self._env = env
        self._compute = compute
        self._times = times
        self._joining: list[_Answer] = []
        self._rows: list[_Answer] = []
        self._leaving = 0
        self._running = False
        self.passes = 0
        self.tokens = 0

    def write(self, tokens: int) -> Event:
        """So many more tokens; the event tells when each of them was there."""
        answer = _Answer(tokens, self._env.event())
        if not tokens:
            return answer.ended.succeed([])
        self._joining.append(answer)
        if not self._running:
            self._running = True
            self._env.process(self._run())
        return answer.ended

    def _run(self) -> Process:
        while self._joining or self._rows or self._leaving:
            joining, self._joining = self._joining, []  # who comes later joins the pass after this one
            yield self._compute.run(lambda joining=joining: self._pass(joining))  # type: ignore[misc]
        self._running = False

    def _pass(self, joining: list[_Answer]) -> Process:
        self._rows += joining
        yield from self._compute.spend(self._times.turnover_s / 2 * (len(joining) + self._leaving))
        self._leaving = 0
        if not self._rows:
            return
        yield from self._compute.spend(self._times.step.at(len(self._rows)))
        self.passes += 1
        self.tokens += len(self._rows)
        for answer in self._rows:
            answer.left -= 1
            answer.token_s.append(self._env.now)
            if not answer.left:
                answer.ended.succeed(answer.token_s)
        written, self._rows = self._rows, [answer for answer in self._rows if answer.left]
        self._leaving = len(written) - len(self._rows)

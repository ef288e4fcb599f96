"""Reads the prompts that wait for an answer, those that wait together in one pass."""

from collections import deque

from simpy import Environment, Event

from simulation.compute import Compute
from simulation.curve import Curve
from simulation.host import Process

#: Tokens of one pass; as ``kvwire.engine.reader`` has it.
TOKENS_TOGETHER = 512


class Reader:
    """Of one receiver."""

    def __init__(self, env: Environment, compute: Compute, prompt: Curve) -> None:
        self._env = env
        self._compute = compute
        self._prompt = prompt
        self._waiting: deque[tuple[int, Event]] = deque()
        self._running = False

    def read(self, tokens: int) -> Event:
        """Queue a prompt; the event is that it was read."""
        done = self._env.event()
        self._waiting.append((tokens, done))
        if not self._running:
            self._running = True
            self._env.process(self._run())
        return done

    def _run(self) -> Process:
        while self._waiting:
            yield self._compute.run(self._pass)
        self._running = False

    def _pass(self) -> Process:
        batch = [self._waiting.popleft()]
        tokens = batch[0][0]
        while self._waiting and tokens + self._waiting[0][0] <= TOKENS_TOGETHER:
            batch.append(self._waiting.popleft())
            tokens += batch[-1][0]
        yield from self._compute.spend(self._prompt.together(each for each, _ in batch))
        for _, done in batch:
            done.succeed()

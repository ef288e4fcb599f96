"""Answers that are being written, and a group of them that takes its steps in one forward pass."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from kvwire.engine.cache import PositionedCache
from kvwire.engine.decode import Greedy, Step, best
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task
from kvwire.errors import KvwireError
from kvwire.progress import Stopwatch

#: Steps that wait to be read before an answer is set aside, so that a slow reader holds up nobody and little memory.
_UNREAD_STEPS = 16

#: A step; its cache, with which an answer that was set aside joins again; the end; or why there is none.
Outcome = Step | PositionedCache | None | Exception


@dataclass(eq=False)
class Answer:
    """One that is being written.

    ``position`` is its first new token's; ``waits_from_s``: for its next pass.
    """

    writing: Greedy
    position: int
    task: Task
    watch: Stopwatch
    waits_from_s: float = 0.0
    steps: "asyncio.Queue[Outcome]" = field(default_factory=asyncio.Queue)
    left: bool = False

    @property
    def most_slots(self) -> int:
        """How many its cache may come to hold."""
        return self.position + self.writing.max_new_tokens

    @property
    def slow(self) -> bool:
        """Whether too many steps wait to be read."""
        return self.steps.qsize() >= _UNREAD_STEPS

    def failure(self) -> KvwireError | None:
        """Why it must stop, if it must."""
        try:
            self.task.check()
        except KvwireError as error:
            return error
        return None


class Group:
    """Answers with a row each. Runs on the compute thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows = engine.new_rows()
        self.answers: list[Answer] = []

    def join(self, answer: Answer, cache: PositionedCache) -> None:
        """Give an answer a row; its cache moves there."""
        self._rows.join(cache)
        self.answers.append(answer)

    def set_aside(self) -> Iterator[tuple[Answer, Outcome]]:
        """Take the rows of those that ended, left, failed or are read too slowly; tell the last two kinds."""
        for row in reversed(range(len(self.answers))):
            answer = self.answers[row]
            failure = answer.failure()
            if failure is not None:
                yield answer, failure
            elif answer.left or answer.writing.ended:
                pass
            elif answer.slow:
                yield answer, self._rows.row(row)
            else:
                continue
            self._rows.drop(row)
            self.answers[row] = self.answers[-1]
            self.answers.pop()

    def step(self) -> list[tuple[Answer, Outcome]]:
        """Read the last token of every answer, and take the next."""
        begun_s = time.perf_counter()
        tokens = [answer.writing.tokens[-1] for answer in self.answers]
        positions = [answer.position + len(answer.writing.tokens) - 1 for answer in self.answers]
        logits = self._engine.next_logits_of_rows(self._rows, tokens, positions)
        outcomes: list[tuple[Answer, Outcome]] = []
        for answer, (token, logprob), row in zip(self.answers, best(logits), logits, strict=True):
            step = answer.writing.take(token, logprob, row)
            outcomes.append((answer, step))
            if step is not None and answer.writing.ended:
                outcomes.append((answer, None))
        ended_s = time.perf_counter()
        for answer in self.answers:
            answer.watch.stretch("decode", begun_s, ended_s)
            answer.task.waited_s += begun_s - answer.waits_from_s
            answer.waits_from_s = ended_s
        return outcomes

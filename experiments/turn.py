"""What is handed out at a time: one question, and all a pair must know to ask it by every arm."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from experiments.arms import Arm
from experiments.ledger import Ledger
from experiments.plan import Key, Plan
from experiments.questions.base import Question, ScoredQuestion
from experiments.questions.load import other_context
from kvwire.requests import Method


@dataclass(frozen=True)
class Turn:
    """One question of a dataset. A plain value: it may travel to another process.

    ``done`` of its lines are written; ``compares`` is false if its reference is among those and failed. ``other`` is
    the context of its control. A ``timed`` one is asked arm by arm with nothing beside it; of others, so many arms as
    ``together`` says share a forward pass.
    """

    dataset: str
    question: Question
    arms: tuple[Arm, ...]
    other: str | None
    request_id: str
    done: int
    compares: bool
    timed: bool
    together: int
    relay_max_tokens: int

    def told(self, arm: Arm) -> str | None:
        """What an arm's sharer is told."""
        own = self.question.told[arm.shown] if arm.method is Method.TEXT else self.question.context
        return self.other if arm.wrong_context else own

    def key(self, arm: Arm) -> Key:
        """Of an arm's line."""
        return self.dataset, self.question.id, arm.name

    def groups(self) -> Iterator[tuple[int, tuple[Arm, ...]]]:
        """Arms that are asked in one call, and where their lines begin: the reference by itself, before the others.

        The same in a run that is gone on with, since a likelihood's last digit depends on what shares its pass. What
        the sharer answers shares no call with the receiver's.
        """
        yield 0, self.arms[:1]
        first = 1
        for _, side in groupby(self.arms[1:], key=lambda arm: arm.at_sharer):
            end = first + len(tuple(side))
            for start in range(first, end, self.together):
                yield start, self.arms[start : min(start + self.together, end)]
            first = end


def turns_of(plan: Plan, ledger: Ledger) -> Iterator[Turn]:
    """The questions with lines still to write, in the plan's order."""
    recipe, line = plan.named.recipe, 0
    for block in plan.blocks:
        for index, question in enumerate(block.questions):
            done, timed = ledger.done - line, index < recipe.timed
            if done < len(block.arms):
                yield Turn(
                    block.dataset,
                    question,
                    block.arms,
                    other_context(block.questions, index),
                    # The reference's request id: the same in every run, so that its bytes are too.
                    request_id=f"{plan.named.sha256[:16]}-{line:08}",
                    done=max(0, done),
                    compares=done <= 0 or not ledger.failed(line),
                    timed=timed,
                    together=recipe.together if isinstance(question, ScoredQuestion) and not timed else 1,
                    relay_max_tokens=recipe.relay_max_tokens,
                )
            line += len(block.arms)

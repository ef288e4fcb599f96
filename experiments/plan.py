"""A recipe with its questions: every line the run will write, in order, known before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.arms import Arm, arms_of
from experiments.questions.base import Question
from experiments.recipe import NamedRecipe

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Block:
    """One dataset: each question goes through all arms before the next one, so that its context is read once."""

    dataset: str
    questions: tuple[Question, ...]
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Plan:
    """All blocks of a recipe."""

    named: NamedRecipe
    blocks: tuple[Block, ...]

    def keys(self) -> Iterator[Key]:
        """Dataset, item and arm of each line."""
        for block in self.blocks:
            for question in block.questions:
                for arm in block.arms:
                    yield block.dataset, question.id, arm.name


def plan_of(named: NamedRecipe, questions: Sequence[tuple[Question, ...]]) -> Plan:
    """Lay a recipe out; ``questions`` are those of its datasets, in order."""
    return Plan(
        named,
        tuple(
            Block(dataset.called, asked, arms_of(named.recipe, dataset.wrong_context))
            for dataset, asked in zip(named.recipe.datasets, questions, strict=True)
        ),
    )

"""What questions have in common, whatever their items and however they are answered."""

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from experiments.questions.base import Shown, told
from loadtest import scoring
from loadtest.datasets import ContinuationItem, Item, SpanItem

T = TypeVar("T", Item, SpanItem, ContinuationItem)


@dataclass(frozen=True)
class ItemQuestion(Generic[T]):
    """Of one item, which is its own cluster."""

    item: T

    @property
    def id(self) -> str:
        """The item's."""
        return self.item.id

    @property
    def cluster(self) -> str:
        """The item itself."""
        return self.item.id

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)


@dataclass(frozen=True)
class MultipleChoice(ItemQuestion[Item]):
    """One with choices; its fact, if it has one, is the context."""

    @property
    def context(self) -> str | None:
        """The fact."""
        return scoring.context_text(self.item)

    @property
    def told(self) -> dict[Shown, str]:
        """The fact, the question, and the lettered choices."""
        choices = f"Choices:\n{scoring.lettered_choices(self.item)}"
        return told(self.context, f"Question: {self.item.question}\n", choices)

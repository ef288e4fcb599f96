"""What questions with choices have in common, however they are answered."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Shown, told
from loadtest import scoring
from loadtest.datasets import Item


@dataclass(frozen=True)
class ItemQuestion:
    """An item of a set of questions with choices; its fact, if it has one, is the context."""

    item: Item

    @property
    def id(self) -> str:
        """The item's."""
        return self.item.id

    @property
    def cluster(self) -> str:
        """The item itself."""
        return self.item.id

    @property
    def context(self) -> str | None:
        """The fact."""
        return scoring.context_text(self.item)

    @property
    def told(self) -> dict[Shown, str]:
        """The fact, the question, and the lettered choices."""
        choices = f"Choices:\n{scoring.lettered_choices(self.item)}"
        return told(self.context, f"Question: {self.item.question}\n", choices)

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)

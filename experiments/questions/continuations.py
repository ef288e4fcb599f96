"""Text to be continued: how likely what follows is, after a context that only the sharer has read."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, Shown, ask_scored, likelihood, score_request, told
from kvwire.client import Client
from kvwire.report import Scored
from kvwire.requests import ScoreRequest
from loadtest.datasets import ContinuationItem


@dataclass(frozen=True)
class ContinuationQuestion:
    """Likelihood, KL and top-1 are over all tokens of the continuation."""

    item: ContinuationItem

    @property
    def id(self) -> str:
        """The item's."""
        return self.item.id

    @property
    def cluster(self) -> str:
        """The document."""
        return self.item.cluster

    @property
    def context(self) -> str:
        """The opening of the text."""
        return self.item.context

    @property
    def told(self) -> dict[Shown, str]:
        """The opening; there is no question."""
        return told(self.context)

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Score the continuation."""
        return await ask_scored(self, client, asking)

    def request(self, asking: Asking) -> ScoreRequest:
        """The one continuation."""
        return score_request(self.item.prompt, (self.item.continuation,), asking)

    def result(self, scored: Scored) -> dict[str, Any]:
        """How likely it is."""
        return likelihood(scored.scores[0])

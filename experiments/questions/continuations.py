"""Text to be continued: how likely what follows is, after a context that only the sharer has read."""

from dataclasses import dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, Shown, ask_scored, likelihood, score_request, told
from experiments.questions.items import ItemQuestion
from kvwire.client import Client
from kvwire.report import Scored
from kvwire.requests import ScoreRequest
from loadtest.datasets import ContinuationItem


@dataclass(frozen=True)
class ContinuationQuestion(ItemQuestion[ContinuationItem]):
    """Likelihood, KL and top-1 are over all tokens of the continuation."""

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

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Score the continuation."""
        return await ask_scored(self, client, asking)

    def request(self, asking: Asking) -> ScoreRequest:
        """The one continuation."""
        return score_request(self.item.prompt, (self.item.continuation,), asking)

    def result(self, scored: Scored) -> dict[str, Any]:
        """How likely it is."""
        return likelihood(scored.scores[0])

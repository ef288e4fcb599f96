"""Text to be continued: how likely what follows is, after a context that only the sharer has read."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, likelihood, score_request
from kvwire.client import Client
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
    def context(self) -> str:
        """The opening of the text."""
        return self.item.context

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Score the continuation."""
        scored = await client.score(score_request(self.item.prompt, (self.item.continuation,), asking))
        return Reply(likelihood(scored.scores[0]), scored.report, scored.first_token_s, scored.total_s)

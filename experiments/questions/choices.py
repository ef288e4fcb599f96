"""Multiple choice by likelihood: the choice with the highest log-likelihood per token wins."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, likelihood, score_request
from kvwire.client import Client
from loadtest import scoring
from loadtest.datasets import Item


@dataclass(frozen=True)
class ChoiceQuestion:
    """KL and top-1 are over the tokens of the right choice, as its likelihood is."""

    item: Item

    @property
    def id(self) -> str:
        """The item's."""
        return self.item.id

    @property
    def context(self) -> str | None:
        """The fact."""
        return scoring.context_text(self.item)

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Score every choice."""
        item = self.item
        request = score_request(scoring.question_prompt(item), scoring.continuations(item), asking)
        scored = await client.score(request)
        scores = scoring.choice_scores(item, scored.scores)
        right = next(score for score in scored.scores if score.index == item.answer)
        result = {
            "decision": scoring.decide(scores).mean,
            "right": scoring.score_likelihoods(item, scores).right,
            "margin": scoring.margin(scores, item.answer),
            **likelihood(right),
            "loglik": [{"sum": score.sum_logprob, "tokens": score.tokens} for score in scores],
        }
        return Reply(result, scored.report, scored.first_token_s, scored.total_s)

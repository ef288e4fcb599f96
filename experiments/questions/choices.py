"""Multiple choice by likelihood: the choice with the highest log-likelihood per token wins."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, Shown, ask_scored, likelihood, score_request, told
from kvwire.client import Client
from kvwire.report import Scored
from kvwire.requests import ScoreRequest
from loadtest import scoring
from loadtest.datasets import Item


def choices_told(item: Item) -> dict[Shown, str]:
    """What a sharer is told that writes a message about a question with choices."""
    return told(
        scoring.context_text(item), f"Question: {item.question}\n", f"Choices:\n{scoring.lettered_choices(item)}"
    )


@dataclass(frozen=True)
class ChoiceQuestion:
    """KL and top-1 are over the tokens of the right choice, as its likelihood is."""

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
        return choices_told(self.item)

    @property
    def fields(self) -> dict[str, Any]:
        """The item's."""
        return asdict(self.item)

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Score every choice."""
        return await ask_scored(self, client, asking)

    def request(self, asking: Asking) -> ScoreRequest:
        """All choices behind the question."""
        return score_request(scoring.question_prompt(self.item), scoring.continuations(self.item), asking)

    def result(self, scored: Scored) -> dict[str, Any]:
        """The decision, and how likely the right choice is."""
        item = self.item
        scores = scoring.choice_scores(item, scored.scores)
        right = next(score for score in scored.scores if score.index == item.answer)
        return {
            "decision": scoring.decide(scores).mean,
            "right": scoring.score_likelihoods(item, scores).right,
            "margin": scoring.margin(scores, item.answer),
            **likelihood(right),
            "loglik": [{"sum": score.sum_logprob, "tokens": score.tokens} for score in scores],
        }

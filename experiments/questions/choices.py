"""Multiple choice by likelihood: the choice with the highest log-likelihood per token wins."""

from dataclasses import dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, ask_scored, likelihood, score_request
from experiments.questions.items import MultipleChoice
from kvwire.client import Client
from kvwire.report import Scored
from kvwire.requests import ScoreRequest
from loadtest import scoring


@dataclass(frozen=True)
class ChoiceQuestion(MultipleChoice):
    """KL and top-1 are over the tokens of the right choice, as its likelihood is."""

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

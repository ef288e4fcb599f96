"""Reading questions, answered in writing: exact match and F1 against the accepted wordings."""

from dataclasses import dataclass

from experiments.questions.base import Asking, Reply, Shown, told
from experiments.questions.items import ItemQuestion
from kvwire.client import Client
from kvwire.requests import GenerateRequest, Text
from loadtest.datasets import SpanItem
from loadtest.span_scoring import SPAN_MAX_NEW_TOKENS, score_span, span_context, span_prompt


@dataclass(frozen=True)
class SpanQuestion(ItemQuestion[SpanItem]):
    """What is written has no distribution to compare: there is no KL here."""

    @property
    def context(self) -> str:
        """The paragraph."""
        return span_context(self.item)

    @property
    def told(self) -> dict[Shown, str]:
        """The paragraph, and the question; there are no options."""
        return told(self.context, f"Question: {self.item.question}\n")

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Have the answer written."""
        request = GenerateRequest(
            prompt=Text(span_prompt(self.item)),
            context=asking.context,
            exchange=asking.exchange,
            max_new_tokens=SPAN_MAX_NEW_TOKENS,
            info=asking.info,
        )
        written = await client.generate_all(request)
        scored = score_span(self.item, written.text)
        result = {"exact": scored.exact, "f1": scored.f1, "reply": written.text}
        return Reply(result, written.report, (written.first_token_s, written.total_s))

"""Multiple choice by a written letter, as the literature scores it: one user turn, a greedy reply, the letter in it."""

from dataclasses import asdict, dataclass
from typing import Any

from experiments.questions.base import Asking, Reply, Shown
from experiments.questions.choices import choices_told
from kvwire.client import Client
from kvwire.requests import ChatMessage, GenerateRequest, Messages
from loadtest import scoring
from loadtest.datasets import Item


@dataclass(frozen=True)
class LetterQuestion:
    """What is written has no distribution to compare: there is no KL here."""

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
        """Have the letter written."""
        request = GenerateRequest(
            prompt=Messages((ChatMessage("user", scoring.letter_prompt(self.item)),)),
            context=asking.context,
            exchange=asking.exchange,
            max_new_tokens=scoring.LETTER_MAX_NEW_TOKENS,
            info=asking.info,
        )
        written = await client.generate_all(request)
        scored = scoring.score_letter(self.item, written.text)
        result = {"decision": scored.decision, "right": scored.right, "reply": scored.reply}
        return Reply(result, written.report, (written.first_token_s, written.total_s))

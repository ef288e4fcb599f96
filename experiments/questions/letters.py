"""Multiple choice by a written letter, as the literature scores it: one user turn, a greedy reply, the letter in it."""

from dataclasses import dataclass

from experiments.questions.base import Asking, Reply
from experiments.questions.items import MultipleChoice
from kvwire.client import Client
from kvwire.requests import ChatMessage, GenerateRequest, Messages
from loadtest import scoring


@dataclass(frozen=True)
class LetterQuestion(MultipleChoice):
    """What is written has no distribution to compare: there is no KL here."""

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

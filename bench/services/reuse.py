"""What a receiver saves that holds a context's cache: bytes and time to first token of later questions."""

import asyncio
from collections.abc import Sequence

import numpy as np

from bench.services.facts import facts
from kvwire.client import Client, Generation
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, Text
from loadtest.datasets import load
from loadtest.scoring import question_prompt

#: Some 1,100 of SmolLM2's tokens.
_CHARACTERS = 4600
#: Another context of that length begins so many characters later.
_LATER = 100


def measure(model: str, questions: int, device: str = "cpu") -> dict[str, object]:
    """``reuse_bytes_ratio`` and ``reuse_ttft_ratio``: of all questions over the first, and of later ones over it."""
    items = load("pocket")
    prompts = [question_prompt(items[index % len(items)]) for index in range(questions)]
    own = ["--reuse-bytes", str(1 << 30)]
    arguments = ["--device", device, "--log-level", "warning"]
    with running_pair(Pair(model, model), arguments, receiver_arguments=own) as (_, receiver):
        answers = asyncio.run(_asked(receiver.address, prompts))
    moved = [each.report.bytes.socket_bytes for each in answers if each.report.bytes is not None]
    first_s = [each.first_token_s for each in answers]
    return {
        "reuse_bytes_ratio": sum(moved) / moved[0],
        "reuse_ttft_ratio": float(np.median(first_s[1:])) / first_s[0],
        "context_tokens": answers[0].report.tokens.context,
        "ttft_s": first_s,
        "bytes": moved,
    }


async def _asked(address: str, prompts: Sequence[str]) -> list[Generation]:
    """All on one context, on services that have read another as long: its first question pays for nothing else."""
    context, other = facts(_CHARACTERS), facts(_CHARACTERS + _LATER)[_LATER:]
    exchange = Exchange(Method.PREFIX, codec="fp16")

    async def ask(prompt: str, about: str) -> Generation:
        return await client.generate_all(GenerateRequest(Text(prompt), Text(about), exchange, 1))

    async with Client(address) as client:
        await ask(prompts[0], other)
        return [await ask(prompt, context) for prompt in prompts]

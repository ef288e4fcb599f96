"""Time to first token of method ``prefix`` over the same computation in one process, on as many threads."""

import asyncio
import time

import numpy as np
import torch

from bench.services.facts import facts
from kvwire.client import Client
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.models.load import load
from kvwire.models.store import ModelStore
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, Text

_PROMPT = Text("Question: Where is the key?\nAnswer:")
#: Some 512 of SmolLM2's tokens.
_CHARACTERS = 2300


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> dict[str, object]:
    """``ttft_over_in_process``, the median of ratios of neighbours, and all times in seconds."""
    torch.set_num_threads(threads)
    loaded = load(ModelStore().pull(model), dtype=torch.float32, device=device, attn_implementation=IMPLEMENTATION)
    engine = Engine(loaded, 4096)
    context = Text(facts(_CHARACTERS))
    served, alone = list[float](), list[float]()
    arguments = ["--threads", str(threads), "--device", device, "--log-level", "warning"]
    with running_pair(Pair(model, model), arguments) as (_, receiver):
        for index in range(rounds + 1):
            first_s, tokens = asyncio.run(_served_s(receiver.address, context))
            here_s = _here_s(engine, context)
            if index:  # the first round opens connections and faults memory in
                served.append(first_s)
                alone.append(here_s)
    ratios = [one / other for one, other in zip(served, alone, strict=True)]
    return {
        "ttft_over_in_process": float(np.median(ratios)),
        "context_tokens": tokens,
        "ttft_s": served,
        "in_process_s": alone,
    }


async def _served_s(address: str, context: Text) -> tuple[float, int]:
    async with Client(address) as client:
        await client.describe()
        request = GenerateRequest(_PROMPT, context, Exchange(Method.PREFIX, codec="fp16"), 1)
        answer = await client.generate_all(request)
    return answer.first_token_s, answer.report.tokens.context


def _here_s(engine: Engine, context: Text) -> float:
    begun = time.perf_counter()
    tokens = engine.prompts.read(context, _PROMPT)
    cache = engine.new_cache()
    behind = tokens.head + tokens.context
    engine.read(behind, cache, 0)
    engine.next_logits(tokens.prompt, cache, len(behind)).argmax().item()
    return time.perf_counter() - begun

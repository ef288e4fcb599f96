"""Time to first token of method ``prefix`` over the same computation in one process, on as many threads."""

import asyncio
import time

import numpy as np
import torch

from bench.services.facts import PROMPT, facts
from bench.services.pipelining import asked
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.models.load import load
from kvwire.models.store import ModelStore
from kvwire.processes import Pair, running_pair
from kvwire.requests import Text

#: Some 575 of SmolLM2's tokens.
_CHARACTERS = 2300


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> dict[str, object]:
    """``ttft_over_in_process``, the median of ratios of neighbours, and all times in seconds."""
    torch.set_num_threads(threads)
    loaded = load(ModelStore().pull(model), dtype=torch.float32, device=device, attn_implementation=IMPLEMENTATION)
    engine = Engine(loaded, 4096)
    context = facts(_CHARACTERS)
    served, alone = list[float](), list[float]()
    arguments = ["--threads", str(threads), "--device", device, "--log-level", "warning"]
    with running_pair(Pair(model, model), arguments) as (_, receiver):
        for index in range(rounds + 1):
            answer, here_s = asyncio.run(asked(receiver.address, context)), _here_s(engine, Text(context))
            if index:  # the first round opens connections and faults memory in
                served.append(answer.first_token_s)
                alone.append(here_s)
    ratios = [one / other for one, other in zip(served, alone, strict=True)]
    return {
        "ttft_over_in_process": float(np.median(ratios)),
        "context_tokens": answer.report.tokens.context,
        "ttft_s": served,
        "in_process_s": alone,
    }


def _here_s(engine: Engine, context: Text) -> float:
    begun = time.perf_counter()
    tokens = engine.prompts.read(context, PROMPT)
    cache = engine.new_cache()
    behind = tokens.head + tokens.context
    engine.read(behind, cache, 0)
    engine.next_logits(tokens.prompt, cache, len(behind)).argmax().item()
    return time.perf_counter() - begun

"""Tokens per second of many answers at once: over one at a time, and over transformers' own batched ``generate``.

Answers of 64 tokens to questions of unlike lengths, method ``receiver_reads``: the same tokens are read and written in
all three cases, on as many threads. ``kvwire bench --part "many answers at once"``.
"""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvwire.client import Client
from kvwire.models.load import load as load_model
from kvwire.models.store import ModelStore
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import ChatMessage, Exchange, GenerateRequest, Messages, Method
from loadtest.datasets import load
from loadtest.scoring import letter_prompt

_NEW_TOKENS = 64
#: Questions asked one at a time; they take as long as all those asked together.
_ALONE = 4


def _prompts(count: int) -> list[str]:
    items = load("pocket")
    return [letter_prompt(items[index % len(items)]) for index in range(count)]


async def service_tokens_per_s(address: str, prompts: Sequence[str], concurrency: int) -> float:
    """Ask a receiver, so many requests in flight.

    Raises:
        KvwireError: Whatever it answered.
    """
    places = asyncio.Semaphore(concurrency)

    async def one(client: Client, prompt: str) -> int:
        exchange = Exchange(Method.RECEIVER_READS)
        messages = Messages((ChatMessage("user", prompt),))
        async with places:
            answer = await client.generate_all(GenerateRequest(messages, None, exchange, _NEW_TOKENS, ignore_eos=True))
        return len(answer.tokens)

    async with Client(address) as client:
        begun = time.perf_counter()
        written = await asyncio.gather(*(one(client, prompt) for prompt in prompts))
        return sum(written) / (time.perf_counter() - begun)


def generate_tokens_per_s(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> float:
    """The same by transformers: one padded batch, greedy."""
    begun = time.perf_counter()
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    texts = [str(tokenizer.apply_chat_template(each, add_generation_prompt=True, tokenize=False)) for each in chats]
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False).to(model.device)
    limits = {"max_new_tokens": _NEW_TOKENS, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
    written: torch.Tensor = model.generate(**batch, **limits)  # type: ignore[operator]  # untyped upstream
    new = written.shape[1] - batch["input_ids"].shape[1]
    written.cpu()  # a clock read now measures finished work
    return float(len(prompts) * new / (time.perf_counter() - begun))


def measure(model: str, rounds: int, device: str = "cpu", concurrency: int = 32, threads: int = 2) -> dict[str, object]:
    """``throughput_32_over_1`` and ``throughput_over_generate``: medians of ratios within a round, and all rounds."""
    torch.set_num_threads(threads)
    loaded = load_model(ModelStore().pull(model), dtype=torch.float32, device=device, attn_implementation="sdpa")
    loaded.tokenizer.padding_side = "left"
    many, few = _prompts(concurrency), _prompts(_ALONE)
    options = ["--threads", str(threads), "--max-in-flight", str(concurrency), "--log-level", "warning"]
    free = ["--model", model, "--device", device, *FREE_PORTS]
    with running_service("receiver_service", [*free, *options]) as receiver:
        _, *found = [
            {
                "many": asyncio.run(service_tokens_per_s(receiver.address, many, concurrency)),
                "one": asyncio.run(service_tokens_per_s(receiver.address, few, 1)),
                "generate": generate_tokens_per_s(loaded.model, loaded.tokenizer, many),
            }
            for _ in range(rounds + 1)  # the first warms both up
        ]
    return {
        f"throughput_{concurrency}_over_1": float(np.median([each["many"] / each["one"] for each in found])),
        "throughput_over_generate": float(np.median([each["many"] / each["generate"] for each in found])),
        "tokens_per_s": found,
    }

"""Tokens per second of many answers at once: over one at a time, and over transformers' own batched ``generate``.

Answers of 64 tokens to questions of unlike lengths, method ``receiver_reads``: the same tokens are read and written in
all three cases, on as many threads. ``python -m bench.services.throughput``.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvwire.client import Client
from kvwire.models.load import load as load_model
from kvwire.models.store import ModelStore
from kvwire.processes import running_service
from kvwire.requests import ChatMessage, Exchange, GenerateRequest, Messages, Method
from loadtest.datasets import load
from loadtest.scoring import letter_prompt

_NEW_TOKENS = 64


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
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    limits = {"max_new_tokens": _NEW_TOKENS, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
    written: torch.Tensor = model.generate(**batch, **limits)  # type: ignore[operator]  # untyped upstream
    new = written.shape[1] - batch["input_ids"].shape[1]
    return float(len(prompts) * new / (time.perf_counter() - begun))


def main(
    model: Annotated[str, typer.Option()] = "smollm2-135m",
    concurrency: Annotated[int, typer.Option(min=2)] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    threads: Annotated[int, typer.Option(min=1, help="of the receiver and of generate")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the rounds here")] = None,
) -> None:
    """Take turns, and print medians of the ratios."""
    torch.set_num_threads(threads)
    loaded = load_model(ModelStore().pull(model), dtype=torch.float32, device="cpu", attn_implementation="sdpa")
    loaded.tokenizer.padding_side = "left"
    many, few = _prompts(concurrency), _prompts(4)
    found: list[dict[str, float]] = []
    options = ["--threads", str(threads), "--max-in-flight", str(concurrency), "--log-level", "warning"]
    free = ["--model", model, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with running_service("receiver_service", [*free, *options]) as receiver:
        for index in range(rounds):
            one = {
                "many": asyncio.run(service_tokens_per_s(receiver.address, many, concurrency)),
                "one": asyncio.run(service_tokens_per_s(receiver.address, few, 1)),
                "generate": generate_tokens_per_s(loaded.model, loaded.tokenizer, many),
            }
            found.append(one)
            shown = ", ".join(f"{name} {value:.1f}" for name, value in one.items())
            sys.stdout.write(f"round {index + 1}: tokens per second: {shown}\n")
            sys.stdout.flush()
    ratios = {
        f"throughput_{concurrency}_over_1": float(np.median([each["many"] / each["one"] for each in found])),
        "throughput_over_generate": float(np.median([each["many"] / each["generate"] for each in found])),
    }
    sys.stdout.write("".join(f"{name} {value:.3f}\n" for name, value in ratios.items()))
    if json_file is not None:
        json_file.write_text(json.dumps({**ratios, "rounds": found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

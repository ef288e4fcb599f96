"""SmolLM2 on both sides of a real wire against plain ``generate``, and both against float64.

The 50 prompts are pocket's questions; their contexts are cuts of the LICENSE of 5 to 600 tokens.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kvwire.client import Client
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, ScoreRequest, TokenIds
from kvwire.rpc import serde
from kvwire.v1 import receiver_service_pb2, receiver_service_pb2_grpc
from loadtest.datasets import load
from loadtest.scoring import question_prompt

pytestmark = [pytest.mark.model, pytest.mark.slow]

STEPS = 64
LENGTHS = np.linspace(5, 600, 50).astype(int).tolist()
LICENSE = (Path(__file__).parents[2] / "LICENSE").read_text()
FREE = [*FREE_PORTS, "--log-level", "warning"]

#: A next-token choice is a tie where float64 puts the two best logits closer than this.
TIE = 1e-4


@dataclass(frozen=True)
class Asked:
    """A question with its context, as token ids."""

    context: tuple[int, ...]
    prompt: tuple[int, ...]

    def generation(self, method):
        exchange = Exchange(method, codec="fp32")
        return GenerateRequest(TokenIds(self.prompt), TokenIds(self.context), exchange, STEPS, ignore_eos=True)

    def scoring(self, method, continuation, codec):
        continuations = (TokenIds(tuple(continuation)),)
        return ScoreRequest(TokenIds(self.prompt), continuations, TokenIds(self.context), Exchange(method, codec=codec))


@pytest.fixture(scope="module")
def services(smollm2, tmp_path_factory):
    """A sharer, and a receiver that shows its logits."""
    logs = tmp_path_factory.mktemp("logs")
    model = ["--model", f"path:{smollm2.path}", *FREE]
    with running_service("sharer_service", model, logs / "sharer.log") as sharer:
        shows = [*model, "--sharers", f"sharer={sharer.address}", "--inspect"]
        with running_service("receiver_service", shows, logs / "receiver.log") as receiver:
            yield receiver.address


@pytest.fixture(scope="module")
def questions(smollm2):
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    text = tokenizer(LICENSE).input_ids
    prompts = [tokenizer(question_prompt(item)).input_ids for item in load("pocket", limit=len(LENGTHS))]
    starts = [37 * i % 1500 for i in range(len(LENGTHS))]
    cuts = zip(starts, LENGTHS, prompts, strict=True)
    return [Asked(tuple(text[start : start + length]), tuple(prompt)) for start, length, prompt in cuts]


@pytest.fixture(scope="module")
def models(smollm2):
    """Plain transformers in float32 and float64, as many threads as there are cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    yield [AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=d).eval() for d in (torch.float32, torch.float64)]
    torch.set_num_threads(1)


async def inspected(address, asked, method):
    """Tokens and step logits ``(steps, vocabulary)`` that the receiver took them from."""
    tokens, logits = [], []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        request = receiver_service_pb2.InspectRequest(generate=serde.generate_to_proto(asked.generation(method)))
        async for event in stub.Inspect(request):
            if event.HasField("step"):
                tokens.append(event.step.token_id)
                logits.append(np.frombuffer(event.step.logits, "<f4"))
    return tokens, torch.from_numpy(np.stack(logits))


def generated(model, asked):
    """Plain ``generate``: tokens and step logits."""
    before = torch.tensor([[*asked.context, *asked.prompt]])
    made = model.generate(
        before,
        attention_mask=torch.ones_like(before),
        max_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return made.sequences[0, before.shape[1] :].tolist(), torch.cat(made.logits)


def exact(model, asked, tokens):
    """float64 logits before each of ``tokens``."""
    read = torch.tensor([[*asked.context, *asked.prompt, *tokens[:-1]]])
    with torch.inference_mode():
        return model(read, logits_to_keep=len(tokens)).logits[0]


def agreeing(one, other):
    """How many first tokens are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


async def test_prefix_over_an_fp32_wire_generates_what_reading_generates(services, questions, models):
    """64 greedy tokens, but for ties; logits as near to float64 as three times plain generate's own error."""
    float32, float64 = models
    ties, worst = [], 0.0
    for asked in questions:
        read, _ = await inspected(services, asked, Method.RECEIVER_READS)
        shared, logits = await inspected(services, asked, Method.PREFIX)
        plain, plain_logits = generated(float32, asked)
        same = min(agreeing(shared, read), agreeing(shared, plain))
        truth = exact(float64, asked, shared)
        if same < STEPS:
            best = truth[same].topk(2).values
            assert best[0] - best[1] < TIE, f"context of {len(asked.context)} tokens, step {same}"
            ties.append((len(asked.context), same))
        steps = min(same + 1, STEPS)
        own_error = (plain_logits[:steps] - truth[:steps]).abs().max()
        error = (logits[:steps] - truth[:steps]).abs().max()
        worst = max(worst, float(error / own_error))
        assert error <= 3 * own_error
    print(f"\n{len(questions)} prompts, ties {ties}, worst error ratio {worst:.2f}")


async def test_an_fp16_wire_changes_log_likelihoods_by_at_most_a_hundredth(services, questions):
    """Per token, over a continuation of the text itself."""
    worst = 0.0
    async with Client(services) as receiver:
        for asked in questions:
            continuation = questions[-1].context[:32]
            read = await receiver.score(asked.scoring(Method.RECEIVER_READS, continuation, "fp16"))
            shared = await receiver.score(asked.scoring(Method.PREFIX, continuation, "fp16"))
            pairs = zip(read.scores[0].token_logprobs, shared.scores[0].token_logprobs, strict=True)
            worst = max(worst, *(abs(a - b) for a, b in pairs))
    print(f"\nlargest difference per token: {worst:.5f}")
    assert worst <= 0.01

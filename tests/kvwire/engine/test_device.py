"""The engine computes the same on any device: prefill, answers written together, distributions of continuations."""

import asyncio

import pytest
import torch

from kvwire.engine.decode import continuation_distributions
from kvwire.engine.decoder import Decoder
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from tests.kvwire.engine.conftest import begun, engine_of

TOKENS = tuple(torch.randint(4, 512, (60,), generator=torch.Generator().manual_seed(3)).tolist())


@pytest.fixture(scope="module")
def there(family, device, tmp_path_factory):
    """An engine over each tiny model on each device."""
    return engine_of(family, tmp_path_factory.mktemp("store"), str(device))


def test_logits_and_distributions_equal_float64(there, device, reference):
    """After 40 tokens, and before each token of two continuations."""
    start = begun(there, TOKENS[:40])
    assert start.logits.device.type == device.type
    torch.testing.assert_close(start.logits.cpu().double(), reference(TOKENS[:40])[-1], atol=1e-3, rtol=0)
    pieces = [TOKENS[40:50], TOKENS[50:60]]
    distributions = continuation_distributions(there, start.cache, start.logits, start.position, pieces)
    for piece, found in zip(pieces, distributions, strict=True):
        wanted = torch.log_softmax(reference(TOKENS[:40] + piece)[39:-1], -1)
        torch.testing.assert_close(found.cpu().double(), wanted, atol=1e-3, rtol=0)


async def test_answers_written_together_equal_float64(there, worker, reference):
    """Of unlike lengths, each against a forward pass over all it read."""
    decoder = Decoder(there, worker)

    async def write(length):
        steps = decoder.steps(begun(there, TOKENS[:length]), 6, frozenset(), Task(), Stopwatch("receiver"))
        return length, [step async for step in steps]

    for length, steps in await asyncio.gather(*map(write, (5, 33, 60))):
        read = list(TOKENS[:length])
        for step in steps:
            torch.testing.assert_close(step.logits.cpu().double(), reference(read)[-1], atol=1e-3, rtol=0)
            read.append(step.token_id)

"""A cache that comes while others' answers are written."""

import asyncio
from contextlib import aclosing

import pytest

from kvwire.client import Client
from kvwire.processes import Pair, running_pair
from kvwire.report import Token
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds

pytestmark = [pytest.mark.slow, pytest.mark.model]

LAYERS = 30
PROMPT = TokenIds((1000,) * 8)


async def test_a_cache_takes_a_few_steps_of_an_answer_not_one_for_each_of_its_layers(smollm2, tmp_path):
    """All layers that have come are placed between two steps."""
    model = f"path:{smollm2.path}"
    exchange = Exchange(Method.PREFIX, codec="int8")
    asked = GenerateRequest(PROMPT, TokenIds(tuple(range(1000, 1064))), exchange, 1, ignore_eos=True)
    written = GenerateRequest(PROMPT, None, Exchange(Method.RECEIVER_ONLY), 300, ignore_eos=True)
    with running_pair(Pair(model, model), ["--threads", "1", "--log-level", "warning"], tmp_path) as (_, receiver):
        async with Client(receiver.address) as client, aclosing(client.generate(written)) as answer:
            await client.generate_all(asked)
            await anext(answer)
            asking = asyncio.create_task(client.generate_all(asked))
            steps = 0
            async for event in answer:
                steps += isinstance(event, Token)
                if asking.done():
                    break
            await asking
    assert 0 < steps < LAYERS / 2

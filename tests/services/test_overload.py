"""A request that could only miss its deadline in the queue of a real service is refused before it waits."""

import asyncio
from statistics import median

import pytest

from kvwire.client import Client
from kvwire.errors import OverloadedError
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text, TokenIds

pytestmark = pytest.mark.slow

#: Memory for one answer of 600 tokens behind 300 at a time.
LIMITS = ("--cache-memory-bytes", "3000000", "--max-tokens", "1024")
CONTEXT = TokenIds(tuple(range(4, 304)))


@pytest.fixture
def narrow(tiny_llama, tiny_pair, tmp_path):
    """A pair of its own: by what it saw of other requests it would know another time."""
    with tiny_pair(tiny_llama, tmp_path, *LIMITS) as services:
        yield services


def asked(method, deadline_ms=0):
    info = RequestInfo(deadline_ms=deadline_ms)
    return GenerateRequest(Text("What then?"), CONTEXT, Exchange(method), 600, ignore_eos=True, info=info)


@pytest.mark.parametrize(("side", "method"), [("receiver", Method.PREFIX), ("sharer", Method.SHARER_ONLY)])
async def test_who_could_only_miss_its_deadline_is_refused_at_once(narrow, side, method):
    """One holds the memory and two wait, each for as long as three did before; all of them are answered."""
    async with Client(getattr(narrow, side).address) as client:
        alone_s = median([(await client.generate_all(asked(method))).total_s for _ in range(3)])
        holding = client.generate(asked(method))
        await anext(holding)
        waiting = [asyncio.create_task(client.generate_all(asked(method))) for _ in range(2)]
        with pytest.raises(OverloadedError, match=r"cache memory come free in some .* deadline is in"):
            await client.generate_all(asked(method, deadline_ms=int(500 * alone_s)))
        assert not any(each.done() for each in waiting)
        assert len([event async for event in holding]) == 600  # 599 tokens and the report
        assert [len((await each).tokens) for each in waiting] == [600, 600]

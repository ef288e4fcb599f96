"""A stop under load: what was begun is finished, what comes later is refused."""

import asyncio
import signal
import time

import pytest

from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import UnavailableError
from kvwire.link.shape import Shape
from kvwire.processes import FREE_PORTS, running_link, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text, TokenIds
from kvwire.rpc.server import _DRAIN_S

pytestmark = pytest.mark.slow

CONTEXT = TokenIds(tuple(range(4, 304)))
AT_ONCE = 12


def asked(method, new_tokens):
    return GenerateRequest(Text("hello"), CONTEXT, Exchange(method, codec="fp32"), new_tokens, ignore_eos=True)


@pytest.fixture
def drained(tiny_llama, tmp_path):
    """A sharer behind a link on which a cache of 300 tokens takes a second, and its receiver."""
    own = ["--model", f"path:{tiny_llama}", "--threads", "1", "--max-tokens", "1024", *FREE_PORTS]
    with (
        running_service("sharer_service", own, tmp_path / "sharer.log") as sharer,
        running_link(sharer.address, Shape.parse("2mbit"), tmp_path / "link.log") as link,
        running_service(
            "receiver_service", [*own, "--sharers", f"sharer={link.address}"], tmp_path / "r.log"
        ) as receiver,
    ):
        yield sharer, receiver


async def first(stream):
    """The first token of an answer, and the stream of the rest."""
    return await anext(stream), stream


async def rest(stream):
    """All that is left of an answer."""
    return [event async for event in stream]


async def stopped(service):
    """Its exit status, and how long it took."""
    begun_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    status = await asyncio.to_thread(service.process.wait, _DRAIN_S)
    return status, time.monotonic() - begun_s


async def test_a_receiver_that_is_stopped_finishes_every_answer_it_began(drained):
    """By all methods, each to its last token and report; the next caller is refused, the status is 0."""
    _, receiver = drained
    methods = [Method.RECEIVER_READS, Method.RECEIVER_ONLY, Method.PREFIX, Method.FUSE]
    async with Client(receiver.address) as client:
        begun = [client.generate(asked(methods[index % 4], 300)) for index in range(AT_ONCE)]
        streams = [stream for _, stream in await asyncio.gather(*map(first, begun))]
        ending = asyncio.create_task(stopped(receiver))
        answers = await asyncio.gather(*map(rest, streams))
        status, took_s = await ending
        with pytest.raises(UnavailableError):
            await client.describe()
    assert [len(events) for events in answers] == [300] * AT_ONCE  # 299 tokens and the report
    assert {events[-1].tokens.generated for events in answers} == {300}
    assert status == 0
    assert took_s < _DRAIN_S
    print(f"\n{AT_ONCE} answers finished and the receiver ended {took_s:.2f} s after SIGTERM")


async def test_a_sharer_that_is_stopped_sends_every_cache_it_began(drained):
    """The receiver notices nothing but a slow link."""
    sharer, receiver = drained
    async with Client(receiver.address) as client:
        answers = [asyncio.create_task(client.generate_all(asked(Method.PREFIX, 2))) for _ in range(4)]
        while await asyncio.to_thread(lambda: Scrape.of(sharer.metrics).total("kvwire_requests_in_flight")) < 4:
            pass
        status, took_s = await stopped(sharer)
        paths = [(await each).report.path for each in answers]
    assert paths == [Method.PREFIX] * 4
    assert status == 0
    assert took_s < _DRAIN_S
    print(f"\n4 caches were sent and the sharer ended {took_s:.2f} s after SIGTERM")

"""Many long requests at once, and little memory for their caches: they wait, none is killed."""

import asyncio

import pytest

from bench.services.resident import peak_bytes, reset_peak, resident_bytes
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import DeadlineError, OverloadedError
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, RequestInfo, Text, TokenIds

#: One answer of the tiny model over 300 to 1,000 tokens takes 2.4 MB at most, another one beside it does not fit.
CEILING = 3_000_000


def request(tokens, method=Method.PREFIX, new_tokens=4, deadline_ms=0, codec="fp32", on_fault=FaultPolicy.FAIL):
    context = TokenIds(tuple(4 + index % 500 for index in range(tokens)))
    info = RequestInfo(deadline_ms=deadline_ms)
    exchange = Exchange(method, codec=codec, on_fault=on_fault)
    return GenerateRequest(Text("What then?"), context, exchange, new_tokens, ignore_eos=True, info=info)


@pytest.fixture(scope="module")
def narrow(tiny_llama, tiny_pair, tmp_path_factory):
    """A pair with memory for one long answer."""
    limits = ("--cache-memory-bytes", str(CEILING), "--max-tokens", "1024")
    with tiny_pair(tiny_llama, tmp_path_factory.mktemp("logs"), *limits) as services:
        yield services


def taken(service):
    return Scrape.of(service.metrics).total("kvwire_cache_memory_bytes")


async def test_requests_wait_for_each_others_memory_and_are_all_answered_as_if_alone(narrow):
    """By every method in which the receiver holds a cache; at the end all memory is free."""
    methods = [Method.PREFIX, Method.RECEIVER_READS, Method.FUSE, Method.PREFIX, Method.RECEIVER_READS, Method.PREFIX]
    asked = [request(300 + 20 * index, method) for index, method in enumerate(methods)]
    async with narrow.receiver_client() as client:
        alone = [await client.generate_all(each) for each in asked]
        together = await asyncio.gather(*map(client.generate_all, asked))
        await client.describe()
    assert [each.text for each in together] == [each.text for each in alone]
    waited = [each.report.stage_s("wait", "receiver") for each in together]
    assert max(waited) > min(each.total_s for each in alone)
    assert Scrape.of(narrow.receiver.metrics).total("kvwire_cache_memory_limit_bytes") == CEILING
    assert (taken(narrow.receiver), taken(narrow.sharer)) == (0, 0)


async def test_what_could_never_fit_is_refused_with_what_to_do(narrow):
    """1,000 tokens fit where they are read, not where a sharer's layers come on top; the next request is answered."""
    async with narrow.receiver_client() as client:
        await client.generate_all(request(990, Method.RECEIVER_READS))
        with pytest.raises(OverloadedError, match="raise cache_memory_bytes"):
            await client.generate_all(request(990))
        await client.generate_all(request(300))
    assert taken(narrow.receiver) == 0


async def test_a_receiver_without_room_does_not_blame_its_sharer(narrow):
    """No policy on the sharer's faults answers what it refuses, and the sharer is not asked."""
    before = Scrape.of(narrow.receiver.metrics).total("kvwire_sharer_calls_total")
    async with narrow.receiver_client() as client:
        for policy in FaultPolicy:
            with pytest.raises(OverloadedError, match="raise cache_memory_bytes"):
                await client.generate_all(request(990, on_fault=policy))
    assert Scrape.of(narrow.receiver.metrics).total("kvwire_sharer_calls_total") == before


async def test_a_deadline_passes_in_the_queue_as_anywhere_else(narrow):
    """Or is seen to; and whoever holds the memory goes on."""
    async with narrow.receiver_client() as client:
        long = client.generate(request(300, new_tokens=600))
        await anext(long)
        with pytest.raises((DeadlineError, OverloadedError)):
            await client.generate_all(request(300, deadline_ms=100))
        assert taken(narrow.receiver) > 0
        async for _ in long:
            pass
        await client.describe()
    assert taken(narrow.receiver) == 0


async def test_a_caller_who_hangs_up_makes_room(narrow):
    """Another one who waits for it is answered."""
    async with narrow.receiver_client() as client:
        left = client.generate(request(300, new_tokens=600))
        await anext(left)
        waiting = asyncio.create_task(client.generate_all(request(300)))
        await left.aclose()
        assert len((await waiting).tokens) == 4
        await client.describe()
    assert taken(narrow.receiver) == 0


#: What a service may take beside weights and ceiling: activations of one pass of 2,000 tokens, and heap lost between.
MARGIN = 350_000_000


def growth_bytes(model, ceiling_bytes, logs):
    """Of a sharer and a receiver that answer sixteen requests on 2,000 tokens at once, 150 tokens each."""
    limits = ["--cache-memory-bytes", str(ceiling_bytes), "--threads", "1", "--log-level", "warning"]

    async def ask(address, asked):
        async with Client(address) as client:
            return await asyncio.gather(*map(client.generate_all, asked))

    # The sharer reads the context once, so that caches come faster than answers are written.
    reuse = ["--reuse-bytes", "200000000"]
    with running_pair(Pair(model, model), limits, log_dir=logs, sharer_arguments=reuse) as services:
        address = services[1].address
        asyncio.run(ask(address, [request(16)]))
        rest = [resident_bytes(service) for service in services]
        for service in services:
            reset_peak(service)
        answers = asyncio.run(ask(address, [request(2000, new_tokens=150, codec="int8")] * 16))
        assert [len(each.tokens) for each in answers] == [150] * 16
        return [peak_bytes(service) - own for service, own in zip(services, rest, strict=True)]


@pytest.mark.model
@pytest.mark.slow
def test_resident_memory_stays_under_weights_ceiling_and_a_margin(smollm2, tmp_path):
    """Where two requests fit at once; the same ones take more of a receiver without a ceiling to speak of."""
    ceiling = 1_000_000_000
    bounded = growth_bytes(f"path:{smollm2.path}", ceiling, tmp_path)
    free = growth_bytes(f"path:{smollm2.path}", 16 * ceiling, tmp_path)
    for name, sizes in (("a ceiling of 1,000 MB", bounded), ("16,000 MB", free)):
        print(f"\nsharer and receiver grew by {[round(each / 1e6) for each in sizes]} MB with {name}")
    assert max(bounded) < ceiling + MARGIN
    assert bounded[1] < ceiling < free[1]

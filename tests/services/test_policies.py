"""Every policy against every fault, on real sockets: it holds, in time, and the next request is answered as asked.

One receiver for all: the tests come one after the other, so whatever one leaves behind shows in the next.
"""

import asyncio
import contextlib
import time
from contextlib import aclosing, asynccontextmanager

import pytest

from kvwire.client import Client
from kvwire.errors import BindingError, DataLossError, DeadlineError, OverloadedError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import (
    Exchange,
    FaultPolicy,
    GenerateRequest,
    Method,
    RelayMode,
    RequestInfo,
    Text,
    TokenIds,
)
from kvwire.security import ClientSecurity
from kvwire.stream import ShareRequest
from receiver_service.sharers import Meter, SharerLink

# 500 tokens in fp32 are 128 kB for each of the four layers.
LONG = TokenIds(tuple(range(4, 504)))
# Long, so that a busy machine fails no test; only a sharer that stalls takes all of it.
DEADLINE_MS = 10_000


def asked(policy=FaultPolicy.FAIL, method=Method.PREFIX, deadline_ms=DEADLINE_MS, context=LONG):
    exchange = Exchange(method, codec="fp32", on_fault=policy, relay=RelayMode.VERBATIM)
    info = RequestInfo(deadline_ms=deadline_ms)
    return GenerateRequest(Text("hello"), context, exchange, max_new_tokens=4, ignore_eos=True, info=info)


def unhurt(_offset, data):
    return data


class CutAfter:
    """Lets so many bytes pass, over all connections together, then cuts them all."""

    def __init__(self, passing):
        self.left = passing

    def __call__(self, _offset, data):
        self.left -= len(data)
        return data if self.left >= 0 else None


class StallAfter(CutAfter):
    """Then lets nothing pass any more, and keeps the connections."""

    def __call__(self, _offset, data):
        return super().__call__(_offset, data) or b""


class DamageFrom(CutAfter):
    """Then flips a bit in every large piece."""

    def __call__(self, offset, data):
        passed = super().__call__(offset, data)
        if passed is not None or len(data) < 8192:
            return data
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


class Once:
    """Hurts once, as another would, and never again."""

    def __init__(self, hurt):
        self._hurt = hurt

    def __call__(self, offset, data):
        if self._hurt is None:
            return data
        changed = self._hurt(offset, data)
        if changed != data:
            self._hurt = None
        return changed


@asynccontextmanager
async def in_time(deadline_ms=DEADLINE_MS):
    """What happens inside ends within the deadline and a second."""
    begun_s = time.monotonic()
    yield
    assert time.monotonic() - begun_s < deadline_ms / 1000 + 1


async def answered_as_asked(receiver, method=Method.PREFIX):
    """The next answer of a receiver whose sharer is well; a breaker that has opened lets a request through soon."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(UnavailableError):
                answer = await receiver.generate_all(asked(method=method, deadline_ms=0))
                assert (answer.report.path, answer.report.partial) == (method, False)
                return answer


@asynccontextmanager
async def hurting(exposed, sharer, hurt):
    """A client of the receiver while its sharer, which was well until now, is hurt, and what it answered before.

    At the end it is well again, and that is seen.
    """
    hurts = []

    def pass_on(offset, data):
        return hurt(offset, data) if hurts else data

    async with exposed.behind(sharer, pass_on) as receiver:
        before = await answered_as_asked(receiver)
        hurts.append(hurt)
        yield receiver, before
        hurts.clear()
        await answered_as_asked(receiver)


async def test_a_cut_stream_is_asked_for_again_but_for_what_came_whole(exposed, pair):
    """One layer came; the answer is that of an unhurt stream, and the bytes of both streams are counted."""
    async with hurting(exposed, pair.sharer.address, Once(CutAfter(200_000))) as (receiver, whole):
        answer = await receiver.generate_all(asked())
    report = answer.report
    assert [token.logprob for token in answer.tokens] == [token.logprob for token in whole.tokens]
    assert (report.path, report.tries, report.layers_came, report.layers_needed) == (Method.PREFIX, 2, 4, 4)
    assert report.sharer_addresses == (f"127.0.0.1:{exposed.near}",)
    assert report.bytes.payload_bytes == whole.report.bytes.payload_bytes
    assert whole.report.bytes.grpc_bytes < report.bytes.grpc_bytes < 1.1 * whole.report.bytes.grpc_bytes


async def test_a_layer_that_was_damaged_is_sent_again(exposed, pair):
    """Only once, and nothing that failed its checksum is in the answer."""
    async with hurting(exposed, pair.sharer.address, Once(DamageFrom(200_000))) as (receiver, whole):
        answer = await receiver.generate_all(asked())
    assert [token.logprob for token in answer.tokens] == [token.logprob for token in whole.tokens]
    assert answer.report.tries == 2


async def test_layers_that_did_not_come_are_left_unfused(exposed, pair):
    """Those that came are used, and the report says how many."""
    async with hurting(exposed, pair.sharer.address, DamageFrom(330_000)) as (receiver, _), in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL, Method.FUSE))
    report = answer.report
    assert (report.path, report.partial, report.layers_needed) == (Method.FUSE, True, 4)
    assert 0 < report.layers_came < 3
    assert f"partial: {report.layers_came} of 4 layers came before DATA_LOSS" in report.reason


async def test_a_prefix_with_a_layer_missing_is_answered_by_the_receiver_alone(exposed, pair):
    """One of four is too many: a context that some layers know and others do not is worse than none."""
    async with hurting(exposed, pair.sharer.address, CutAfter(450_000)) as (receiver, _), in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL))
        alone = await receiver.generate_all(asked(method=Method.RECEIVER_ONLY))
    assert (answer.report.path, answer.report.layers_came) == (Method.RECEIVER_ONLY, 0)
    assert [token.id for token in answer.tokens] == [token.id for token in alone.tokens]


async def test_a_fusion_of_which_nothing_comes_is_what_the_receiver_reads_itself(exposed):
    """It has read everything, and says so."""
    async with exposed.without_sharer() as receiver, in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL, Method.FUSE))
        itself = await receiver.generate_all(asked(method=Method.RECEIVER_READS))
    assert (answer.report.path, answer.report.layers_came) == (Method.RECEIVER_READS, 0)
    assert "UNAVAILABLE" in answer.report.reason
    assert [token.id for token in answer.tokens] == [token.id for token in itself.tokens]


CONTEXT = Text("Each Contributor hereby grants to You a perpetual license. " * 20)

#: What becomes of a request by policy: how it is answered, or why not. A message of a relay is small: it passes where
#: large pieces are damaged.
ONLY, TEXT, READS, FUSED = Method.RECEIVER_ONLY, Method.TEXT, Method.RECEIVER_READS, Method.FUSE
EXPECTED = {
    "unreachable": {"fail": UnavailableError, "receiver_only": ONLY, "text": UnavailableError, "partial": READS},
    "cut": {"fail": UnavailableError, "receiver_only": ONLY, "text": UnavailableError, "partial": FUSED},
    "damaged": {"fail": DataLossError, "receiver_only": ONLY, "text": TEXT, "partial": FUSED},
    "stalled": {"fail": DeadlineError, "receiver_only": ONLY, "text": DeadlineError, "partial": FUSED},
    "overloaded": {"fail": OverloadedError, "receiver_only": ONLY, "text": OverloadedError, "partial": READS},
    "another model": dict.fromkeys(FaultPolicy, BindingError),
}
HURTS = {"cut": CutAfter, "damaged": DamageFrom, "stalled": StallAfter}


@asynccontextmanager
async def failing(fault, exposed, pair, request):
    """A client of the receiver whose sharer fails in some way; when it is well again, that is seen."""
    if fault in HURTS:
        async with hurting(exposed, pair.sharer.address, HURTS[fault](300_000)) as (receiver, _):
            yield receiver
        return
    async with {"unreachable": gone, "overloaded": occupied, "another model": another}[fault](exposed, request) as hurt:
        yield hurt
    async with exposed.behind(pair.sharer.address, unhurt) as receiver:
        await answered_as_asked(receiver)


@asynccontextmanager
async def gone(exposed, _request):
    """Nobody listens."""
    async with exposed.without_sharer() as receiver:
        yield receiver


@asynccontextmanager
async def occupied(exposed, request):
    """A sharer whose one place is taken by a stream that nobody reads."""
    address = request.getfixturevalue("small_sharer")
    link = SharerLink("small", address, ClientSecurity(), port_shared=True)
    model = (await link.describe(None)).card.binding
    wanted = ShareRequest(
        RequestInfo("holds-the-place"),
        Method.PREFIX,
        TokenIds((5,) * 1500),
        "fp32",
        expected_sharer=model,
        receiver=model,
    )
    async with exposed.behind(address, unhurt) as receiver:
        await answered_as_asked(receiver)
        async with aclosing(link.share(wanted, None, Meter())) as stream:
            await anext(stream)
            yield receiver
    await link.close()


@asynccontextmanager
async def another(exposed, request):
    """A sharer of another model."""
    async with exposed.behind(request.getfixturevalue("other_sharer"), unhurt) as receiver:
        with pytest.raises(BindingError):
            await answered_as_asked(receiver)
        yield receiver


@pytest.fixture(scope="module")
def small_sharer(tiny_llama, tmp_path_factory):
    arguments = ["--model", f"path:{tiny_llama}", *FREE_PORTS, "--threads", "1", "--max-in-flight", "1"]
    with running_service("sharer_service", arguments, tmp_path_factory.mktemp("small") / "log") as sharer:
        yield sharer.address


@pytest.fixture(scope="module")
def other_sharer(tiny_qwen2, tmp_path_factory):
    arguments = ["--model", f"path:{tiny_qwen2}", *FREE_PORTS, "--threads", "1"]
    with running_service("sharer_service", arguments, tmp_path_factory.mktemp("other") / "log") as sharer:
        yield sharer.address


@pytest.mark.slow
@pytest.mark.parametrize("policy", FaultPolicy)
@pytest.mark.parametrize("fault", EXPECTED)
async def test_the_declared_policy_holds(exposed, pair, request, fault, policy):
    """In time, and the next request is answered as asked."""
    expected = EXPECTED[fault][policy]
    method = Method.FUSE if policy is FaultPolicy.PARTIAL else Method.PREFIX
    async with failing(fault, exposed, pair, request) as receiver, in_time():
        question = asked(policy, method, context=CONTEXT)
        if isinstance(expected, Method):
            answer = await receiver.generate_all(question)
            assert answer.report.path is expected
            assert answer.report.reason != f"{method} was asked for"
            assert answer.report.tries > 0
        else:
            with pytest.raises(expected):
                await receiver.generate_all(question)


@pytest.mark.slow
async def test_a_sharer_that_is_gone_costs_requests_nothing_once_it_is_left_alone(exposed, pair):
    """The breaker opens after five failures; from then on answers come at once, and say why; then one probes."""
    async with exposed.without_sharer() as receiver:
        for _ in range(6):
            answer = await receiver.generate_all(asked(FaultPolicy.RECEIVER_ONLY))
    assert answer.report.tries == 0
    assert "left alone after failures in a row, no call was made" in answer.report.reason
    async with exposed.behind(pair.sharer.address, unhurt) as receiver:
        await answered_as_asked(receiver)


@pytest.mark.slow
async def test_two_addresses_of_one_sharer_stand_in_for_each_other(pair, tiny_llama, tmp_path):
    """The first is killed between two requests and in the middle of none: no request fails."""
    model = ["--model", f"path:{tiny_llama}", *FREE_PORTS, "--threads", "1"]
    with running_service("sharer_service", model, tmp_path / "first.log") as first:
        both = ["--sharers", f'{{"sharer": "{first.address},{pair.sharer.address}"}}']
        with running_service("receiver_service", [*model, *both], tmp_path / "receiver.log") as running:
            async with Client(running.address) as receiver:
                before = await receiver.generate_all(asked())
                first.process.kill()
                first.process.wait()
                after = [await receiver.generate_all(asked()) for _ in range(8)]
    assert before.report.sharer_addresses == (first.address,)
    assert {answer.report.sharer_addresses for answer in after} == {(pair.sharer.address,)}
    assert [answer.report.tries for answer in after][:5] == [2] * 5
    assert after[-1].tokens == before.tokens

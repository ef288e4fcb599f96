"""Every policy against every fault, on real sockets: it holds, in time, and the next request is answered as asked.

One receiver for all: the tests come one after the other, so whatever one leaves behind shows in the next.
"""

from contextlib import asynccontextmanager

import grpc
import pytest

from kvwire.client import Client
from kvwire.errors import BindingError, DataLossError, DeadlineError, OverloadedError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import FaultPolicy, Method, RequestInfo, Text, TokenIds
from kvwire.rpc import share_request_serde
from kvwire.stream import ShareRequest
from kvwire.v1 import sharer_service_pb2_grpc
from tests.services.hurting import (
    CutAfter,
    DamageFrom,
    StallAfter,
    answered_as_asked,
    asked,
    hurting,
    in_time,
    unhurt,
)

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
    async with Client(address) as client:
        model = (await client.describe()).card.binding
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
        # Windows that do not grow: what is not read stops the sharer after some kilobytes.
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call = sharer_service_pb2_grpc.SharerServiceStub(channel).Share(share_request_serde.to_proto(wanted))
            await call.read()
            yield receiver
            call.cancel()


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
                for number in range(30):  # until it is the first's own context
                    question = asked(context=Text(f"Contract {number}. " * 20))
                    before = await receiver.generate_all(question)
                    if before.report.sharer_addresses == (first.address,):
                        break
                first.process.kill()
                first.process.wait()
                after = [await receiver.generate_all(question) for _ in range(8)]
    assert before.report.sharer_addresses == (first.address,)
    assert {answer.report.sharer_addresses for answer in after} == {(pair.sharer.address,)}
    assert [answer.report.tries for answer in after][:5] == [2] * 5
    assert after[-1].tokens == before.tokens

"""Of a sharer's addresses another is called where one fails, and all run one model.

The sharers are scripted, the channels between are real.
"""

import asyncio
import time
from dataclasses import replace

import pytest

from kvwire.balancing.choice import CHOICES, Balance, least_busy
from kvwire.errors import (
    BindingError,
    InvalidRequestError,
    OverloadedError,
    StartError,
    UnavailableError,
)
from kvwire.requests import Text
from kvwire.security import ClientSecurity
from kvwire.telemetry import Metrics
from receiver_service.replicas import Sharers, StrangerError
from tests.receiver_service.asking import Receiver


@pytest.fixture(autouse=True)
def in_their_order(monkeypatch):
    """Every question has a key whose own is the first of equally busy addresses: so a test knows who is asked."""

    def chosen(members, _key):
        found = [least_busy(members, bytes([each])) for each in range(100)]
        return members[0] if members[0] in found else found[0]

    monkeypatch.setitem(CHOICES, Balance.LEAST_BUSY, lambda: chosen)


async def test_a_failing_address_hands_over_to_another_without_waiting(scripted, question):
    """The first is gone, the second answers; who answered is told."""
    async with scripted() as here, Receiver(["127.0.0.1:1", here.address]) as receiver:
        assert await receiver.ask(question()) == here.address
    assert (receiver.tally.tries, receiver.tally.addresses) == (2, [here.address])
    assert receiver.random.bounds_s == []


@pytest.mark.parametrize("fault", [UnavailableError("gone"), OverloadedError("full"), StrangerError("another model")])
async def test_another_address_is_called_at_once(question, fault):
    """No time passes between one that failed and one that was not tried yet."""
    async with Receiver(["127.0.0.1:1", "127.0.0.1:2"]) as receiver:
        tried = receiver.replicas.links[:1]
        assert receiver.tries(question())._again_in_s(fault, tried, free=False) == 0


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "CANCELLED"], ids=["full", "closing"])
async def test_an_address_that_is_full_or_closing_hands_over_too(scripted, question, status):
    """Somebody else may have a place; a call that reaches a server as it closes is cancelled, though nobody hung up."""
    async with (
        scripted(outcomes=[status]) as first,
        scripted() as second,
        Receiver([first.address, second.address]) as receiver,
    ):
        assert await receiver.ask(question()) == second.address


async def test_an_address_that_is_left_alone_is_passed_over(scripted, question):
    """Requests no longer pay for finding out."""
    async with scripted() as here, Receiver(["127.0.0.1:1", here.address]) as receiver:
        for _ in range(5):
            await receiver.ask(question())
        await receiver.ask(question())
    assert receiver.tally.tries == 1


async def test_an_address_that_is_gone_for_long_fails_no_request(scripted, question):
    """Each probe of it fails and costs nothing: another address answers, however seldom it is asked."""
    async with scripted() as here, Receiver(["127.0.0.1:1", here.address]) as receiver:
        for _ in range(40):
            assert await receiver.ask(question()) == here.address
            receiver.replicas.links[0].breaker._until_s = 0.0


async def test_a_crowd_that_finds_an_address_gone_is_answered_by_another(scripted, question):
    """However many come before anybody knows: to go elsewhere multiplies nothing, so no budget keeps them from it."""
    async with scripted() as here, Receiver(["127.0.0.1:1", here.address]) as receiver:
        answers = await asyncio.gather(*(receiver.ask(question()) for _ in range(30)))
    assert answers == [here.address] * 30


async def test_of_two_addresses_the_one_with_less_to_do_is_asked(scripted, question):
    """The first is still busy with another question."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def held_up():
        entered.set()
        await leave.wait()

    async with (
        scripted(held_up=held_up) as busy,
        scripted() as idle,
        Receiver([busy.address, idle.address]) as receiver,
    ):
        first = asyncio.create_task(receiver.ask(question()))
        await entered.wait()
        assert await receiver.ask(question()) == idle.address
        leave.set()
        assert await first == busy.address


async def test_questions_on_one_context_go_to_one_address(scripted, question):
    """By the caller and the context: there the sharer has it already."""
    async with (
        scripted() as one,
        scripted() as two,
        Receiver([one.address, two.address], Balance.AFFINITY) as receiver,
    ):
        asked = [replace(question(), context=Text(f"context {number}")) for number in range(20)]
        first = [await receiver.ask(each) for each in asked]
        assert [await receiver.ask(each) for each in asked] == first
    assert set(first) == {one.address, two.address}


async def test_addresses_of_a_name_come_and_go(scripted, question):
    """Whoever is there answers; a breaker of who is gone is shown no longer than it takes to be sure."""
    async with scripted() as one, scripted() as two:
        there = [one.address]

        async def resolve(host, port):
            assert (host, port) == ("sharers", 7)
            return there

        async with Receiver(["dns:sharers:7"], resolve=resolve) as receiver:
            assert await receiver.ask(question()) == one.address
            there[:] = [two.address]
            for _ in range(2):
                receiver.replicas._pool._looked_s -= 5
                await receiver.replicas.refresh()
                await receiver.replicas._pool._looking
            assert await receiver.ask(question()) == two.address
            [family] = receiver.metrics.sharer_breaker.collect()
            assert [sample.labels["address"] for sample in family.samples] == [two.address]


async def test_a_name_that_stands_for_nothing_is_a_sharer_that_cannot_be_reached(question):
    """As a policy on faults sees it."""

    async def resolve(*_):
        raise OSError("nobody knows it")

    async with Receiver(["dns:sharers:7"], resolve=resolve) as receiver:
        with pytest.raises(UnavailableError, match="dns:sharers:7 stands for no address: nobody knows it"):
            await receiver.ask(question())


async def test_a_look_up_takes_no_more_than_the_time_that_is_left(question):
    """Then there is something to fall back to, while there is time for it."""

    async def resolve(*_):
        await asyncio.Event().wait()

    async with Receiver(["dns:sharers:7"], resolve=resolve) as receiver:
        with pytest.raises(UnavailableError, match="still being looked up"):
            await asyncio.wait_for(receiver.ask(question(), until_s=time.monotonic() + 0.1), 30)


async def test_an_address_that_runs_another_model_is_refused_and_left_alone(scripted, question, other_binding):
    """Both models are named; the other address goes on answering."""
    async with (
        scripted() as right,
        scripted(binding=other_binding) as wrong,
        Receiver([right.address, wrong.address]) as receiver,
    ):
        await receiver.ask(question())
        receiver.replicas.links[0].in_flight += 1  # so that the second's turn comes
        assert await receiver.ask(question()) == right.address
        why = receiver.replicas.links[1].breaker.why
        assert wrong.relays == 0
    assert "FAILED_PRECONDITION" in why
    assert f"{wrong.address} runs other" in why
    assert f"at {right.address} tiny" in why
    assert "all addresses of a name must run one model" in why


async def test_the_wrong_model_alone_is_an_error_that_says_so(scripted, question, other_binding):
    """Nobody else is there to ask."""
    async with (
        scripted() as right,
        scripted(binding=other_binding) as wrong,
        Receiver([right.address, wrong.address]) as receiver,
    ):
        await receiver.ask(question())
        receiver.replicas.links[0].breaker.open("it is gone")
        with pytest.raises(BindingError, match="must run one model"):
            await receiver.ask(question())


async def test_a_wrong_request_is_not_carried_from_address_to_address(scripted, question):
    """The second would say the same."""
    async with (
        scripted(outcomes=["INVALID_ARGUMENT"]) as first,
        scripted() as second,
        Receiver([first.address, second.address]) as receiver,
    ):
        with pytest.raises(InvalidRequestError):
            await receiver.ask(question())
        assert second.relays == 0


async def test_every_call_is_counted_by_its_outcome(scripted, question):
    """By sharer, address and code."""
    async with scripted(outcomes=["UNAVAILABLE"]) as sharer, Receiver([sharer.address]) as receiver:
        await receiver.ask(question())
        counted = {
            tuple(sample.labels[name] for name in ("sharer", "address", "code")): sample.value
            for family in receiver.metrics.sharer_calls.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
    assert counted == {("s", sharer.address, "UNAVAILABLE"): 1, ("s", sharer.address, "OK"): 1}


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [(["localhost"], "has no port"), (["127.0.0.1:7", " 127.0.0.1:7"], "an address twice"), ([""], "has no port")],
)
def test_addresses_that_cannot_be_are_refused_at_the_start(addresses, complaint):
    """With the name of the sharer."""
    with pytest.raises(StartError, match=rf"sharer s .*{complaint}"):
        Sharers({"s": ",".join(addresses)}, ClientSecurity(), Metrics("receiver"))

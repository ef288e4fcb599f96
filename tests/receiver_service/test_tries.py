"""A sharer that fails is called again where that may help, somewhere else where it can, in time and within a budget.

The sharers are scripted, the channels between are real.
"""

import asyncio
import time
from dataclasses import replace
from random import Random

import pytest

from kvwire.balancing.breaker import State
from kvwire.balancing.choice import CHOICES, Balance
from kvwire.balancing.places import system_resolve
from kvwire.errors import (
    BindingError,
    DeadlineError,
    InvalidRequestError,
    KvwireError,
    OverloadedError,
    StartError,
    UnavailableError,
)
from kvwire.requests import Text
from kvwire.security import ClientSecurity
from kvwire.telemetry import Metrics
from receiver_service.replicas import Replicas, Sharers
from receiver_service.sharers import Meter
from receiver_service.tries import Tally, Tries


@pytest.fixture(autouse=True)
def in_their_order(monkeypatch):
    """Of equally busy addresses the first is asked, not the question's own: so a test knows who."""

    def first(members, _key):
        return min(members, key=lambda each: each.in_flight)

    monkeypatch.setitem(CHOICES, Balance.LEAST_BUSY, lambda: first)


class Impatient(Random):
    """Waits no time between tries, and writes down how long it could have been."""

    def __init__(self):
        super().__init__()
        self.longest_s = []

    def uniform(self, a, b):
        self.longest_s.append(b)
        return a


class Receiver:
    """One that knows sharer ``s`` at some addresses."""

    def __init__(self, addresses, balance=Balance.LEAST_BUSY, resolve=system_resolve):
        self.metrics = Metrics("receiver")
        self.sharers = Sharers({"s": ",".join(addresses)}, ClientSecurity(), self.metrics, balance, resolve)
        self.random = Impatient()
        self.tally = Tally()

    @property
    def replicas(self) -> Replicas:
        return self.sharers.named("s")

    async def ask(self, question, until_s=None, random=None):
        """The address that answered."""
        self.tally = Tally()
        tries = Tries(self.replicas, question, until_s, self.tally, self.metrics, random or self.random)

        async def relayed(link, _description):
            asked = (question.info, question.context, question.exchange, tries.left_s(), Meter())
            answer = await link.relay(*asked, sealed=True)
            self.tally.used(link)
            return answer.text

        return await tries.run(relayed)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.sharers.close()


async def test_a_call_that_fails_is_made_again_and_counted(scripted, question):
    """Three failures that may pass, then the answer."""
    outcomes = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DATA_LOSS"]
    async with scripted(outcomes=outcomes) as sharer, Receiver([sharer.address]) as receiver:
        assert await receiver.ask(question()) == sharer.address
    assert (receiver.tally.tries, receiver.tally.addresses) == (4, [sharer.address])


async def test_an_address_that_is_gone_costs_the_budget_where_there_is_no_other(scripted, question):
    """As anything that is tried again in vain would."""
    async with scripted(outcomes=["UNAVAILABLE"]) as sharer, Receiver([sharer.address]) as receiver:
        await receiver.ask(question())
    assert receiver.replicas.budget._tokens == pytest.approx(10 - 1 + 0.1)


async def test_waits_between_tries_are_random_up_to_a_bound_that_doubles(scripted, question):
    """From none at all: full jitter."""
    async with scripted(outcomes=["UNAVAILABLE"] * 3) as sharer, Receiver([sharer.address]) as receiver:
        await receiver.ask(question())
    assert receiver.random.longest_s == [0.2, 0.4, 0.8]


async def test_a_text_that_was_changed_on_the_way_is_asked_for_again(scripted, question):
    """Its digest says so."""
    async with scripted(outcomes=["CHANGED"]) as sharer, Receiver([sharer.address]) as receiver:
        assert await receiver.ask(question()) == sharer.address
    assert sharer.relays == 2


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", "UNAUTHENTICATED"])
async def test_what_will_not_pass_is_not_tried_again(scripted, question, status):
    """Asking again gives the same."""
    async with scripted(outcomes=[status]) as sharer, Receiver([sharer.address]) as receiver:
        with pytest.raises(KvwireError, match="as told"):
            await receiver.ask(question())
        assert sharer.relays == 1


async def test_after_four_tries_the_last_fault_is_told_with_their_number(scripted, question):
    """Not for ever."""
    async with scripted(outcomes=["RESOURCE_EXHAUSTED"] * 9) as sharer, Receiver([sharer.address]) as receiver:
        with pytest.raises(OverloadedError, match=r"as told \(after 4 tries\)"):
            await receiver.ask(question())
        assert sharer.relays == 4


async def test_an_outage_is_not_multiplied(scripted, question):
    """The first of a hundred requests tries three times more and leaves nothing for the others."""
    async with scripted(outcomes=["RESOURCE_EXHAUSTED"] * 1000) as sharer, Receiver([sharer.address]) as receiver:
        for _ in range(100):
            with pytest.raises(OverloadedError):
                await receiver.ask(question())
        assert sharer.relays == 103


async def test_the_time_that_is_left_goes_with_every_try(scripted, question):
    """As gRPC's deadline and in the request: what the caller's has left, here five seconds less each time."""
    passed_s = [0.0]

    class Slow(Random):
        def uniform(self, *_):
            passed_s[0] += 5
            return 0.0

    async with scripted(outcomes=["UNAVAILABLE"] * 2) as sharer, Receiver([sharer.address]) as receiver:
        asked = question()
        asked.task.clock = lambda: time.monotonic() + passed_s[0]
        await receiver.ask(asked, asked.task.clock() + 30, Slow())
    assert sharer.left_s == pytest.approx([30, 25, 20], abs=2)
    assert sharer.deadlines_ms == pytest.approx([30_000, 25_000, 20_000], abs=2000)


async def test_no_try_is_waited_for_that_would_come_too_late(scripted, question):
    """The fault is told at once, while there is time for something else."""

    class Patient(Random):
        def uniform(self, *_):
            return 60.0

    async with scripted(outcomes=["UNAVAILABLE"]) as sharer, Receiver([sharer.address]) as receiver:
        asked = question(within_s=30)
        begun_s = time.monotonic()
        with pytest.raises(UnavailableError):
            await receiver.ask(asked, asked.task.deadline_s, Patient())
        assert time.monotonic() - begun_s < 10
        assert sharer.relays == 1


async def test_a_request_whose_time_is_up_makes_no_call(scripted, question):
    """It is refused before the sharer is troubled."""
    async with scripted() as sharer, Receiver([sharer.address]) as receiver:
        with pytest.raises(DeadlineError, match="no time is left"):
            await receiver.ask(question(), until_s=time.monotonic() - 1)
        assert (sharer.describes, sharer.relays, receiver.tally.tries) == (0, 0, 0)


async def test_the_breaker_refuses_at_once_then_one_probe_finds_the_sharer_back(scripted, question):
    """No call is made while it is open; the metric shows it."""
    async with scripted(outcomes=["UNAVAILABLE"] * 5) as sharer, Receiver([sharer.address]) as receiver:
        [link] = receiver.replicas.links
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await receiver.ask(question())
        calls = sharer.relays
        with pytest.raises(UnavailableError, match=r"left alone after failures in a row, no call was made: .* s more"):
            await receiver.ask(question())
        assert (sharer.relays, receiver.tally.tries, _gauge(receiver)) == (calls, 0, State.OPEN)
        link.breaker._until_s = 0.0
        assert await receiver.ask(question()) == sharer.address
        assert _gauge(receiver) == State.CLOSED


async def test_a_failing_address_hands_over_to_another_without_waiting(scripted, question):
    """The first is gone, the second answers; who answered is told."""
    async with scripted() as here, Receiver(["127.0.0.1:1", here.address]) as receiver:
        assert await receiver.ask(question()) == here.address
    assert (receiver.tally.tries, receiver.tally.addresses) == (2, [here.address])
    assert receiver.random.longest_s == []


async def test_a_full_address_hands_over_too(scripted, question):
    """Somebody else may have a place."""
    async with (
        scripted(outcomes=["RESOURCE_EXHAUSTED"]) as full,
        scripted() as free,
        Receiver([full.address, free.address]) as receiver,
    ):
        assert await receiver.ask(question()) == free.address


async def test_an_address_that_closes_as_the_call_reaches_it_hands_over(scripted, question):
    """So gRPC ends such calls: as cancelled, though nobody here hung up."""
    async with (
        scripted(outcomes=["CANCELLED"]) as closing,
        scripted() as open_,
        Receiver([closing.address, open_.address]) as receiver,
    ):
        assert await receiver.ask(question()) == open_.address


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
            sample.labels["code"]: sample.value
            for family in receiver.metrics.sharer_calls.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
    assert counted == {"UNAVAILABLE": 1, "OK": 1}


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [(["localhost"], "has no port"), (["127.0.0.1:7", " 127.0.0.1:7"], "an address twice"), ([""], "has no port")],
)
def test_addresses_that_cannot_be_are_refused_at_the_start(addresses, complaint):
    """With the name of the sharer."""
    with pytest.raises(StartError, match=rf"sharer s .*{complaint}"):
        Sharers({"s": ",".join(addresses)}, ClientSecurity(), Metrics("receiver"))


def _gauge(receiver):
    [family] = receiver.metrics.sharer_breaker.collect()
    [sample] = family.samples
    return sample.value

"""A sharer that fails is called again where that may help, in time and within a budget.

The sharers are scripted, the channels between are real.
"""

import time
from random import Random

import pytest

from kvwire.balancing.breaker import State
from kvwire.errors import (
    DeadlineError,
    KvwireError,
    OverloadedError,
    UnavailableError,
)
from tests.receiver_service.asking import Receiver


class Patient(Random):
    """Would wait a minute between tries."""

    def uniform(self, *_):
        return 60.0


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
    assert receiver.random.bounds_s == [(0, 0.2), (0, 0.4), (0, 0.8)]


async def test_a_text_that_was_changed_on_the_way_is_asked_for_again(scripted, question):
    """Its digest says so."""
    async with scripted(outcomes=["CHANGED"]) as sharer, Receiver([sharer.address]) as receiver:
        assert await receiver.ask(question()) == sharer.address
    assert sharer.relays == 2


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", "UNAUTHENTICATED"])
async def test_what_will_not_pass_is_not_tried_again(scripted, question, status):
    """Asking again gives the same."""
    async with scripted(outcomes=[status]) as sharer, Receiver([sharer.address]) as receiver:
        with pytest.raises(KvwireError, match="as told") as raised:
            await receiver.ask(question())
        assert sharer.relays == 1
    assert "tries" not in str(raised.value)


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


async def test_where_a_call_has_just_broken_off_the_next_ones_first_failure_is_free(scripted, question):
    """It may have gone out on what was left of that connection; then the budget counts again."""
    async with scripted(outcomes=["UNAVAILABLE"] * 3) as sharer, Receiver([sharer.address]) as receiver:
        receiver.replicas.budget._tokens = 0.0
        with pytest.raises(UnavailableError):
            await receiver.ask(question())
        assert sharer.relays == 1
        with pytest.raises(UnavailableError):
            await receiver.ask(question(), tally=receiver.tally)
        assert sharer.relays == 3


async def test_where_a_call_was_answered_since_one_broke_off_the_next_failure_counts(scripted, question):
    """Its connection is a new one."""
    outcomes = ["UNAVAILABLE", "OK", "UNAVAILABLE"]
    async with scripted(outcomes=outcomes) as sharer, Receiver([sharer.address]) as receiver:
        await receiver.ask(question())
        await receiver.ask(question(), tally=receiver.tally)
    assert receiver.replicas.budget._tokens == pytest.approx(10 - 2 + 0.2)


async def test_a_probe_that_fails_costs_no_budget_and_is_told_as_it_failed(scripted, question):
    """One call of an address that is left alone otherwise multiplies nothing."""
    async with scripted(outcomes=["UNAVAILABLE"]) as sharer, Receiver([sharer.address]) as receiver:
        [link] = receiver.replicas.links
        link.breaker.open("it was gone")
        link.breaker._until_s = 0.0
        with pytest.raises(UnavailableError, match="as told"):
            await receiver.ask(question())
    assert receiver.replicas.budget._tokens == 10


async def test_what_a_sharer_runs_is_asked_once_within_the_time_that_is_left(scripted, question):
    """Then it is known, and takes no time."""
    async with scripted() as sharer, Receiver([sharer.address]) as receiver:
        until_s = time.monotonic() + 30
        found = await receiver.tries(question(), until_s).described()
        assert await receiver.tries(question(), until_s - 60).described() == found
    assert found.card.binding == sharer.binding
    assert (sharer.describes, sharer.relays) == (1, 0)
    assert sharer.describe_left_s == pytest.approx([30], abs=5)


async def test_time_is_left_until_the_last_moment(question):
    """And none at it."""
    asked = question()
    asked.task.clock = lambda: 100.0
    async with Receiver(["127.0.0.1:1"]) as receiver:
        assert receiver.tries(asked, 100.5).left_s() == 0.5
        assert receiver.tries(asked).left_s() is None
        with pytest.raises(DeadlineError, match="no time is left"):
            receiver.tries(asked, 100.0).left_s()


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
    async with scripted(outcomes=["UNAVAILABLE"]) as sharer, Receiver([sharer.address]) as receiver:
        asked = question(within_s=30)
        begun_s = time.monotonic()
        with pytest.raises(UnavailableError):
            await receiver.ask(asked, asked.task.deadline_s, Patient())
        assert time.monotonic() - begun_s < 10
        assert sharer.relays == 1


async def test_a_try_is_waited_for_only_if_time_is_left_after_the_wait(question):
    """Not if it would begin as the time is up."""
    asked = question()
    asked.task.clock = lambda: 100.0
    async with Receiver(["127.0.0.1:1"]) as receiver:
        fault, tried = UnavailableError("gone"), receiver.replicas.links
        assert receiver.tries(asked, 160.5, Patient())._again_in_s(fault, tried, free=False) == 60
        assert receiver.tries(asked, 160.0, Patient())._again_in_s(fault, tried, free=False) is None


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


def _gauge(receiver):
    [family] = receiver.metrics.sharer_breaker.collect()
    [sample] = family.samples
    return sample.value

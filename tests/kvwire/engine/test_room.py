"""Memory for caches in flight: never more than there is, nobody starves, all of it comes back."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.engine.room import Room
from kvwire.errors import DeadlineError, FullError, OverloadedError
from tests.clock import Clock

CEILING = 100


async def settled():
    """Every task has run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def holding(room, nbytes, owner, let_go):
    await room.take(nbytes, owner)
    await let_go.wait()
    room.release(owner)


@given(st.lists(st.tuples(st.integers(1, CEILING), st.booleans()), min_size=1, max_size=20))
def test_whatever_is_asked_and_however_it_ends_the_ceiling_holds_and_everybody_is_served(asked):
    """Some are cancelled, waiting or holding; the others all get in, in the order they came, and all comes back."""

    async def run():
        room, let_go, came = Room(CEILING), asyncio.Event(), []

        async def one(index, nbytes):
            try:
                await room.take(nbytes, index)
                came.append(index)
                assert room.taken_bytes <= CEILING
                await let_go.wait()
            finally:
                room.release(index)

        tasks = [asyncio.create_task(one(index, nbytes)) for index, (nbytes, _) in enumerate(asked)]
        await settled()
        assert room.taken_bytes <= CEILING
        for task, (_, cancelled) in zip(tasks, asked, strict=True):
            if cancelled:
                task.cancel()
        await settled()
        let_go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        stayed = [index for index, (_, cancelled) in enumerate(asked) if not cancelled]
        assert [index for index in came if index in stayed] == stayed
        assert room.taken_bytes == 0

    asyncio.run(run())


async def test_a_large_request_is_not_passed_by_small_ones_that_would_fit():
    """Or it would wait for ever."""
    room, ends = Room(CEILING), {name: asyncio.Event() for name in ("first", "large", "small")}
    for name, nbytes in (("first", 60), ("large", 80), ("small", 10)):
        ends[name + " task"] = asyncio.create_task(holding(room, nbytes, name, ends[name]))
    await settled()
    assert (room.held("first"), room.held("large"), room.held("small")) == (60, 0, 0)
    ends["first"].set()
    await settled()
    assert (room.held("large"), room.held("small")) == (80, 10)
    ends["large"].set(), ends["small"].set()
    await settled()
    assert room.taken_bytes == 0


async def test_what_could_never_fit_is_refused_at_once():
    """With both numbers and what to do."""
    room = Room(CEILING)
    with pytest.raises(OverloadedError, match="up to 101 bytes, this service has 100"):
        await room.take(101, "one")
    assert room.taken_bytes == 0


async def test_who_holds_some_does_not_wait_for_more():
    """Two of them would wait for each other; what fits they get."""
    room = Room(CEILING)
    await room.take(50, "one")
    await room.take(40, "two")
    await room.take(10, "two")
    with pytest.raises(OverloadedError, match="needs 10 bytes beside the 50 it holds, 0 are free"):
        await room.take(10, "one")
    assert room.taken_bytes == CEILING


async def test_a_deadline_ends_the_wait_and_lets_in_who_stood_behind():
    """The message says what it waited for."""
    room = Room(CEILING)
    await room.take(60, "one")
    late = asyncio.create_task(room.take(80, "late", timeout_s=0.01))
    await settled()
    behind = asyncio.create_task(room.take(40, "behind"))
    with pytest.raises(DeadlineError, match="waited for 80 bytes"):
        await late
    await asyncio.wait_for(behind, 1)
    assert room.taken_bytes == CEILING


async def held_for(room, clock, seconds):
    """Somebody holds a byte for so long."""
    await room.take(1, "somebody")
    clock.now_s += seconds
    room.release("somebody")


async def test_who_could_only_miss_its_deadline_in_the_queue_is_refused_at_once():
    """Half hold theirs for 10 s: of two who took 60 and 40 four seconds apart, 60 come free in 5 s, 40 in 9.

    Who waits already has the 60 first, for 10 s.
    """
    clock = Clock()
    room = Room(CEILING, clock)
    for seconds in (1, 10, 90):
        await held_for(room, clock, seconds)
    await room.take(60, "one")
    clock.now_s += 4
    await room.take(40, "two")
    clock.now_s += 1
    assert [room.wait_s(nbytes) for nbytes in (1, 60, 61, CEILING)] == [5, 5, 9, 9]
    first = asyncio.create_task(room.take(50, "first", timeout_s=6))
    await settled()
    assert [room.wait_s(nbytes) for nbytes in (10, 11, 50, 51, CEILING)] == [5, 9, 9, 15, 15]
    with pytest.raises(FullError, match=r"51 bytes .* in some 15\.0 s .* deadline is in 14\.0 s"):
        await room.take(51, "late", timeout_s=14)
    clock.now_s += 100  # whoever holds it longer than most may give it back any moment
    assert room.wait_s(50) == 0
    room.release("one")
    await first
    assert room.taken_bytes == 90


async def test_nobody_is_refused_before_anybody_was_seen_to_give_memory_back():
    """Any wait may be short."""
    room = Room(CEILING)
    await room.take(CEILING, "one")
    waiting = asyncio.create_task(room.take(1, "two", timeout_s=60))
    await settled()
    room.release("one")
    await waiting


async def test_one_who_is_let_in_while_it_is_cancelled_holds_nothing():
    """Both happen before its task runs again."""
    room = Room(CEILING)
    await room.take(CEILING, "one")
    waiting = asyncio.create_task(room.take(70, "two"))
    await settled()
    room.release("one")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert room.taken_bytes == 0


async def test_some_can_be_kept_and_the_rest_given_back():
    """What a way that failed took makes room for another one."""
    room = Room(CEILING)
    await room.take(30, "one")
    await room.take(60, "one")
    room.release("one", but_bytes=30)
    assert (room.held("one"), room.taken_bytes) == (30, 30)
    room.release("one")
    room.release("nobody")
    assert room.taken_bytes == 0


async def test_who_gives_memory_back_while_one_that_waits_is_cancelled_hears_nothing_of_it():
    """The wait is over before its task knows; whoever stands behind is let in."""
    room = Room(CEILING)
    await room.take(CEILING, "one")
    waiting, behind = (asyncio.create_task(room.take(CEILING, name)) for name in ("two", "three"))
    await settled()
    waiting.cancel()
    room.release("one")
    await behind
    assert waiting.cancelled()
    assert (room.held("two"), room.held("three")) == (0, CEILING)

"""An address that fails in a row is left alone, for longer each time, and one call finds out when it is back."""

from random import Random

import pytest

from kvwire.balancing.breaker import Breaker, State
from kvwire.errors import CancelledError, DataLossError, DeadlineError, OverloadedError, StalledError, UnavailableError
from tests.clock import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("sharer s", clock, Random(0))  # noqa: S311  # a seed


def fail(breaker, error=UnavailableError):
    with pytest.raises(error), breaker.judging():
        raise error("it went away")


def answer(breaker):
    with breaker.judging():
        breaker.answered()


def fail_until_open(breaker):
    for _ in range(5):
        fail(breaker)


@pytest.mark.parametrize("error", [UnavailableError, DataLossError, StalledError])
def test_five_failures_in_a_row_open_it_and_it_says_why(breaker, error):
    """Not four."""
    for _ in range(4):
        fail(breaker, error)
    assert breaker.admits
    fail(breaker, error)
    assert (breaker.state, breaker.admits) == (State.OPEN, False)
    assert breaker.why == f"{error.status}: it went away"


def test_an_answer_between_failures_starts_the_count_anew(breaker):
    """In a row means in a row."""
    for _ in range(4):
        fail(breaker)
    answer(breaker)
    for _ in range(4):
        fail(breaker)
    assert breaker.admits


def test_a_full_sharer_is_not_a_broken_one(breaker):
    """Whoever refuses is there."""
    for _ in range(20):
        fail(breaker, OverloadedError)
    assert breaker.admits


@pytest.mark.parametrize("error", [DeadlineError, CancelledError])
def test_what_the_caller_did_says_nothing_about_the_sharer(breaker, error):
    """Neither for it nor against it."""
    for _ in range(4):
        fail(breaker)
    for _ in range(20):
        fail(breaker, error)
    assert breaker.admits
    fail(breaker)
    assert not breaker.admits


def test_after_the_pause_one_call_probes_and_others_do_not(breaker, clock):
    """A herd would hurt who has just come back."""
    fail_until_open(breaker)
    clock.now_s += breaker.left_s
    assert breaker.admits
    with breaker.judging():
        assert (breaker.state, breaker.admits) == (State.PROBING, False)
        breaker.answered()
    assert (breaker.state, breaker.admits) == (State.CLOSED, True)


def test_a_probe_that_told_nothing_is_made_again(breaker, clock):
    """Its caller hung up."""
    fail_until_open(breaker)
    clock.now_s += breaker.left_s
    fail(breaker, CancelledError)
    assert (breaker.state, breaker.admits) == (State.OPEN, True)


def test_pauses_grow_with_every_probe_that_fails_and_have_a_bound(breaker, clock):
    """Half to whole of 0.5, 1, 2 seconds, then of 3."""
    fail_until_open(breaker)
    pauses_s = []
    for _ in range(7):
        pauses_s.append(breaker.left_s)
        clock.now_s += breaker.left_s
        fail(breaker)
    for pause_s, longest_s in zip(pauses_s, [0.5, 1, 2, 3, 3, 3, 3], strict=True):
        assert longest_s / 2 <= pause_s <= longest_s


def test_calls_begun_before_it_opened_do_not_lengthen_the_pause(breaker):
    """Sixteen requests in flight fail at once when a sharer dies."""
    fail_until_open(breaker)
    left_s = breaker.left_s
    for _ in range(16):
        breaker._failed(UnavailableError("it went away"))
    assert breaker.left_s == left_s


def test_two_breakers_do_not_probe_in_step():
    """Receivers that lost a sharer together come back one by one."""
    pauses_s = set()
    for seed in range(8):
        breaker = Breaker("sharer s", Clock(), Random(seed))  # noqa: S311  # a seed
        fail_until_open(breaker)
        pauses_s.add(breaker.left_s)
    assert len(pauses_s) == 8


def test_the_log_tells_when_it_opens_and_when_it_closes(breaker, clock, caplog):
    """With the address and the last failure."""
    fail_until_open(breaker)
    clock.now_s += breaker.left_s
    answer(breaker)
    assert "sharer s is left alone for" in caplog.messages[0]
    assert "UNAVAILABLE: it went away" in caplog.messages[0]
    assert caplog.messages[1] == "sharer s answers again"


def test_a_call_of_earlier_that_told_nothing_lets_no_second_probe_in(breaker, clock):
    """It ends while another call probes."""
    earlier = breaker.judging()
    earlier.__enter__()
    fail_until_open(breaker)
    clock.now_s += breaker.left_s
    with breaker.judging():
        earlier.__exit__(None, None, None)
        assert (breaker.state, breaker.admits) == (State.PROBING, False)

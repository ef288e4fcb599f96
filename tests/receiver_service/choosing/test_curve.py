"""Seconds by tokens, as they were seen lately."""

import pytest

from receiver_service.choosing.curve import LATEST, Curve


def seen(*times):
    curve = Curve()
    for tokens, seconds in times:
        curve.learn(tokens, seconds)
    return curve


def test_nothing_known_is_no_time():
    """So that what is not known is tried, and known from then on."""
    assert Curve().at(100) == 0


def test_between_lengths_that_were_seen_it_is_a_straight_line():
    """From 1 s for 100 tokens to 4 s for 400."""
    assert seen((100, 1.0), (400, 4.0)).at(250) == pytest.approx(2.5)


def test_beyond_the_longest_it_grows_with_the_tokens():
    """Twice the tokens, twice the time."""
    assert seen((100, 1.0), (400, 3.0)).at(800) == pytest.approx(6.0)


def test_a_shorter_work_than_any_seen_is_not_told_to_be_faster():
    """What a pass costs however few its tokens is in the shortest one seen."""
    assert seen((100, 1.0)).at(1) == 1.0


def test_one_slow_time_does_not_count():
    """The median of the latest does."""
    assert seen((100, 1.0), (100, 1.0), (100, 9.0)).at(100) == 1.0


def test_what_was_long_ago_is_forgotten():
    """A machine that became slower is slower."""
    assert seen(*[(100, 1.0)] * 20, *[(100, 3.0)] * LATEST).at(100) == 3.0


def test_work_on_nothing_teaches_nothing():
    """A request without a context was not read in no time."""
    assert seen((0, 5.0)).at(10) == 0


def test_work_on_one_token_teaches():
    """A short prompt."""
    assert seen((1, 2.0)).at(1) == 2.0


def test_near_are_lengths_that_differ_by_a_quarter_at_most():
    """Of others nothing is said."""
    curve = seen((100, 1.0))
    assert [curve.near(tokens) for tokens in (79, 80, 125, 126)] == [None, 1.0, 1.25, None]

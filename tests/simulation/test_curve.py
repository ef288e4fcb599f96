"""Curves are found again in the points they made, and never predict less than no time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError
from simulation.curve import Curve, fit

SIZES = (16, 32, 64, 128, 256)
seconds = st.floats(0.001, 1.0)


@given(seconds, seconds, st.floats(1e-6, 1e-3))
def test_a_curve_is_found_in_its_own_points(fixed, each, square):
    """All three terms."""
    made = Curve(fixed, each, square)
    found = fit([(size, made.at(size)) for size in SIZES])
    assert found.worst < 1e-6
    assert found.curve.at(100) == pytest.approx(made.at(100), rel=1e-6)


@given(st.lists(seconds, min_size=5, max_size=5))
def test_no_term_is_negative_whatever_was_measured(times):
    """A term that would be is left out."""
    found = fit(list(zip(SIZES, times, strict=True)))
    assert min(found.curve.fixed_s, found.curve.each_s, found.curve.square_s) >= 0
    fitted = replace(found.curve, off=())
    assert found.worst == pytest.approx(max(abs(fitted.at(n) / took - 1) for n, took in zip(SIZES, times, strict=True)))


@given(st.lists(seconds, min_size=5, max_size=5))
def test_what_was_measured_is_what_it_takes(times):
    """However uneven; and between two counts it lies between, for a straight line is off by a share of itself."""
    curve = fit(list(zip(SIZES, times, strict=True)), 1).curve
    assert [curve.at(size) for size in SIZES] == pytest.approx(times)
    assert curve.at(24) == pytest.approx((times[0] + times[1]) / 2)


def test_beyond_what_was_measured_it_stays_as_far_off():
    """Below the least count and above the largest."""
    curve = Curve(1.0, 0.0, 0.0, off=((10, 2.0), (20, 4.0)))
    assert [curve.at(count) for count in (0, 10, 15, 20, 99)] == [2, 2, 3, 4, 4]


def test_falling_times_are_a_constant():
    """The best one by relative error, which lies between them."""
    found = fit([(1, 0.3), (10, 0.2), (100, 0.1)], 2)
    assert found.curve.each_s == 0
    assert 0.1 < found.curve.fixed_s < 0.3
    assert found.curve.at(10) == pytest.approx(0.2)


def test_sequences_in_one_pass_share_what_is_fixed():
    """And each has its own square."""
    assert Curve(1.0, 0.1, 0.01).together((10, 20)) == pytest.approx(1 + 3 + 1 + 4)


def test_every_sequence_beside_one_takes_a_little():
    """Whatever it holds; one alone takes nothing of it."""
    curve = Curve(1.0, 0.1, sequence_s=0.5)
    assert curve.together((10, 10, 10)) == pytest.approx(1 + 3 + 2 * 0.5)
    assert curve.at(30) == pytest.approx(1 + 3)


@pytest.mark.parametrize("points", [[], [(1, 0.0)]])
def test_what_took_no_time_was_not_measured(points):
    """And is refused."""
    with pytest.raises(InvalidRequestError, match="measure again"):
        fit(points)

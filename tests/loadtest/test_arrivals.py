"""Schedules: drawn before a run, the same for the same seed, at the rate that was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError
from loadtest.arrivals import Load, schedule


@pytest.mark.parametrize(("arrivals", "variation"), [("poisson", 1.0), ("gamma:0.25", 2.0), ("gamma:4", 0.5)])
def test_gaps_have_the_mean_and_the_variation_of_their_kind(arrivals, variation):
    """The coefficient of variation of exponential gaps is 1, of gamma gaps 1 over the root of the shape."""
    gaps = np.diff(schedule(Load(arrivals, 50.0, 400.0, seed=1)))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.08)


def test_constant_arrivals_are_evenly_spaced():
    """The first after one gap."""
    assert schedule(Load("constant", 4.0, 1.01)) == pytest.approx((0.25, 0.5, 0.75, 1.0))


def test_a_ramp_changes_the_rate_evenly():
    """From 0 to 40 per second in 10 s: 200 requests, half of them after 7.07 s."""
    times = schedule(Load("constant", 0.0, 10.0, ramp_to_rps=40.0))
    assert len(times) == pytest.approx(200, abs=1)
    assert np.median(times) == pytest.approx(10 / 2**0.5, abs=0.05)
    down = schedule(Load("constant", 40.0, 10.0, ramp_to_rps=0.0))
    assert np.median(down) == pytest.approx(10 * (1 - 1 / 2**0.5), abs=0.05)


@given(
    kind=st.sampled_from(["poisson", "constant", "gamma:0.5"]),
    rate=st.floats(0.5, 50),
    end=st.none() | st.floats(0, 50),
    seed=st.integers(0, 99),
)
def test_a_schedule_is_ascending_within_the_run_and_repeatable(kind, rate, end, seed):
    """Whatever the rates."""
    load = Load(kind, rate, 20.0, end, seed)
    times = schedule(load)
    assert times == schedule(load)
    assert list(times) == sorted(times)
    assert 0 <= times[0] <= times[-1] < 20


def test_a_trace_is_taken_as_it_is(tmp_path):
    """As far as the run lasts."""
    file = tmp_path / "trace"
    file.write_text("0\n0.5\n0.5\n3\n")
    assert schedule(Load(f"trace:{file}", 1.0, 2.0)) == (0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load("bursts", 1, 1), "use poisson"),
        (Load("poisson:3", 1, 1), "use poisson"),
        (Load("gamma:none", 1, 1), "shape of at least"),
        (Load("gamma:1e-9", 1, 1), "shape of at least"),
        (Load("poisson", float("nan"), 1), "about nan requests"),
        (Load("poisson", float("inf"), 1), "about inf requests"),
        (Load("poisson", 1e9, 60), "lower the rate"),
        (Load("poisson", 1, float("inf")), "longer than 0 and end"),
        (Load("poisson", 1, float("nan")), "longer than 0 and end"),
        (Load("poisson", -1, 1), "must be above 0"),
        (Load("poisson", 1, 0), "longer than 0"),
        (Load("constant", 1, 0.5), "no request arrives"),
        (Load("trace:/nowhere", 1, 1), "does not read"),
    ],
)
def test_a_load_that_cannot_be_is_refused(load, said):
    """With what can."""
    with pytest.raises(InvalidRequestError, match=said):
        schedule(load)


def test_a_trace_that_falls_is_refused(tmp_path):
    """Nobody sends into the past."""
    (tmp_path / "trace").write_text("1\n0.5\n")
    with pytest.raises(InvalidRequestError, match="never fall"):
        schedule(Load(f"trace:{tmp_path / 'trace'}", 1.0, 2.0))

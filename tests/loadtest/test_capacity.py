"""The search for the rate that a service still keeps its promise at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity import Probe, capacity_rps, find_capacity


def service(limit_rps, asked, *, valid=True):
    """Keeps up to a rate, beyond which its queue grows."""

    def probe(rate_rps):
        asked.append(rate_rps)
        return Probe(rate_rps, 1.0 if rate_rps <= limit_rps else 0.5, valid)

    return probe


@given(limit=st.floats(0.05, 500), first=st.floats(0.05, 500))
def test_the_capacity_is_found_to_a_tenth_from_wherever_it_is_looked_for(limit, first):
    """It is never above what is kept, nor a tenth below, within 12 doublings of the first rate."""
    if not first / 4000 < limit < first * 4000:
        return
    asked = []
    found = capacity_rps(list(find_capacity(service(limit, asked), first)))
    assert limit / 1.1 <= found <= limit
    assert len(asked) <= 18


def test_a_service_that_keeps_nothing_has_no_capacity():
    """The search ends all the same."""
    assert capacity_rps(list(find_capacity(service(0, []), 1.0))) == 0


def test_a_late_tester_finds_nothing():
    """What it saw was itself."""
    asked = []
    probes = list(find_capacity(service(10, asked, valid=False), 1.0))
    assert capacity_rps(probes) == 0


def test_a_rate_above_a_broken_one_does_not_count():
    """Luck at a high rate is not capacity."""
    probes = [Probe(1, 1, True), Probe(2, 0.5, True), Probe(4, 1, True)]
    assert capacity_rps(probes) == pytest.approx(1)

"""Intervals and percentiles agree with independent values and stay inside their bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError
from loadtest.intervals import percentiles, wilson95


@pytest.mark.parametrize(
    ("right", "items", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_the_wilson_interval_has_its_published_values(right, items, low, high):
    """The last row is Newcombe's worked example (Statistics in Medicine 17 (1998) 857, table I)."""
    assert wilson95(right, items) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items))))
def test_the_interval_holds_the_share_and_stays_between_0_and_1(counts):
    right, items = counts
    low, high = wilson95(right, items)
    assert 0 <= low <= right / items + 1e-12
    assert right / items - 1e-12 <= high <= 1


@pytest.mark.parametrize(("right", "items"), [(0, 0), (-1, 5), (6, 5)])
def test_a_share_that_cannot_be_is_refused(right, items):
    with pytest.raises(InvalidRequestError, match="is no share"):
        wilson95(right, items)


def test_percentiles_interpolate_between_neighbours():
    found = percentiles([float(value) for value in range(100, -1, -1)])
    assert (found.p50, found.p95, found.p99) == pytest.approx((50, 95, 99))
    assert percentiles([1.0, 2.0]).p95 == pytest.approx(1.95)


def test_an_empty_sample_has_no_percentiles():
    assert percentiles([]) is None

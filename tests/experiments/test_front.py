"""Pareto fronts, and how one family stands to all others at equal bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.curves import rows_of
from experiments.fronts import bytes_of, fronts_of
from experiments.results import load_results
from experiments.statistics.bootstrap import Bootstrap
from experiments.statistics.front import pareto_front, standing

ITEMS = 60
POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12)


def beats(one, other):
    """No more bytes and no less quality, and better in one of the two."""
    return one != other and one[0] <= other[0] and one[1] >= other[1]


@given(POINTS)
def test_on_the_front_is_what_nothing_beats(points):
    """Against every pair of points, many of them equal; by rising bytes."""
    front = pareto_front([sent for sent, _ in points], [quality for _, quality in points])
    expected = {place for place, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert set(front) == expected
    assert [points[place] for place in front] == sorted(points[place] for place in front)


@given(POINTS, st.tuples(st.integers(1, 6), st.integers(0, 6)))
def test_a_point_that_is_beaten_changes_no_front(points, extra):
    """Whatever else is there."""
    if any(beats(other, extra) for other in points):
        front = pareto_front(*zip(*points, strict=True))
        assert pareto_front(*zip(*points, extra, strict=True)) == front


def qualities(*means, spread=0.1):
    """Arms whose items are all as hard as one another's: means apart, and a little noise of their own."""
    draw = np.random.default_rng(5)
    hardness = draw.normal(0, 3, ITEMS)
    return np.array([hardness + mean + spread * draw.standard_normal(ITEMS) for mean in means])


def stands(sent, uppers, others=(1, 2)):
    return standing(Bootstrap(ITEMS, seed=3), 0, others, sent, uppers, np.ones(ITEMS))


@pytest.mark.parametrize(
    ("means", "side", "decided_by"),
    [
        ((2.0, 0.0, 1.0), "above", 2),  # better than the dearer neighbour too
        ((2.0, 0.0, 3.0), "between", 2),  # better than the cheaper one only
        ((2.0, 2.0, 3.0), "not distinguishable", 1),  # as good as one that costs less
        ((2.0, 0.0, 2.0), "not distinguishable", 2),  # as good as one that costs more
        ((2.0, 3.0, 1.0), "below", 1),  # worse than one that costs less
        ((2.0, 3.0, 4.0), "below", 1),
    ],
)
def test_an_arm_is_held_against_the_cheaper_and_the_next_dearer(means, side, decided_by):
    """100 bytes between 80 and 120; items differ by thirty times what noise adds."""
    found = stands([100, 80, 120], qualities(*means))
    assert (found.side, found.other) == (side, decided_by)


def test_one_that_costs_just_as_much_is_both_cheaper_and_dearer():
    """So nothing beyond it counts."""
    sent = [100, 100, 120]
    assert stands(sent, qualities(2.0, 0.0, 3.0)).side == "above"
    assert stands(sent, qualities(2.0, 3.0, 3.0)).side == "below"


def test_where_nobody_costs_as_much_the_best_of_the_others_counts():
    """The dearest arm of all is held against every other."""
    assert stands([200, 80, 120], qualities(2.0, 0.0, 1.0)).side == "above"
    assert stands([200, 80, 120], qualities(2.0, 0.0, 3.0)).side == "below"


def test_the_cheapest_of_all_is_never_below():
    """Others may be better, but for more bytes."""
    assert stands([50, 80, 120], qualities(2.0, 3.0, 1.0)).side == "between"


def test_above_means_above_each_of_them_not_only_the_best():
    """The best is beaten for sure; one as good in the mean of noisy items is not."""
    noisy = qualities(1.5) + 8 * (-1) ** np.arange(ITEMS)
    uppers = np.vstack([qualities(2.0, 1.5), noisy])
    found = stands([100, 110, 90], uppers)
    assert (found.side, found.other) == ("not distinguishable", 2)


def test_without_others_there_is_nothing_to_say():
    """A run of one family."""
    assert stands([100], qualities(1.0), others=()) is None


def test_the_difference_is_the_paired_one():
    """Of a mean: as of the differences item by item; items the other failed on are left out."""
    uppers = qualities(2.0, 1.0, 0.0)
    uppers[1, :7] = float("nan")
    expected = Bootstrap(ITEMS, seed=3).mean(uppers[0] - uppers[1])
    found = stands([100, 110, 90], uppers, others=(1,))
    assert found[1:4] == pytest.approx(expected[:3])


def test_many_ratios_are_what_each_is_by_itself():
    """With items missing in some and none in others."""
    draw = np.random.default_rng(8)
    uppers, lower = draw.normal(1, 1, (4, ITEMS)), draw.normal(2, 0.5, ITEMS)
    uppers[2, ::5] = float("nan")
    bootstrap = Bootstrap(ITEMS, seed=1)
    for upper, *found in zip(uppers, *bootstrap.ratios(uppers, lower), strict=True):
        assert found == pytest.approx(bootstrap.ratio(upper, lower)[:3])


def test_fronts_are_of_every_family_and_of_all_by_every_quality(write_results):
    """The made-up run: fewer bits and tokens are worse; the uncompressed cache has no distance to itself."""
    results = load_results(write_results())
    rows = rows_of(results)
    fronts = {front.quality.name: front for front in fronts_of(results.datasets[0], rows, 7)}
    assert list(fronts) == ["accuracy", "net_gain", "gain_retained", "kl_nats"]
    assert list(fronts["gain_retained"].families) == ["fp32", "fp16", "int8", "int4"]
    assert list(fronts["kl_nats"].families) == ["fp16", "int8", "int4"]
    for front in fronts.values():
        sent = [place.sent for place in front.leading]
        values = [place.estimate.value for place in front.leading]
        assert sent == sorted(sent)
        assert values == sorted(values, reverse=not front.quality.higher_is_better)
        assert not any(place.row.arm.is_control for place in front.leading)
        for row in rows:
            if row.arm.codec and not row.arm.is_control and front.quality.name in row.estimates:
                better = [place for place in front.leading if place.sent <= bytes_of(row, front.quality)]
                sign = 1 if front.quality.higher_is_better else -1
                assert max(sign * place.estimate.value for place in better) >= (
                    sign * row.estimates[front.quality.name].value
                )


def test_a_family_that_is_better_at_equal_bytes_is_above_and_the_other_below(write_results):
    """int8, if fp16 is far from the uncompressed cache however many bytes it takes."""

    def spoil(record):
        if "fp16" in record["arm"] and record["result"]["kl_nats"] is not None:
            record["result"]["kl_nats"] = 2 + record["result"]["nll_nats"] / 10

    results = load_results(write_results(change=spoil))
    front = next(f for f in fronts_of(results.datasets[0], rows_of(results), 7) if f.quality.name == "kl_nats")
    whole = next(place for place in front.families["int8"] if place.row.arm.keep == 1)
    assert whole.standing.side == "above"
    assert whole.standing.difference > 0
    assert {place.standing.side for place in front.families["fp16"] if place.row.arm.keep == 1} <= {"below"}
    assert not any(place.leading for place in front.families["fp16"])

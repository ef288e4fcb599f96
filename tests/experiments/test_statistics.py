"""Statistics against independent calculations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.statistics.bootstrap import Bootstrap
from experiments.statistics.compare import compare
from experiments.statistics.gain import context_gain_retained, net_context_gain, net_gain_kept
from experiments.statistics.gap import gap_closed
from experiments.statistics.mcnemar import mcnemar

NAN = float("nan")


def pair_of(first, second, same=3):
    """Two arms: so many items only the first got right, so many only the second, some both."""
    one = np.array([True] * first + [False] * second + [True] * same)
    other = np.array([False] * first + [True] * second + [True] * same)
    return one, other


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 0), (2, 7), (6, 6), (1, 9)])
def test_mcnemar_equals_counting_every_way_the_coins_can_fall(first, second):
    """All 2^n outcomes of the items the arms differ in, those at least as uneven counted one by one."""
    total = first + second
    uneven = sum(
        abs(2 * sum(coins) - total) >= abs(first - second) for coins in itertools.product((0, 1), repeat=total)
    )
    assert mcnemar(*pair_of(first, second)) == pytest.approx(uneven / 2**total)


def test_mcnemar_does_not_overflow_on_large_sets():
    """A thousand items that differ, evenly split and not at all."""
    assert mcnemar(*pair_of(500, 500)) == 1
    assert 0 < mcnemar(*pair_of(1000, 0)) < 1e-300


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_interval():
    """400 normal numbers: mean plus and minus 1.96 standard errors."""
    values = np.random.default_rng(1).normal(2.0, 3.0, 400)
    found = Bootstrap(400, seed=5).mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)


def test_a_paired_difference_is_far_narrower_than_its_arms():
    """Items differ by 10, arms by 0.1: only pairing sees it."""
    draw = np.random.default_rng(2)
    hardness = draw.normal(0, 10, 200)
    arm, other = hardness + 0.1 + draw.normal(0, 0.1, 200), hardness
    bootstrap = Bootstrap(200, seed=1)
    difference, alone = bootstrap.mean(arm - other), bootstrap.mean(arm)
    assert difference.excludes_zero
    assert difference.high - difference.low < (alone.high - alone.low) / 50


def test_the_same_seed_gives_the_same_interval():
    """And another seed nearly the same."""
    values = np.random.default_rng(3).exponential(1, 100)
    one, same, other = (Bootstrap(100, seed).mean(values) for seed in (4, 4, 5))
    assert one == same != other
    assert other[1:3] == pytest.approx(one[1:3], abs=0.02)


def test_an_item_without_a_number_is_left_out_and_counted():
    """The estimate says of how many items it is."""
    found = Bootstrap(4, seed=0).mean(np.array([1.0, NAN, 3.0, NAN]))
    assert (found.value, found.items) == (2.0, 2)
    assert Bootstrap(1, seed=0).mean(np.array([NAN])) is None


def test_items_in_clusters_of_their_own_are_resampled_as_items_are():
    """To the last digit, whatever the clusters are called."""
    values = np.random.default_rng(6).normal(0, 1, 50)
    names = [f"article {number}" for number in range(50)]
    assert Bootstrap.of_clusters(names, seed=3).mean(values) == Bootstrap(50, seed=3).mean(values)


def test_a_cluster_counts_once_however_many_items_it_has():
    """Each of 40 numbers five times, in any order: the interval of 40, not that of 200; the mean is over items."""
    values = np.random.default_rng(7).normal(0, 1, 40)
    names = [str(number) for number in range(40)]
    clustered = Bootstrap.of_clusters(names * 5, seed=2).mean(np.tile(values, 5))
    assert clustered.items == 200
    assert clustered[:3] == pytest.approx(Bootstrap(40, seed=2).mean(values)[:3])


def test_a_mean_over_uneven_clusters_is_over_items():
    """One number in a cluster of its own, three in another."""
    assert Bootstrap.of_clusters(["a", "b", "b", "b"], seed=0).mean(np.array([4.0, 0.0, 0.0, 0.0])).value == 1


@given(st.lists(st.floats(0.0, 1.0), min_size=20, max_size=20))
def test_context_gain_is_one_for_reading_and_nothing_for_not_having_it(helped):
    """Whatever the items, as long as the context helps."""
    none = np.full(20, 5.0)
    reads = none - 1 - np.array(helped)
    bootstrap = Bootstrap(20, seed=0, resamples=200)
    assert bootstrap.ratio(*context_gain_retained(none, reads, reads))[:3] == pytest.approx((1, 1, 1))
    assert bootstrap.ratio(*context_gain_retained(none, none, reads))[:3] == pytest.approx((0, 0, 0))


def test_context_gain_is_the_quotient_of_mean_differences():
    """The table of the article texts: 139.5 without, 41.1 projected, 32.0 read: 83 % retained, 72 % net."""
    none, projected, reads, wrong_own, wrong = (np.log(np.full(24, p)) for p in (139.5, 41.1, 32.0, 135.2, 115.8))
    bootstrap = Bootstrap(24, seed=0)
    assert bootstrap.ratio(*context_gain_retained(none, projected, reads)).value == pytest.approx(0.83, abs=0.005)
    assert bootstrap.ratio(*net_context_gain(projected, wrong, reads, wrong_own)).value == pytest.approx(
        0.72, abs=0.005
    )


def test_a_failed_item_has_gained_nothing():
    """It stays in the denominator of both gains."""
    none, own, wrong_own = np.full(10, 3.0), np.full(10, 1.0), np.full(10, 3.0)
    arm, wrong = np.full(10, 1.0), np.full(10, 3.0)
    arm[:5] = NAN
    bootstrap = Bootstrap(10, seed=0)
    assert bootstrap.ratio(*context_gain_retained(none, arm, own)).value == pytest.approx(0.5)
    assert bootstrap.ratio(*net_context_gain(arm, wrong, own, wrong_own)).value == pytest.approx(0.5)


def test_what_is_kept_of_the_net_gain_is_paired_with_the_uncompressed_cache():
    """Items that gain from 0.1 to 2 nats, each 90 % of it through the arm: 90 % in every resample."""
    whole = np.linspace(1, 2.9, 50)
    kept = net_gain_kept(3 - 0.9 * (3 - whole), np.full(50, 3.0), whole, np.full(50, 3.0))
    found = Bootstrap(50, seed=0).ratio(*kept)
    assert found[:3] == pytest.approx((0.9, 0.9, 0.9))


def test_the_gap_closed_is_the_quotient_of_differences_in_accuracy():
    """28 without, 34 through the arm, 39 read, of 100: 6 of 11."""
    none, arm, reads = ((np.arange(100) < right).astype(float) for right in (28, 34, 39))
    found = Bootstrap(100, seed=0).ratio(*gap_closed(none, arm, reads))
    assert found.value == pytest.approx(6 / 11)
    assert found.low > 0


def test_there_is_no_gap_to_close_where_reading_does_not_help():
    """30 right without and 31 with the context, of other items: noise."""
    none, reads = (np.roll(np.arange(100) < right, shift).astype(float) for right, shift in ((30, 0), (31, 50)))
    assert Bootstrap(100, seed=0).ratio(*gap_closed(none, none, reads)) is None


def test_there_is_no_gain_to_retain_where_reading_does_not_help():
    """A quotient of two noises is no number."""
    noise = np.random.default_rng(0).normal(0, 1, 50)
    assert Bootstrap(50, seed=0).ratio(*context_gain_retained(noise, noise * 0.5, np.zeros(50))) is None


@pytest.mark.parametrize(
    ("arm", "other", "higher", "verdict"),
    [
        ([0.0, 0.1] * 20, [0.1, 0.0] * 20, True, "not distinguishable"),
        ([1.0] * 40, [0.5, 0.6] * 20, True, "better"),
        ([1.0] * 40, [0.5, 0.6] * 20, False, "worse"),
        ([0.4] * 40, [0.5, 0.6] * 20, False, "better"),
    ],
)
def test_the_words_follow_the_interval(arm, other, higher, verdict):
    """An interval with 0 in it cannot tell the arms apart; else the direction of the metric decides."""
    found = compare(Bootstrap(40, seed=0), np.array(arm), np.array(other), binary=False, higher_is_better=higher)
    assert (found.verdict, found.p) == (verdict, None)


@pytest.mark.parametrize(("first", "second", "verdict"), [(8, 3, "not distinguishable"), (12, 1, "better")])
def test_right_and_wrong_are_told_apart_by_mcnemar(first, second, verdict):
    """8 to 3 has p 0.23, 12 to 1 has 0.003."""
    one, other = (arm.astype(float) for arm in pair_of(first, second, same=10))
    found = compare(Bootstrap(len(one), seed=0), one, other, binary=True, higher_is_better=True)
    assert found.verdict == verdict
    assert found.p == pytest.approx({8: 0.2266, 12: 0.0034}[first], abs=1e-4)

"""The smallest effect that could have been seen."""

from statistics import NormalDist

import numpy as np
import pytest

from experiments.statistics.bootstrap import Bootstrap
from experiments.statistics.compare import compare
from experiments.statistics.mcnemar import mcnemar
from experiments.statistics.power import detectable, detectable_share


def test_it_is_two_point_eight_standard_errors():
    """Bloom's factor for a two-sided test at 5 % with 80 % power."""
    assert detectable(1.0) == pytest.approx(2.80, abs=0.002)
    assert detectable(0.25) == pytest.approx(detectable(1.0) / 4)


@pytest.mark.parametrize("standard_error", [0.01, 1.0, 30.0])
def test_a_normal_test_finds_it_in_eighty_of_a_hundred_experiments(standard_error):
    """The share of estimates around it that are 1.96 standard errors or more from 0."""
    around = NormalDist(detectable(standard_error), standard_error)
    limit = 1.959964 * standard_error
    assert 1 - around.cdf(limit) + around.cdf(-limit) == pytest.approx(0.8, abs=1e-4)


def test_the_report_s_own_comparison_finds_it_as_often():
    """300 experiments of 60 items whose true difference is the detectable one: 80 %, with a standard error of 2.3."""
    draw, bootstrap = np.random.default_rng(11), Bootstrap(60, seed=2, resamples=2000)
    true = detectable(1 / 60**0.5)
    experiments = draw.normal(true, 1, (300, 60))
    verdicts = [compare(bootstrap, each, np.zeros(60), binary=False, higher_is_better=True) for each in experiments]
    assert np.mean([found.verdict == "better" for found in verdicts]) == pytest.approx(0.8, abs=0.07)
    assert np.mean([found.detectable for found in verdicts]) == pytest.approx(true, rel=0.03)


def test_right_and_wrong_need_six_items_that_differ():
    """Six on one side have p below 0.05, five have not; so no fewer could ever show anything."""
    for differing, p_is_low in ((5, False), (6, True)):
        one = np.arange(50) < differing
        assert (mcnemar(one, np.zeros(50, dtype=bool)) < 0.05) == p_is_low
    assert detectable_share(0.0, 50) == 6 / 50
    assert detectable_share(0.1, 50) == detectable(0.1)


def test_no_difference_of_shares_is_larger_than_one():
    """Three items could have shown nothing at all."""
    assert detectable_share(0.5, 3) == 1


def test_pairing_makes_smaller_effects_detectable():
    """Items differ by 10, arms by noise of 0.1."""
    draw = np.random.default_rng(4)
    hardness = draw.normal(0, 10, 200)
    arm, other = (hardness + draw.normal(0, 0.1, 200) for _ in range(2))
    found = compare(Bootstrap(200, seed=1), arm, other, binary=False, higher_is_better=True)
    assert found.detectable == pytest.approx(detectable(0.1 * 2**0.5 / 200**0.5), rel=0.1)


def test_the_standard_error_is_that_of_a_mean_over_what_is_known():
    """400 normal numbers, and as many without one."""
    values = np.full(800, np.nan)
    values[::2] = np.random.default_rng(1).normal(2.0, 3.0, 400)
    expected = np.nanstd(values) / 400**0.5
    assert Bootstrap(800, seed=5).standard_error(values) == pytest.approx(expected)


def test_the_standard_error_is_the_spread_of_the_resamples():
    """Uneven documents, of one to four items that are alike."""
    draw = np.random.default_rng(9)
    names = [str(number) for number in range(120) for _ in range(1 + number % 4)]
    values = np.array([draw.normal(int(name) % 7, 0.5) for name in names])
    bootstrap = Bootstrap.of_clusters(names, seed=3)
    low, high = bootstrap.mean(values)[1:3]
    assert bootstrap.standard_error(values) == pytest.approx((high - low) / 2 / 1.96, rel=0.05)


def test_a_document_counts_once_in_the_standard_error():
    """Each of 40 numbers five times, in five items of one document."""
    values = np.random.default_rng(7).normal(0, 1, 40)
    clustered = Bootstrap.of_clusters([str(number) for number in range(40)] * 5, seed=2)
    assert clustered.standard_error(np.tile(values, 5)) == pytest.approx(Bootstrap(40, seed=2).standard_error(values))

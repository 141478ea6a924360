"""Intervals and tests against other libraries, worked examples and simulated studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from helpers.analysis import intervals
from helpers.analysis.intervals import Difference
from tests.benchmarks import interval_coverage as simulated

differences = st.builds(
    Difference,
    estimate=st.just(0.0),
    centre=st.floats(-50, 50),
    variance=st.floats(0.1, 400),
    share=st.floats(0, 1),
    seeds=st.integers(1, 6),
    problems=st.just(100),
)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_statsmodels(pair):
    successes, n = pair
    assert intervals.wilson(successes, n) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-9
    )


def test_wilson_takes_arrays():
    low, high = intervals.wilson(np.array([0, 5, 10]), 10)
    assert (low[0], high[2], low[1]) == pytest.approx((0, 1, 1 - high[1]))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8))
def test_mcnemar_agrees_with_statsmodels(pairs):
    first, second = np.array(pairs).T
    expected = [mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1 for b, c in pairs]
    assert intervals.mcnemar(first, second) == pytest.approx(expected)
    assert intervals.mcnemar(5, 1) == pytest.approx(binomtest(1, 6).pvalue)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=25))
def test_holm_agrees_with_statsmodels(p_values):
    assert intervals.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_pass_at_k_is_a_mean_over_all_choices():
    # 5 samples, 2 right: of the 10 pairs, 3 have no right one.
    assert intervals.pass_at_k([5, 5, 5], [2, 0, 5], 2) == pytest.approx([0.7, 0, 1])
    with pytest.raises(ValueError, match=r"pass@6 needs 6 samples .* only 5"):
        intervals.pass_at_k([5, 8], [2, 2], 6)


def test_one_seed_agrees_with_the_normal_interval_of_a_paired_difference():
    rng = np.random.default_rng(1)
    a, b = rng.random((1, 2000)) < 0.6, rng.random((1, 2000)) < 0.5
    d = intervals.paired_difference(a, b)
    values = 100 * (a[0].astype(int) - b[0].astype(int))
    error = values.std(ddof=1) / np.sqrt(2000)
    assert d.estimate == pytest.approx(values.mean())
    assert d.standard_error == pytest.approx(error, rel=1e-3)
    assert d.interval() == pytest.approx(norm.interval(0.95, values.mean(), error), abs=0.02)
    assert d.p_value() == pytest.approx(2 * norm.sf(abs(values.mean()) / error), rel=0.3)


def test_the_variance_is_that_of_a_two_way_analysis_of_variance():
    """statsmodels' table of the same layout, with its mean squares combined by hand."""
    rng, seeds, problems = np.random.default_rng(3), 4, 60
    values = (
        rng.normal(0, 0.1, (seeds, 1)) + rng.normal(0, 0.4, problems) + rng.normal(0, 0.3, (seeds, problems))
    )
    rows = [(s, p, values[s, p]) for s in range(seeds) for p in range(problems)]
    table = anova_lm(ols("y ~ C(s) + C(p)", pd.DataFrame(rows, columns=["s", "p", "y"])).fit())
    by_seed, by_problem, rest = table["sum_sq"] / table["df"]
    between, kept = intervals.variance_of_mean(values)
    assert between == pytest.approx(by_seed / values.size)
    assert kept == pytest.approx((by_problem - rest) / values.size)


def test_many_seeds_have_the_cluster_robust_variance():
    """Of Cameron, Gelbach and Miller (2011), which loses a part of the problems' with few seeds."""
    rng, seeds, problems = np.random.default_rng(5), 200, 300
    values = (
        rng.normal(0, 0.1, (seeds, 1)) + rng.normal(0, 0.2, problems) + rng.normal(0, 0.3, (seeds, problems))
    )
    off = values - values.mean()
    sums = (off.sum(axis=1) ** 2).sum() + (off.sum(axis=0) ** 2).sum() - (off**2).sum()
    between, kept = intervals.variance_of_mean(values)
    assert between + kept == pytest.approx(sums / values.size**2, rel=0.01)


def test_seeds_that_differ_alone_give_the_interval_of_t():
    a = np.repeat(np.array([[0.2], [0.5], [0.6], [0.9]]), 5000, axis=1)
    d = intervals.paired_difference(a, np.zeros((1, 5000)))
    seeds = 100 * a[:, 0]
    expected = t.interval(0.95, 3, seeds.mean(), seeds.std(ddof=1) / 2)
    assert d.interval() == pytest.approx(expected, abs=0.1)


@given(differences, st.floats(-50, 50), st.floats(0.01, 0.99))
def test_p_values_and_intervals_say_the_same(d, null, level):
    low, high = d.interval(level)
    p = d.p_value(null)
    assert abs(p - (1 - level)) < 1e-6 or (p > 1 - level) == (low < null < high)


@given(differences, st.floats(0.1, 20))
def test_equivalence_is_the_90_percent_interval_within_the_margin(d, margin):
    low, high = d.interval(0.9)
    p = d.equivalence_p(margin)
    assert abs(p - 0.05) < 1e-6 or (p < 0.05) == (-margin < low and high < margin)


def test_accuracy_interval_has_width_where_nothing_was_solved():
    nothing = np.zeros((3, 100), int)
    low, high = intervals.accuracy_interval(nothing)
    assert low < 1e-9 and 2 < high < 5


def test_one_greedy_seed_has_wilsons_interval():
    correct = (np.arange(120) % 3 == 0)[None].astype(int)
    expected = 100 * np.array(proportion_confint(40, 120, method="wilson"))
    assert intervals.accuracy_interval(correct) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [1, 3])
def test_simulated_intervals_cover_the_truth(seeds):
    """A small part of `interval_coverage.py`: by chance 300 studies are 4 points off once in 700."""
    covered = simulated.coverage((0.75, 0.55), seeds, 100, 300)
    assert covered["95%"] == pytest.approx(0.95, abs=0.04)
    assert simulated.accuracy_coverage(0.75, seeds, 100, 300) == pytest.approx(0.95, abs=0.04)


def test_simulated_tests_are_seldom_wrong():
    """Of 100 studies 12 or more are wrong by chance once in 250, if one in 20 is."""
    assert simulated.false_positives(3, 100, 100) < 0.12
    assert simulated.false_equivalences(3, 500, 100) < 0.12


@pytest.mark.slow  # minutes: 30,000 studies
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", simulated.SEEDS)
@pytest.mark.parametrize("problems", simulated.SIZES)
def test_intervals_cover_within_a_point_and_a_half_of_nominal(seeds, problems):
    for pair in simulated.PAIRS.values():
        assert simulated.coverage(pair, seeds, problems, 10_000)["95%"] == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow  # minutes: 10,000 studies of 20 arms
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [1, 3])
def test_tests_are_wrong_in_one_study_of_twenty_at_most(seeds):
    assert simulated.false_positives(seeds, 500, 10_000) <= 0.05
    assert simulated.false_equivalences(seeds, 500, 10_000) <= 0.05
    assert simulated.power(seeds, 500, 10_000) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("level", [0.95, 0.9])
def test_normal_data_with_three_seeds_are_covered_within_a_point(level):
    least, greatest = simulated.normal_theory(3, level)
    assert level - 0.01 < least and greatest < level + 0.01

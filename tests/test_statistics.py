"""Intervals against other libraries, the bootstrap against simulation, tables against scores on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from helpers import statistics
from helpers.traces import write_table

PAPER = Path(statistics.__file__).with_name("paper_tables.json")
LEVELS = {"base": 0.25, "correct": 0.75, "digits-50": 0.7, "shuffle-100": 0.4}


def write_scores(out: Path, levels: dict[str, float], seeds: int = 2, problems: int = 120) -> None:
    """Synthetic scores on two benchmarks; easy problems are easy for every condition."""
    rng = np.random.default_rng(7)
    ease = {b: rng.uniform(-0.2, 0.2, problems) for b in ("countdown", "countdown-hard")}
    for condition, level in levels.items():
        for seed in range(1 if condition == "base" else seeds):
            rows = []
            for benchmark, shift in ease.items():
                solved = rng.random(problems) < level + shift
                for i, ok in enumerate(solved):
                    rows.append(
                        {
                            "condition": condition,
                            "seed": seed,
                            "benchmark": benchmark,
                            "problem_id": f"{benchmark}-{i}",
                            "correct": bool(ok),
                            "status": "ok" if ok else "wrong",
                            "finished": bool(ok or i % 2),
                            "tokens": 100 + i,
                            "keywords": i % 5,
                        }
                    )
            write_table(pa.Table.from_pylist(rows), out / "scores" / f"{condition}.s{seed}.parquet")


def read(out: Path, levels: dict[str, float] = LEVELS, seeds: int = 2) -> pd.DataFrame:
    return statistics.read_scores(out, list(levels), list(range(seeds)), ["countdown", "countdown-hard"])[0]


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_statsmodels(pair):
    successes, n = pair
    assert statistics.wilson(successes, n) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-9
    )


def test_one_seed_agrees_with_the_normal_interval_of_a_paired_difference():
    rng = np.random.default_rng(1)
    a, b = rng.random((1, 2000)) < 0.6, rng.random((1, 2000)) < 0.5
    d = statistics.paired_difference(a, b, 4000, np.random.default_rng(2))
    values = 100 * (a[0].astype(int) - b[0].astype(int))
    error = values.std(ddof=1) / np.sqrt(2000)
    assert d.estimate == pytest.approx(values.mean())
    assert d.standard_error == pytest.approx(error, rel=0.05)
    assert (d.low, d.high) == pytest.approx(norm.interval(0.95, values.mean(), error), abs=0.25)
    assert d.low < d.low90 < d.estimate < d.high90 < d.high


def test_variance_between_seeds_is_unbiased():
    # Seeds differ and problems don't: the standard error is that of a mean of the seeds' values.
    a = np.repeat(np.array([[0.2], [0.5], [0.6], [0.9]]), 50, axis=1)
    d = statistics.paired_difference(a, np.zeros((1, 50)), 20000, np.random.default_rng(3))
    assert d.standard_error == pytest.approx(100 * a[:, 0].std(ddof=1) / 2, rel=0.03)


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_as_often_as_they_say(seeds):
    rng, hits, runs, problems = np.random.default_rng(4), 0, 250, 200
    for _ in range(runs):
        ease = rng.uniform(0.2, 0.8, problems)
        a = rng.random((seeds, problems)) < ease + 0.1
        b = rng.random((seeds, problems)) < ease - 0.1
        d = statistics.paired_difference(a, b, 300, rng)
        hits += d.low <= 20 <= d.high
    assert 0.91 <= hits / runs <= 1.0


def test_the_minimum_detectable_difference_is_found_four_times_in_five():
    rng, error = np.random.default_rng(5), 2.0
    estimates = rng.normal(statistics.minimum_detectable(error), error, 20000)
    assert np.mean(np.abs(estimates) > 1.96 * error) == pytest.approx(0.8, abs=0.01)


@given(st.floats(-50, 50), st.floats(0, 20), st.floats(0.1, 20))
def test_equivalence_is_two_one_sided_tests(estimate, error, margin):
    z = norm.ppf(0.95)
    interval = (estimate - z * error, estimate + z * error)
    both = estimate + margin > z * error and margin - estimate > z * error
    near = min(abs(abs(estimate) + z * error - margin), 1) < 1e-9
    assert near or statistics.equivalent(interval, margin) == both


def test_accuracy_interval_has_width_where_nothing_was_solved():
    low, high = statistics.accuracy_interval(np.zeros((3, 100), int), 200, np.random.default_rng(6))
    assert low < 1e-9 and 2 < high < 5


def test_base_is_paired_with_every_seed(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores = read(tmp_path)
    d = statistics.contrast(scores, {"correct": 1, "base": -1}, "countdown", 500)
    means = scores[scores.benchmark == "countdown"].groupby("condition").correct.mean() * 100
    assert d.estimate == pytest.approx(means["correct"] - means["base"])
    assert d.low > 30


def test_tables_do_not_depend_on_what_else_is_compared(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores, few = read(tmp_path), read(tmp_path, {"shuffle-100": 0, "correct": 0})
    for table, key in (
        (statistics.grid, "shuffle-100"),
        (lambda s, r: statistics.differences(s, 5, r), "shuffle-100"),
    ):
        everything, alone = table(scores, 300), table(few, 300)
        pick = [t[t.condition == key].reset_index(drop=True) for t in (everything, alone)]
        pd.testing.assert_frame_equal(*pick)


def test_grid_and_csv(tmp_path):
    write_scores(tmp_path, LEVELS)
    paper = statistics.paper_cells(PAPER)
    table = statistics.grid(read(tmp_path), 300, paper)
    assert len(table) == 8 and ((table.low < table.accuracy) & (table.accuracy < table.high)).all()
    row = table[(table.condition == "shuffle-100") & (table.benchmark == "countdown")].iloc[0]
    assert (row.seeds, row.problems, row.tokens, row.keywords) == (2, 120, 159.5, 2.0)
    for name in ("a.csv", "b.csv"):
        statistics.write_csv(statistics.grid(read(tmp_path), 300, paper), tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert b"-0.00" not in (tmp_path / "a.csv").read_bytes()


def test_the_papers_cells():
    paper = statistics.paper_cells(PAPER)
    assert paper.accuracy["base"] == pytest.approx(54.15, abs=0.01)
    assert paper.difference["wrong"] == pytest.approx(-3.25, abs=0.01)
    assert paper.standard_error["correct"] == pytest.approx(2.8, abs=0.1)
    assert len(paper) == 19 and paper.difference["correct"] == 0


def test_missing_and_damaged_scores_are_named(tmp_path):
    with pytest.raises(ValueError, match="04_evaluation"):
        read(tmp_path)
    write_scores(tmp_path, LEVELS)
    names = statistics.read_scores(tmp_path, ["base", "correct", "delete-67"], [0, 5], ["countdown"])[1]
    assert names == ["correct.s5", "delete-67.s0", "delete-67.s5"]
    with pytest.raises(ValueError, match="'countdwon', only on countdown"):
        statistics.read_scores(tmp_path, ["base"], [0], ["countdwon"])
    (tmp_path / "scores" / "base.s0.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(ValueError, match=r"base\.s0\.parquet is not a complete"):
        read(tmp_path)


def test_other_problems_are_refused(tmp_path):
    write_scores(tmp_path, {"correct": 0.7}, problems=120)
    write_scores(tmp_path, {"base": 0.2}, problems=100)
    with pytest.raises(ValueError, match="other countdown problems"):
        statistics.contrast(read(tmp_path), {"correct": 1, "base": -1}, "countdown", 100)
    write_scores(tmp_path, {"correct": 0.7}, seeds=1, problems=100)
    with pytest.raises(ValueError, match="seeds of correct have different"):
        statistics.answers(read(tmp_path), "correct", "countdown")

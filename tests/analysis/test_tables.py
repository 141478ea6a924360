"""Tables against scores on disk: what is read, paired, refused, and written twice alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from helpers.analysis import claims, intervals, report, tables
from helpers.analysis.paper import paper_cells, paper_lengths
from helpers.data.traces import Trace, write_table, write_traces
from helpers.perturbations.arm_files import write_arm
from helpers.perturbations.arms import perturb
from helpers.perturbations.metrics import metrics

PAPER = Path(intervals.__file__).with_name("paper_tables.json")
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


BENCHMARKS = ["countdown", "countdown-hard"]


def read(out: Path, levels: dict[str, float] = LEVELS, seeds: int = 2) -> pd.DataFrame:
    return tables.read_scores(out, list(levels), list(range(seeds)), BENCHMARKS)[0]


def test_base_is_paired_with_every_seed(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores = read(tmp_path)
    d = tables.contrast(tables.solved(scores)["countdown"], {"correct": 1, "base": -1})
    means = scores[scores.benchmark == "countdown"].groupby("condition").correct.mean() * 100
    assert d.estimate == pytest.approx(means["correct"] - means["base"])
    assert d.seeds == 2 and d.problems == 120


def test_conditions_with_more_seeds_are_compared_over_those_in_common(tmp_path):
    write_scores(tmp_path, LEVELS, seeds=5)
    more = {"correct": [2, 3, 4], "digits-50": [2, 4]}
    scores, missing = tables.read_scores(tmp_path, list(LEVELS), [0, 1], BENCHMARKS, more)
    assert not missing and scores.groupby("condition").seed.nunique().to_dict() == {
        "base": 1,
        "correct": 5,
        "digits-50": 4,
        "shuffle-100": 2,
    }
    solved = tables.solved(scores)
    assert tables.seed_counts(tables.grid(scores, solved), "countdown") == (
        2,
        {5: ["correct"], 4: ["digits-50"]},
    )
    found = tables.differences(solved, 5).set_index(["benchmark", "condition"]).loc["countdown"]
    assert found.seeds.to_dict() == {"base": 5, "digits-50": 4, "shuffle-100": 2}
    few = tables.differences(tables.solved(read(tmp_path)), 5).set_index(["benchmark", "condition"])
    numbers = ["difference", "low", "high", "minimum_detectable"]
    pd.testing.assert_series_equal(
        found.loc["shuffle-100", numbers], few.loc["countdown"].loc["shuffle-100", numbers]
    )
    means = scores[(scores.benchmark == "countdown") & scores.seed.isin([0, 1, 2, 4])].groupby("condition")
    share = 100 * means.correct.mean()
    assert found.difference["digits-50"] == pytest.approx(share["digits-50"] - share["correct"], abs=0.006)


def test_a_contrast_is_the_difference_of_the_same_answers(tmp_path):
    write_scores(tmp_path, LEVELS, seeds=3)
    solved = tables.solved(read(tmp_path, seeds=3))["countdown"]
    a, b = (solved[c].to_numpy() for c in ("shuffle-100", "correct"))
    alone = intervals.paired_difference(a, b)
    d = tables.contrast(solved, {"shuffle-100": 1, "correct": -1})
    assert d.interval() == pytest.approx(alone.interval()) and d.share == pytest.approx(alone.share)


def test_tables_do_not_depend_on_what_else_is_compared(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores, few = read(tmp_path), read(tmp_path, {"shuffle-100": 0, "correct": 0})
    for make in (tables.grid, lambda s, solved: tables.differences(solved, 5).drop(columns="p_holm")):
        everything, alone = (make(s, tables.solved(s)) for s in (scores, few))
        pick = [t[t.condition == "shuffle-100"].reset_index(drop=True) for t in (everything, alone)]
        pd.testing.assert_frame_equal(*pick)


def test_one_greedy_seed_is_tested_exactly(tmp_path):
    write_scores(tmp_path, LEVELS, seeds=1)
    solved = tables.solved(read(tmp_path, seeds=1))
    table = tables.differences(solved, 5)
    here = solved["countdown-hard"]
    a, b = here["digits-50"].to_numpy(), here["correct"].to_numpy()
    row = table[(table.condition == "digits-50") & (table.benchmark == "countdown-hard")].iloc[0]
    assert row.p == pytest.approx(binomtest(int((a > b).sum()), int((a != b).sum())).pvalue, abs=1e-4)
    part = table[table.benchmark == "countdown-hard"]
    assert part.p_holm.to_numpy() == pytest.approx(multipletests(part.p, method="holm")[1], abs=3e-4)
    assert (table.equivalent == ((table.low90 > -5) & (table.high90 < 5))).all()


def test_the_fitted_line_has_the_slope_of_least_squares(tmp_path):
    write_scores(tmp_path, LEVELS)
    solved = tables.solved(read(tmp_path))["countdown"]
    consistency = pd.Series({"correct": 1.0, "digits-50": 0.9, "shuffle-100": 0.1, "delete-100": np.nan})
    line = tables.fitted_line(solved, consistency)
    known = consistency.dropna()
    accuracy = [100 * solved[c].to_numpy().mean() for c in known.index]
    expected = np.polyfit(known, accuracy, 1)
    assert line.fit.to_numpy() == pytest.approx(np.polyval(expected, line["at"]))
    weights = claims.weights({"rule": "rises", "left": list(known.index)}, known)
    assert tables.contrast(solved, weights).estimate == pytest.approx(expected[0])
    assert tables.fitted_line(solved, consistency[:2]).empty


def test_grid_and_csv(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores, paper = read(tmp_path), paper_cells(PAPER)
    table = tables.grid(scores, tables.solved(scores), paper)
    assert len(table) == 8 and ((table.low < table.accuracy) & (table.accuracy < table.high)).all()
    row = table[(table.condition == "shuffle-100") & (table.benchmark == "countdown")].iloc[0]
    assert (row.seeds, row.problems, row.tokens, row.keywords) == (2, 120, 159.5, 2.0)
    for name in ("a.csv", "b.csv"):
        tables.write_csv(tables.grid(scores, tables.solved(scores), paper), tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert b"-0.0," not in (tmp_path / "a.csv").read_bytes()
    pd.testing.assert_frame_equal(tables.read_csv(tmp_path / "a.csv"), table, check_dtype=False)


def test_samples_of_a_problem_are_averaged_and_passed_at_k(tmp_path):
    rows = [
        {"condition": "correct", "seed": 0, "benchmark": "b", "problem_id": p, "sample": s}
        | {"correct": s < right, "finished": True, "tokens": 1, "keywords": 0}
        for p, right in {"x": 1, "y": 4}.items()
        for s in range(4)
    ]
    write_table(pa.Table.from_pylist(rows), tmp_path / "scores" / "correct.s0.parquet")
    scores, _ = tables.read_scores(tmp_path, ["correct"], [0], ["b"])
    assert tables.answers(scores, "correct", "b").loc[0].to_dict() == {"x": 0.25, "y": 1.0}
    passed = tables.pass_at_k(scores).iloc[0]
    assert (passed["pass@1"], passed["pass@2"], passed["pass@4"]) == (62.5, 75.0, 100.0)


def test_the_papers_cells():
    paper = paper_cells(PAPER)
    assert paper.accuracy["base"] == pytest.approx(54.15, abs=0.01)
    assert paper.difference["wrong"] == pytest.approx(-3.25, abs=0.01)
    assert paper.standard_error["correct"] == pytest.approx(2.8, abs=0.1)
    assert paper.difference["correct"] == 0 and paper.accuracy["short"] == pytest.approx(43.775)
    assert paper.accuracy["QwQ 17k SFT"] == pytest.approx((87.8 + 33.3 + 70.0 + 56.7) / 4)
    assert np.isnan(paper.difference["QwQ 17k SFT"])


def test_the_papers_lengths_are_multiples_of_correct():
    lengths = paper_lengths(PAPER)
    assert (lengths.loc["correct"] == 1).all()
    expected = (5613 + 8661 + 12167 + 18054) / (3551 + 4838 + 7234 + 13088)
    assert lengths.tokens["shuffle-100"] == pytest.approx(expected)
    assert lengths.tokens["short"] == pytest.approx((515 + 605 + 948 + 687) / (3972 + 5037 + 8616 + 15902))


def test_missing_and_damaged_scores_are_named(tmp_path):
    with pytest.raises(ValueError, match="04_evaluation"):
        read(tmp_path)
    write_scores(tmp_path, LEVELS)
    names = tables.read_scores(tmp_path, ["base", "correct", "delete-67"], [0, 5], ["countdown"])[1]
    assert names == ["correct.s5", "delete-67.s0", "delete-67.s5"]
    with pytest.raises(ValueError, match="'countdwon', only on countdown"):
        tables.read_scores(tmp_path, ["base"], [0], ["countdwon"])
    (tmp_path / "scores" / "base.s0.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(ValueError, match=r"base\.s0\.parquet is not a complete"):
        read(tmp_path)


def test_scores_in_one_file_are_the_same_scores(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores = read(tmp_path)
    write_table(pa.Table.from_pandas(scores, preserve_index=False), tmp_path / "kept" / "scores.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "kept"), scores)


def test_other_problems_are_refused(tmp_path):
    write_scores(tmp_path, {"correct": 0.7}, problems=120)
    write_scores(tmp_path, {"base": 0.2}, problems=100)
    with pytest.raises(ValueError, match="other countdown problems"):
        tables.solved(read(tmp_path))
    write_scores(tmp_path, {"correct": 0.7}, seeds=1, problems=100)
    with pytest.raises(ValueError, match="seeds of correct have different"):
        tables.answers(read(tmp_path), "correct", "countdown")


def test_extracts_come_from_the_run_or_from_what_was_kept(tmp_path):
    pool = [
        Trace(f"t {i}", "p", tuple(f"{i} step {k}." for k in range(5 + i)), "s", "1", "puzzles")
        for i in range(4)
    ]
    for arm in ("correct", "insert-67", "delete-100"):
        made = [perturb(t, arm, 0, pool) for t in pool]
        write_arm(made, tmp_path / "arms" / f"{arm}.s0.parquet")
        found = report.trace_consistencies(tmp_path / "arms" / f"{arm}.s0.parquet")
        expected = [metrics(p.trace.steps, p.steps)["consistency"] for p in made]
        assert found == pytest.approx(expected, nan_ok=True)
    log = {"loss": [{"step": k, "loss": 1 / k} for k in range(1, 101)]}
    folder = tmp_path / "adapters" / "correct.s0"
    folder.mkdir(parents=True)
    (folder / "training.json").write_text(json.dumps(log))
    write_traces(pool, tmp_path / "traces" / "correct.parquet")
    names = ["correct", "insert-67", "delete-100", "short"]
    arms = report.consistencies(tmp_path, names, [0, 1])
    assert arms.condition.tolist() == names[:3] and np.isnan(arms.consistency[2])
    curves = report.training_curves(tmp_path, names, [0])
    assert len(curves) == report.POINTS and curves.step.iloc[-1] > 98
    assert report.training_curves(tmp_path, names, [1], {"correct": [0]}).equals(curves)
    trace = report.example_trace(tmp_path)
    assert len(trace.steps) == 7
    kept = tmp_path / "kept" / "results"
    tables.write_csv(arms, kept / "arms.csv")
    tables.write_csv(curves, kept / "training.csv")
    write_traces([trace], kept / "trace.parquet")
    again = report.consistencies(kept.parent, names, [0, 1])
    assert again.consistency.round(4).equals(arms.consistency.round(4))
    assert len(report.training_curves(kept.parent, names, [0])) == len(curves)
    assert report.example_trace(kept.parent) == trace
    assert report.consistencies(tmp_path / "nothing", names, [0]).empty


def test_runs_are_read_from_outputs_or_else_from_what_is_kept(tmp_path):
    kept = tmp_path / "reference" / "far"
    write_scores(tmp_path / "near", LEVELS, seeds=1)
    write_scores(tmp_path / "old", LEVELS, seeds=2)
    old = [tables.scores_of(path) for path in sorted((tmp_path / "old" / "scores").glob("*"))]
    write_table(pa.Table.from_pandas(pd.concat(old), preserve_index=False), kept / "scores.parquet")
    shutil.copytree(kept, tmp_path / "reference" / "near")
    (tmp_path / "begun" / "scores").mkdir(parents=True)
    found = tables.scores_of_runs(tmp_path, ["far", "near", "begun", "none"], ["countdown"])
    assert {name: len(table) for name, table in found.items()} == {"far": 7 * 120, "near": 4 * 120}
    assert not tables.scores_of_runs(tmp_path, ["near"], ["another"])


def test_conditions_with_other_problems_are_not_compared(tmp_path):
    write_scores(tmp_path, LEVELS)
    here = tables.solved(read(tmp_path))["countdown"]
    there = here["correct"].rename(columns=lambda name: f"other-{name}")
    with pytest.raises(ValueError, match="base, correct were not evaluated on the same problems"):
        tables.contrast(here | {"correct": there}, {"base": 1, "correct": -1})

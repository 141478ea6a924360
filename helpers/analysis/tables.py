"""Tables: a run's scores as a grid of accuracies, differences to `correct`, and what stands beside them.

    scores, missing = read_scores("outputs/laptop", ["base", "correct"], [0, 1], ["countdown"])
    drawn = resample(scores, 10_000)                     # by benchmark: one set of resamples for everything
    contrast(drawn["countdown"], {"shuffle-67": 1, "correct": -1}).interval()    # points

Conditions are compared on the same problems, seed by seed. The resamples depend on the benchmark alone, so
a number depends neither on the order of the work nor on what else is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.analysis import intervals
from helpers.analysis.intervals import Difference
from helpers.conditions import MoreSeeds, parse, run_of, seeds_of
from helpers.data.traces import read_table

COLUMNS = ("condition", "seed", "benchmark", "problem_id", "correct", "finished", "tokens", "keywords")
FOUR_DECIMALS = ("p", "p_holm", "p_equivalence", "consistency", "loss")


def read_scores(
    output_dir: str | Path,
    conditions: list[str],
    seeds: list[int],
    benchmarks: list[str],
    more_seeds: MoreSeeds = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The scores of a run in one table, and the names (condition.s0) of those that it doesn't have yet.

    They are in scores/, a file a run, or all in scores.parquet. The base model is evaluated once, as seed 0;
    `more_seeds` are those that single conditions have beside `seeds`.
    ValueError names a damaged file, a benchmark without scores, or a folder with none of these conditions.
    """
    kept = Path(output_dir) / "scores.parquet"
    together = scores_of(kept) if kept.exists() else None
    found, missing = [], []
    for condition in conditions:
        for seed in seeds_of(condition, seeds, more_seeds):
            path = Path(output_dir) / "scores" / f"{run_of(condition, seed)}.parquet"
            if together is not None:
                table = together[(together.condition == condition) & (together.seed == seed)]
            else:
                table = scores_of(path) if path.exists() else pd.DataFrame()
            if table.empty:
                missing.append(path.stem)
            else:
                found.append(table)
    if not found:
        raise ValueError(
            f"{Path(output_dir) / 'scores'} has none of these conditions: run 04_evaluation first"
        )
    scores = pd.concat(found, ignore_index=True)
    unknown = [b for b in benchmarks if b not in set(scores.benchmark)]
    if unknown:
        there = ", ".join(scores.benchmark.unique())
        raise ValueError(f"there are no scores on the benchmark {unknown[0]!r}, only on {there}")
    return scores[scores.benchmark.isin(benchmarks)], missing


def scores_of(path: Path) -> pd.DataFrame:
    """The rows of one file of scores; ValueError where it is not one."""
    table = read_table(path).to_pandas()
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise ValueError(f"{path} has no column {absent[0]!r}: it is not a file of scores")
    return table


def cells(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of benchmark and condition that have scores, in the order in which they first appear."""
    there = set(zip(scores.benchmark, scores.condition, strict=True))
    return [p for p in product(scores.benchmark.unique(), scores.condition.unique()) if p in there]


def answers(scores: pd.DataFrame, condition: str, benchmark: str) -> pd.DataFrame:
    """Which problems were solved: a row a seed, a column a problem, 0 and 1.

    Where there are several samples of a problem, the share of them that is right.
    """
    rows = scores[(scores.condition == condition) & (scores.benchmark == benchmark)]
    sampled = "sample" in rows and rows["sample"].nunique() > 1
    if sampled:
        rows = rows.groupby(["seed", "problem_id"], as_index=False)["correct"].mean()
    table = rows.pivot(index="seed", columns="problem_id", values="correct")
    if table.isna().any(axis=None):
        raise ValueError(f"the seeds of {condition} have different {benchmark} problems: evaluate it again")
    return table if sampled else table.astype(int)


@dataclass(frozen=True)
class Drawn:
    """One benchmark's answers and their resampled means, by condition.

    `answers` are seeds x problems, `means` resamples x seeds, of the same resamples for all conditions.
    """

    answers: dict[str, pd.DataFrame]
    means: dict[str, np.ndarray]


def resample(scores: pd.DataFrame, resamples: int) -> dict[str, Drawn]:
    """Resampled means of every condition and seed, by benchmark; ValueError where problems differ."""
    drawn = {}
    for benchmark in scores.benchmark.unique():
        here = [c for b, c in cells(scores) if b == benchmark]
        tables = {c: answers(scores, c, benchmark) for c in here}
        problems = tables[here[0]].columns
        for condition, table in tables.items():
            if not table.columns.equals(problems):
                raise ValueError(
                    f"{condition} has other {benchmark} problems than {here[0]}: evaluate it again"
                )
        counts = intervals.draw_problems(len(problems), resamples, intervals.generator(benchmark))
        stacked = np.vstack([t.to_numpy(np.float32) for t in tables.values()])
        ends = np.cumsum([len(t) for t in tables.values()])[:-1]
        means = np.split(intervals.resampled_means(counts, stacked), ends, axis=1)
        drawn[benchmark] = Drawn(tables, dict(zip(tables, means, strict=True)))
    return drawn


def contrast(drawn: Drawn, weights: dict[str, float]) -> Difference:
    """A weighted sum of accuracies in points, e.g. {"shuffle-67": 1, "correct": -1}, paired throughout.

    Seeds that every trained condition has are used; ValueError where there is none.
    """
    trained = [set(drawn.answers[c].index) for c in weights if not parse(c).is_base]
    seeds = sorted(set.intersection(*trained)) if trained else [0]
    if not seeds:
        raise ValueError(f"{', '.join(weights)} have no seed in common: train the missing ones")
    values, means = np.zeros((1, 1)), np.zeros((1, 1))
    for condition, weight in weights.items():
        table = drawn.answers[condition]
        rows = [0] if parse(condition).is_base else table.index.get_indexer(seeds)
        values = values + weight * table.to_numpy()[rows]
        means = means + weight * drawn.means[condition][:, rows]
    return intervals.difference(values, means, reach=sum(map(abs, weights.values())) / 2)


def grid(scores: pd.DataFrame, drawn: dict[str, Drawn], paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row a benchmark and condition: accuracy with interval, finished (both %), tokens, keywords, paper's.

    Tokens and keywords are means a response; conditions keep the order they have in the scores.
    """
    rows = []
    for benchmark, condition in cells(scores):
        part = scores[(scores.benchmark == benchmark) & (scores.condition == condition)]
        correct = drawn[benchmark].answers[condition].to_numpy()
        low, high = intervals.accuracy_interval(correct, drawn[benchmark].means[condition])
        rows.append(
            {
                "benchmark": benchmark,
                "condition": condition,
                "seeds": len(correct),
                "problems": correct.shape[1],
                "accuracy": 100 * correct.mean(),
                "low": low,
                "high": high,
                "finished": 100 * part.finished.mean(),
                "tokens": part.tokens.mean(),
                "keywords": part.keywords.mean(),
            }
        )
    return with_paper(pd.DataFrame(rows), "accuracy", paper)


def differences(drawn: dict[str, Drawn], margin: float, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row a benchmark and condition: difference to `correct` in points, intervals, tests, detectable one.

    `seeds` is how many of them both conditions have, over which the difference is taken.
    `p` is McNemar's exact one for single greedy runs, `p_holm` it after Holm's correction for all arms of
    the benchmark; `p_equivalence` and `equivalent` are of two one-sided tests against the margin.
    """
    tables = []
    for benchmark, here in drawn.items():
        others = [c for c in here.answers if c != "correct"] if "correct" in here.answers else []
        rows = []
        for condition in others:
            d = contrast(here, {condition: 1, "correct": -1})
            p = {"p": p_value(here, condition, d), "p_equivalence": d.equivalence_p(margin)}
            names = {"benchmark": benchmark, "condition": condition, "seeds": d.seeds}
            rows.append({**names, **columns_of(d), **p})
        table = pd.DataFrame(rows)
        if rows:
            table["p_holm"] = intervals.holm(table.p)
            table["equivalent"] = table.p_equivalence < 0.05
        tables.append(table)
    columns = ["benchmark", "condition", "seeds", "difference", "low", "high", "low90", "high90"]
    columns += ["minimum_detectable", "p", "p_holm", "p_equivalence", "equivalent"]
    table = with_paper(pd.concat(tables).reindex(columns=columns), "difference", paper)
    if paper is not None:  # of two cells that are read as independent
        errors = np.hypot(table.paper_standard_error, paper.standard_error["correct"])
        table = table.assign(paper_standard_error=errors).rename(
            columns={"paper_standard_error": "paper_error_of_difference"}
        )
    return rounded(table)


def seed_counts(grid: pd.DataFrame, benchmark: str) -> tuple[int, dict[int, list[str]]]:
    """How many seeds the trained conditions of a grid have, and by larger numbers those that have more."""
    rows = grid[(grid.benchmark == benchmark) & ~grid.condition.map(lambda c: parse(c).is_base)]
    common = int(rows.seeds.min()) if len(rows) else 1
    more = rows[rows.seeds > common].groupby("seeds", sort=False).condition.agg(list)
    return common, {int(seeds): conditions for seeds, conditions in more.items()}


def fitted_line(drawn: Drawn, consistency: pd.Series, points: int = 21) -> pd.DataFrame:
    """The least-squares line of accuracy over the arms' structural consistency, with its 95% intervals.

    Columns at, fit, low, high (percent). They are about other problems and seeds, not about other arms.
    """
    known = consistency[[c in drawn.answers and np.isfinite(at) for c, at in consistency.items()]]
    if len(known) < 3 or known.nunique() < 2:
        return pd.DataFrame(columns=["at", "fit", "low", "high"])
    off, rows = known - known.mean(), []
    for at in np.linspace(known.min(), known.max(), points):
        d = contrast(drawn, (1 / len(known) + (at - known.mean()) * off / (off**2).sum()).to_dict())
        rows.append((at, d.estimate, *d.interval(0.95)))
    return pd.DataFrame(rows, columns=["at", "fit", "low", "high"])


def p_value(drawn: Drawn, condition: str, d: Difference) -> float:
    """p of no difference to `correct`: McNemar's exact test where both are one greedy run."""
    a, b = drawn.answers[condition].to_numpy(), drawn.answers["correct"].to_numpy()
    if len(a) == len(b) == 1 and np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all():
        return float(intervals.mcnemar(np.sum(a > b), np.sum(a < b)))
    return d.p_value()


def columns_of(d: Difference) -> dict[str, float]:
    """A difference as a table has it: estimate, both intervals, minimum detectable difference (points)."""
    (low, high), (low90, high90) = d.interval(0.95), d.interval(0.9)
    names = ("difference", "low", "high", "low90", "high90", "minimum_detectable")
    return dict(zip(names, (d.estimate, low, high, low90, high90, d.minimum_detectable()), strict=True))


def pass_at_k(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean pass@k over problems in percent, k of 1, 2, 4, ... samples; a row a benchmark and condition."""
    rows = {}
    for benchmark, condition in cells(scores):
        part = scores[(scores.benchmark == benchmark) & (scores.condition == condition)]
        counts = part.groupby(["seed", "problem_id"])["correct"].agg(["size", "sum"])
        ks = [2**i for i in range(int(counts["size"].min()).bit_length())]
        means = [100 * intervals.pass_at_k(counts["size"], counts["sum"], k).mean() for k in ks]
        rows[(benchmark, condition)] = dict(zip((f"pass@{k}" for k in ks), means, strict=True))
    return rounded(pd.DataFrame(rows).T.rename_axis(["benchmark", "condition"]).reset_index().infer_objects())


def with_paper(table: pd.DataFrame, value: str, paper: pd.DataFrame | None) -> pd.DataFrame:
    """The table, rounded, and beside it what the paper has for each condition."""
    if paper is not None:
        columns = paper[[value, "standard_error"]].add_prefix("paper_")
        table = table.merge(columns, left_on="condition", right_index=True, how="left")
    return rounded(table)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with floats to 2 decimals, p values, shares and losses to 4; and no -0.0."""
    floats = table.select_dtypes("float").columns
    decimals = {name: 4 if name in FOUR_DECIMALS else 2 for name in floats}
    return table.assign(**(table[floats].round(decimals) + 0.0))


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a rounded table, so that two runs give the same bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rounded(table).to_csv(path, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of `write_csv`; an empty cell is nan, and "nan" a text."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])

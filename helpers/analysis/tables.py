"""Tables: a run's scores as a grid of accuracies, differences to `correct`, and what goes with them.

    scores, missing = read_scores("outputs/laptop", ["base", "correct"], [0, 1], ["countdown"])
    answers = solved(scores)                             # by benchmark and condition: seeds x problems
    contrast(answers["countdown"], {"shuffle-67": 1, "correct": -1}).interval()    # points

Conditions are compared on the same problems, seed by seed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.analysis import intervals
from helpers.analysis.intervals import Difference
from helpers.conditions import MoreSeeds, parse, run_of, seeds_of
from helpers.data.traces import read_table

COLUMNS = ("condition", "seed", "benchmark", "problem_id", "correct", "finished", "tokens", "keywords")
Answers = dict[str, pd.DataFrame]  # by condition, as returned by `answers`
# What claims may be about beside accuracy, of each response; points are then hundredths.
MEASURES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "correct": lambda scores: scores.correct,
    "tries": lambda scores: scores.tries,
    "keywords_per_try": lambda scores: scores.keywords / scores.tries.clip(lower=1),
    "reflects": lambda scores: scores.keywords > 0,
    "right_after_128": lambda scores: scores.correct & (scores.tokens > 128),
}
FOUR_DECIMALS = ("p", "p_holm", "p_equivalence", "consistency", "loss")


def read_scores(
    output_dir: str | Path,
    conditions: list[str],
    seeds: list[int],
    benchmarks: list[str],
    more_seeds: MoreSeeds = None,
) -> tuple[pd.DataFrame, list[str]]:
    """A run's scores in one table, and the names (condition.s0) of runs without scores.

    They are in scores/, one file per run, or all in scores.parquet. The base model is evaluated once, as seed
    0; `more_seeds` are extra seeds of single conditions. ValueError names a damaged file, a benchmark without
    scores, or a folder with none of these conditions.
    """
    folder, kept = Path(output_dir) / "scores", Path(output_dir) / "scores.parquet"
    together = scores_of(kept) if kept.exists() else None
    found, missing = [], []
    for condition in conditions:
        for seed in seeds_of(condition, seeds, more_seeds):
            path = folder / f"{run_of(condition, seed)}.parquet"
            if together is not None:
                table = together[(together.condition == condition) & (together.seed == seed)]
            else:
                table = scores_of(path) if path.exists() else pd.DataFrame()
            if table.empty:
                missing.append(path.stem)
            else:
                found.append(table)
    if not found:
        raise ValueError(f"{folder} has none of these conditions: run 04_evaluation first")
    scores = pd.concat(found, ignore_index=True)
    unknown = [b for b in benchmarks if b not in set(scores.benchmark)]
    if unknown:
        there = ", ".join(scores.benchmark.unique())
        raise ValueError(f"there are no scores on the benchmark {unknown[0]!r}, only on {there}")
    return scores[scores.benchmark.isin(benchmarks)], missing


def scores_of_runs(outputs: str | Path, names: list[str], benchmarks: list[str]) -> dict[str, pd.DataFrame]:
    """All scores of several runs on these benchmarks, by run; a run without any is left out.

    A run NAME is read from outputs/NAME or, if that has no scores, from outputs/reference/NAME.
    """
    found = {}
    for name in names:
        for folder in (Path(outputs, name), Path(outputs, "reference", name)):
            paths = [*folder.glob("scores.parquet"), *sorted(folder.glob("scores/*.parquet"))]
            tables = [table[table.benchmark.isin(benchmarks)] for table in map(scores_of, paths)]
            if any(map(len, tables)):
                found[name] = pd.concat(tables, ignore_index=True)
                break
    return found


def scores_of(path: Path) -> pd.DataFrame:
    """The rows of a file of scores; ValueError if it is not one."""
    table = read_table(path).to_pandas()
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise ValueError(f"{path} has no column {absent[0]!r}: it is not a file of scores")
    return table


def cells(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of benchmark and condition with scores, in order of appearance."""
    there = set(zip(scores.benchmark, scores.condition, strict=True))
    return [p for p in product(scores.benchmark.unique(), scores.condition.unique()) if p in there]


def answers(scores: pd.DataFrame, condition: str, benchmark: str, measure: str = "correct") -> pd.DataFrame:
    """Which problems were solved: one row per seed, one column per problem, 0 and 1.

    With several samples per problem the share that is right, for another measure its mean.
    """
    rows = scores[(scores.condition == condition) & (scores.benchmark == benchmark)]
    sampled = "sample" in rows and rows["sample"].nunique() > 1
    rows = rows.assign(value=MEASURES[measure](rows))
    if sampled:
        rows = rows.groupby(["seed", "problem_id"], as_index=False)["value"].mean()
    table = rows.pivot(index="seed", columns="problem_id", values="value")
    if table.isna().any(axis=None):
        raise ValueError(f"the seeds of {condition} have different {benchmark} problems: evaluate it again")
    return table.astype(float if sampled or measure != "correct" else int)


def solved(scores: pd.DataFrame, measure: str = "correct") -> dict[str, Answers]:
    """The answers of every condition, or another measure, by benchmark; ValueError where problems differ."""
    found = {}
    for benchmark in scores.benchmark.unique():
        here = [c for b, c in cells(scores) if b == benchmark]
        found[benchmark] = {c: answers(scores, c, benchmark, measure) for c in here}
        for condition, table in found[benchmark].items():
            if not table.columns.equals(found[benchmark][here[0]].columns):
                raise ValueError(
                    f"{condition} has other {benchmark} problems than {here[0]}: evaluate it again"
                )
    return found


def contrast(solved: Answers, weights: dict[str, float]) -> Difference:
    """A weighted sum of accuracies in points, e.g. {"shuffle-67": 1, "correct": -1}, paired throughout.

    It uses the seeds that all trained conditions have; ValueError if there is none, or if problems differ.
    """
    if any(not solved[c].columns.equals(solved[min(weights)].columns) for c in weights):
        raise ValueError(f"{', '.join(weights)} were not evaluated on the same problems")
    trained = [set(solved[c].index) for c in weights if not parse(c).is_base]
    seeds = sorted(set.intersection(*trained)) if trained else [0]
    if not seeds:
        raise ValueError(f"{', '.join(weights)} have no seed in common: train the missing ones")
    values = np.zeros((1, 1))
    for condition, weight in weights.items():
        table = solved[condition]
        rows = [0] if parse(condition).is_base else table.index.get_indexer(seeds)
        values = values + weight * table.to_numpy()[rows]
    most = max(1.0, *(float(np.abs(solved[c].to_numpy()).max()) for c in weights))  # 1 for accuracy
    return intervals.difference(values, reach=most * sum(map(abs, weights.values())) / 2)


def grid(scores: pd.DataFrame, solved: dict[str, Answers], paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per benchmark and condition: accuracy with interval, finished (both %), tokens, keywords.

    Tokens and keywords are means per response; conditions keep their order in the scores. `paper` adds its
    columns.
    """
    rows = []
    for benchmark, condition in cells(scores):
        part = scores[(scores.benchmark == benchmark) & (scores.condition == condition)]
        correct = solved[benchmark][condition].to_numpy()
        low, high = intervals.accuracy_interval(correct)
        names = {"benchmark": benchmark, "condition": condition}
        counts = {"seeds": len(correct), "problems": correct.shape[1]}
        means = {"finished": 100 * part.finished.mean(), "tokens": part.tokens.mean()}
        means |= {"keywords": part.keywords.mean()}
        rows.append({**names, **counts, "accuracy": 100 * correct.mean(), "low": low, "high": high, **means})
    return with_paper(pd.DataFrame(rows), "accuracy", paper)


def differences(solved: dict[str, Answers], margin: float, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per benchmark and condition: difference to `correct` in points, intervals and tests.

    `seeds` is the number that both conditions have, over which the difference is taken. `p` is McNemar's
    exact test for single greedy runs; `p_holm` is corrected for all arms of the benchmark (Holm);
    `p_equivalence` and `equivalent` come from two one-sided tests against the margin.
    """
    tables = []
    for benchmark, here in solved.items():
        others = [c for c in here if c != "correct"] if "correct" in here else []
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
    if paper is not None:  # of two cells, treated as independent
        errors = np.hypot(table.paper_standard_error, paper.standard_error["correct"])
        table = table.assign(paper_standard_error=errors).rename(
            columns={"paper_standard_error": "paper_error_of_difference"}
        )
    return rounded(table)


def seed_counts(grid: pd.DataFrame, benchmark: str) -> tuple[int, dict[int, list[str]]]:
    """The number of seeds that all trained conditions have, and the conditions with more, by number."""
    rows = grid[(grid.benchmark == benchmark) & ~grid.condition.map(lambda c: parse(c).is_base)]
    common = int(rows.seeds.min()) if len(rows) else 1
    more = rows[rows.seeds > common].groupby("seeds", sort=False).condition.agg(list)
    return common, {int(seeds): conditions for seeds, conditions in more.items()}


def fitted_line(solved: Answers, consistency: pd.Series, points: int = 21) -> pd.DataFrame:
    """The least-squares line of accuracy over the arms' structural consistency, with 95% intervals.

    Columns at, fit, low, high (percent). The intervals are about other problems and seeds, not about other
    arms.
    """
    known = consistency[[c in solved and np.isfinite(at) for c, at in consistency.items()]]
    if len(known) < 3 or known.nunique() < 2:
        return pd.DataFrame(columns=["at", "fit", "low", "high"])
    off, rows = known - known.mean(), []
    for at in np.linspace(known.min(), known.max(), points):
        d = contrast(solved, (1 / len(known) + (at - known.mean()) * off / (off**2).sum()).to_dict())
        rows.append((at, d.estimate, *d.interval(0.95)))
    return pd.DataFrame(rows, columns=["at", "fit", "low", "high"])


def p_value(solved: Answers, condition: str, d: Difference) -> float:
    """p of no difference to `correct`: McNemar's exact test if both are one greedy run."""
    a, b = solved[condition].to_numpy(), solved["correct"].to_numpy()
    if len(a) == len(b) == 1 and np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all():
        return float(intervals.mcnemar(np.sum(a > b), np.sum(a < b)))
    return d.p_value()


def columns_of(d: Difference) -> dict[str, float]:
    """A difference as table columns: estimate, both intervals, minimum detectable difference (points)."""
    (low, high), (low90, high90) = d.interval(0.95), d.interval(0.9)
    names = ("difference", "low", "high", "low90", "high90", "minimum_detectable")
    return dict(zip(names, (d.estimate, low, high, low90, high90, d.minimum_detectable()), strict=True))


def pass_at_k(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean pass@k over problems in percent, for k of 1, 2, 4, ...; one row per benchmark and condition."""
    rows = {}
    for benchmark, condition in cells(scores):
        part = scores[(scores.benchmark == benchmark) & (scores.condition == condition)]
        counts = part.groupby(["seed", "problem_id"])["correct"].agg(["size", "sum"])
        ks = [2**i for i in range(int(counts["size"].min()).bit_length())]
        means = [100 * intervals.pass_at_k(counts["size"], counts["sum"], k).mean() for k in ks]
        rows[(benchmark, condition)] = dict(zip((f"pass@{k}" for k in ks), means, strict=True))
    return rounded(pd.DataFrame(rows).T.rename_axis(["benchmark", "condition"]).reset_index().infer_objects())


def with_paper(table: pd.DataFrame, value: str, paper: pd.DataFrame | None) -> pd.DataFrame:
    """The rounded table with the paper's values for each condition."""
    if paper is not None:
        columns = paper[[value, "standard_error"]].add_prefix("paper_")
        table = table.merge(columns, left_on="condition", right_index=True, how="left")
    return rounded(table)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with floats rounded to 2 decimals, p values, shares and losses to 4, without -0.0."""
    floats = table.select_dtypes("float").columns
    decimals = {name: 4 if name in FOUR_DECIMALS else 2 for name in floats}
    return table.assign(**(table[floats].round(decimals) + 0.0))


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a rounded table, so that two runs give the same bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rounded(table).to_csv(path, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of `write_csv`; an empty cell is nan, and "nan" is a text."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])

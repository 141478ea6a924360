"""10,000 resamples of a whole study beside a plain loop and beside scipy.stats.bootstrap.

    python tests/benchmarks/tables.py

The study has 21 conditions, 3 seeds and 1,200 problems. helpers/analysis/tables.py
resamples it, makes the grid and all
differences to `correct`. The alternatives do a small part of the same job, the standard errors of the 20
differences over problems, and their time is scaled to 10,000 resamples.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from helpers.analysis import tables
from helpers.perturbations.arms import ARMS

CONDITIONS = ["base", *ARMS, "correct.full"]
SEEDS, PROBLEMS, RESAMPLES = 3, 1200, 10_000


def study() -> pd.DataFrame:
    """Random scores of the study's size, in the shape of a run's."""
    rng = np.random.default_rng(0)
    ease = rng.normal(0, 0.2, PROBLEMS)
    parts = []
    for condition in CONDITIONS:
        for seed in [0] if condition == "base" else range(SEEDS):
            part = pd.DataFrame({"problem_id": [f"p{i}" for i in range(PROBLEMS)]})
            correct = rng.random(PROBLEMS) < 0.5 + ease
            parts.append(part.assign(condition=condition, seed=seed, benchmark="b", correct=correct))
    return pd.concat(parts).assign(finished=True, tokens=100, keywords=2)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def loop(answers: dict[str, np.ndarray], resamples: int) -> dict[str, float]:
    """The standard errors by a loop over conditions and resamples."""
    rng, errors = np.random.default_rng(1), {}
    for condition in CONDITIONS:
        values = (answers[condition] - answers["correct"]).mean(axis=0)
        means = [values[rng.integers(PROBLEMS, size=PROBLEMS)].mean() for _ in range(resamples)]
        errors[condition] = float(np.std(means))
    return errors


def by_scipy(answers: dict[str, np.ndarray], resamples: int) -> dict[str, float]:
    """The standard errors by scipy.stats.bootstrap, vectorised over its resamples."""
    errors = {}
    for condition in CONDITIONS:
        values = (answers[condition] - answers["correct"]).mean(axis=0)
        options = {"n_resamples": resamples, "method": "percentile", "batch": 200, "rng": 1}
        errors[condition] = stats.bootstrap((values,), np.mean, **options).standard_error
    return errors


if __name__ == "__main__":
    scores = study()

    def everything() -> None:
        drawn = tables.resample(scores, RESAMPLES)
        tables.grid(scores, drawn)
        tables.differences(drawn, margin=5)

    answers = {c: tables.answers(scores, c, "b").to_numpy() for c in CONDITIONS}
    here = timed(everything)
    few = RESAMPLES // 20
    slow = 20 * timed(lambda: loop(answers, few))
    scipys = 20 * timed(lambda: by_scipy(answers, few))
    print(f"{len(CONDITIONS)} conditions, {SEEDS} seeds, {PROBLEMS} problems, {RESAMPLES:,} resamples")
    print(f"here, with grid, differences and tests: {here:.1f} s")
    print(f"plain loop, standard errors alone:      {slow:.1f} s, {slow / here:.1f} times as long")
    print(f"scipy.stats.bootstrap, the same:        {scipys:.1f} s, {scipys / here:.1f} times as long")

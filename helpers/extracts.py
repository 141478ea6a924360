"""Extracts: what the analysis needs of a run beside its scores, small enough to be kept with the results.

    arms = consistencies("outputs/laptop", ["correct", "shuffle-67"], [0, 1])      # results/arms.csv
    curves = training_curves("outputs/laptop", ["correct", "shuffle-67"], [0, 1])  # results/training.csv
    trace = example_trace("outputs/laptop")                                        # results/trace.parquet

Each is made from the run's large files where they are there, and read from what was kept where they are not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.arm_metrics import consistency
from helpers.conditions import MoreSeeds, arm_of, seeds_of
from helpers.tables import read_csv
from helpers.traces import Trace, read_table, read_traces

POINTS = 40  # of a training curve: each is a mean over its part of the steps


def consistencies(output_dir: str | Path, conditions: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Structural consistency of each condition's arm: a row a condition, the mean over traces and seeds.

    Columns condition, traces and consistency (0 to 1, nan where an arm has no neighbouring steps).
    """
    rows = []
    for condition in conditions:
        paths = [Path(output_dir) / "arms" / f"{arm_of(condition)}.s{seed}.parquet" for seed in seeds]
        shares = [share for path in paths if path.exists() for share in trace_consistencies(path)]
        if shares:
            mean = float(np.nanmean(shares)) if not np.isnan(shares).all() else np.nan
            rows.append({"condition": condition, "traces": len(shares), "consistency": mean})
    return made_or_kept(rows, ["condition", "traces", "consistency"], output_dir, "arms.csv")


def trace_consistencies(path: str | Path) -> list[float]:
    """Of each trace in an arm's file the consistency as `arm_metrics.metrics` has it; nan without pairs."""
    table = read_table(path).select(["id", "origin"]).to_pydict()
    rows = zip(table["id"], table["origin"], strict=True)
    return [consistency([place(origin, own) for origin in origins]) for own, origins in rows]


def place(origin: str, own: str) -> tuple[str, int]:
    """The trace and index that a step came from: of "moved 5", or of "foreign countdown-train-17 4"."""
    change, source = origin.split(" ", 1)
    if change != "foreign":
        return own, int(source)
    trace, _, index = source.rpartition(" ")
    return trace, int(index)


def training_curves(
    output_dir: str | Path,
    conditions: Sequence[str],
    seeds: Sequence[int],
    more_seeds: MoreSeeds = None,
) -> pd.DataFrame:
    """Training losses (nats per token): columns condition, seed, step, loss, at most `POINTS` rows a run."""
    rows = []
    for condition in conditions:
        for seed in seeds_of(condition, seeds, more_seeds):
            path = Path(output_dir) / "adapters" / f"{condition}.s{seed}" / "training.json"
            if path.exists():
                logged = pd.DataFrame(json.loads(path.read_text())["loss"])
                part = np.arange(len(logged)) * POINTS // max(len(logged), POINTS)
                means = logged.groupby(part)[["step", "loss"]].mean()
                rows += [{"condition": condition, "seed": seed, **row} for row in means.to_dict("records")]
    return made_or_kept(rows, ["condition", "seed", "step", "loss"], output_dir, "training.csv")


def made_or_kept(rows: list[dict], columns: list[str], output_dir: str | Path, name: str) -> pd.DataFrame:
    """The rows as a table or, without any, the table that results/ has; an empty one where it has none."""
    kept = Path(output_dir) / "results" / name
    return read_csv(kept) if not rows and kept.exists() else pd.DataFrame(rows, columns=columns)


def example_trace(output_dir: str | Path, steps: int = 7) -> Trace | None:
    """The first correct trace whose number of steps is nearest to `steps`; None where there is no trace."""
    for path in ("traces/correct.parquet", "results/trace.parquet"):
        if (Path(output_dir) / path).exists():
            traces = read_traces(Path(output_dir) / path)
            return min(traces, key=lambda t: abs(len(t.steps) - steps), default=None)
    return None

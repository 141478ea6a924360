"""Claims: the pre-registered sentences of `claims.yaml`, judged by their rules on a run's scores.

    registered = read_claims()
    judge(registered["claims"], scores, ["countdown"], margin=5, resamples=2000)
    # benchmark  id                        verdict  difference  low    high   ...
    # countdown  shuffle-67-below-correct  holds    -21.40      -25.0  -17.9

A verdict is "holds", "does not hold" or "inconclusive", and "not run" where a condition is missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from helpers.statistics import Difference, columns_of, contrast, equivalent, rounded

REGISTERED = Path(__file__).with_name("claims.yaml")
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "inconclusive", "not run"
# What each rule asks for, in words; the report and the table say it beside the numbers.
RULES = {
    "above": "95% interval above 0",
    "below": "95% interval below 0",
    "falls": "slope's 95% interval below 0",
    "equivalent": "90% interval inside ±{margin:g}",
    "at_most": "95% interval below +{margin:g}",
}


def read_claims(path: str | Path = REGISTERED) -> dict:
    """The registered benchmark, margin (points) and claims; ValueError names a claim without a known rule."""
    registered = yaml.safe_load(Path(path).read_text())
    for claim in registered["claims"]:
        if claim["rule"] not in RULES:
            raise ValueError(
                f"{path}: {claim['id']} has the rule {claim['rule']!r}, not one of {', '.join(RULES)}"
            )
    return registered


def fraction(condition: str) -> int:
    """The percentage in a condition's name ("shuffle-67" is 67); 0 where it has none."""
    tail = condition.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def weights(claim: dict) -> dict[str, float]:
    """The weighted sum of accuracies that a claim is about, as `statistics.contrast` takes it.

    For `falls` it is the least-squares slope, in points from a fraction of 0 to one of 100%.
    """
    if claim["rule"] == "falls":
        at = np.array([fraction(c) for c in claim["left"]]) / 100
        slope = (at - at.mean()) / ((at - at.mean()) ** 2).sum()
        return dict(zip(claim["left"], map(float, slope), strict=True))
    left, right = claim["left"], claim["right"]
    return {c: 1 / len(left) for c in left} | {c: -1 / len(right) for c in right}


def verdict(rule: str, d: Difference, margin: float) -> str:
    """The verdict that a rule of `claims.yaml` gives on a difference (points)."""
    if rule == "equivalent":
        outside = d.low90 > margin or d.high90 < -margin
        return HOLDS if equivalent((d.low90, d.high90), margin) else FAILS if outside else UNDECIDED
    if rule == "at_most":
        return HOLDS if d.high < margin else FAILS if d.low > margin else UNDECIDED
    # "below" and "falls" are "above" seen from the other side.
    low, high = (d.low, d.high) if rule == "above" else (-d.high, -d.low)
    return HOLDS if low > 0 else FAILS if high < margin else UNDECIDED


def paper_value(claim: dict, paper: pd.DataFrame | None) -> float:
    """The claim's weighted sum in the paper's table, in points; nan where the paper has no such cell."""
    if paper is None or not set(weights(claim)) <= set(paper.index):
        return float("nan")
    return float(sum(w * paper.accuracy[c] for c, w in weights(claim).items()))


def judge(
    claims: list[dict],
    scores: pd.DataFrame,
    benchmarks: list[str],
    margin: float,
    resamples: int,
    paper: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A row a benchmark and claim: verdict, what decides it, and the numbers (points)."""
    rows = []
    for benchmark in benchmarks:
        present = set(scores[scores.benchmark == benchmark].condition)
        for claim in claims:
            absent = [c for c in weights(claim) if c not in present]
            row = {
                "benchmark": benchmark,
                "id": claim["id"],
                "sentence": claim["sentence"],
                "verdict": NOT_RUN,
                "rule": RULES[claim["rule"]].format(margin=margin),
                "missing": " ".join(absent),
            }
            if not absent:
                d = contrast(scores, weights(claim), benchmark, resamples)
                row |= {"verdict": verdict(claim["rule"], d, margin), **columns_of(d)}
            rows.append(row | {"paper_difference": paper_value(claim, paper)})
    numbers = ["difference", "low", "high", "low90", "high90", "minimum_detectable", "paper_difference"]
    columns = ["benchmark", "id", "sentence", "verdict", "rule", *numbers, "missing"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    return rounded(table.astype(dict.fromkeys(numbers, float)))

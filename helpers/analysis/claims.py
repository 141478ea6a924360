"""Claims: the pre-registered sentences of `claims.yaml`, judged by their rules on a run and on the paper.

    registered = read_claims()
    judge(registered["claims"], solved, ["countdown"], margin=5, paper=paper_cells("..."))
    # benchmark  id                        verdict  difference  low    high   ... paper_verdict
    # countdown  shuffle-67-below-correct  holds    -21.40      -25.0  -17.9  ... holds

A verdict is "holds", "does not hold" or "inconclusive", and "not run" where a condition is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from helpers.analysis.intervals import Difference
from helpers.analysis.tables import Answers, columns_of, contrast, rounded
from helpers.conditions import parse

REGISTERED = Path(__file__).with_name("claims.yaml")
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "inconclusive", "not run"
# What each rule requires, in words, for the report and the table.
RULES = {
    "above": "95% interval above 0",
    "below": "95% interval below 0",
    "falls": "slope's 95% interval below 0",
    "rises": "slope's 95% interval above 0",
    "equivalent": "90% interval inside ±{margin:g}",
    "at_most": "95% interval below +{margin:g}",
}
NUMBERS = ("difference", "low", "high", "low90", "high90", "minimum_detectable")
PAPER_NUMBERS = ("paper_difference", "paper_low", "paper_high", "paper_low90", "paper_high90")


def read_claims(path: str | Path = REGISTERED) -> dict:
    """The registered benchmark, margin (points) and claims; ValueError names a claim with an unknown rule.

    `claims` are the paper's, judged on one run, `islanders` the same for puzzles in words, `reinforcement`
    those about it; `why` has those about the costs of content, on several runs.
    """
    registered = {"islanders": [], "reinforcement": [], "why": []} | yaml.safe_load(Path(path).read_text())
    for claim in (claim for found in registered.values() if isinstance(found, list) for claim in found):
        if claim["rule"] not in RULES:
            raise ValueError(
                f"{path}: {claim['id']} has the rule {claim['rule']!r}, not one of {', '.join(RULES)}"
            )
    return registered


def slope(at: np.ndarray) -> np.ndarray:
    """Weights with which values at these places give their least-squares slope."""
    return (at - at.mean()) / ((at - at.mean()) ** 2).sum()


def weights(claim: dict, consistency: Mapping[str, float] | None = None) -> dict[str, float]:
    """The weighted sum of accuracies that a claim is about, for `tables.contrast`.

    For `falls` it is the least-squares slope in points, from a fraction of 0 to 100%; for `rises` the slope
    over the conditions' structural consistency, nan if one of them has none. Left and right are means, or
    sums for a difference of differences.
    """
    if "weights" in claim:
        return {c: float(Fraction(str(weight))) for c, weight in claim["weights"].items()}
    left = claim["left"]
    if claim["rule"] == "falls":
        return dict(zip(left, slope(np.array([parse(c).percent for c in left]) / 100).tolist(), strict=True))
    if claim["rule"] == "rises":
        at = np.array([nan if consistency is None else consistency.get(c, nan) for c in left])
        return dict(zip(left, slope(at).tolist(), strict=True))
    right = claim.get("right", [])  # none: the left is compared with 0
    sizes = (1, 1) if claim.get("sum") else (len(left), len(right))
    return {c: 1 / sizes[0] for c in left} | {c: -1 / sizes[1] for c in right}


def measures_of(claims: list[dict]) -> list[str]:
    """The measures of responses, beside accuracy, that claims are about (see `tables.MEASURES`)."""
    return list(dict.fromkeys(claim["measure"] for claim in claims if "measure" in claim))


def verdict(rule: str, interval: tuple[float, float], interval90: tuple[float, float], margin: float) -> str:
    """The verdict of a rule in claims.yaml on a difference's 95% and 90% intervals (points)."""
    low, high = interval
    if rule == "equivalent":
        low, high = interval90
        return (
            HOLDS
            if -margin < low and high < margin
            else FAILS
            if low > margin or high < -margin
            else UNDECIDED
        )
    if rule == "at_most":
        return HOLDS if high < margin else FAILS if low > margin else UNDECIDED
    if rule in ("below", "falls"):  # "above", mirrored
        low, high = -high, -low
    return HOLDS if low > 0 else FAILS if high < margin else UNDECIDED


def difference(claim: dict, over: Mapping[str, float], solved: Answers) -> Difference:
    """A claim's weighted sum of accuracies; what runs named in its `apart` add is independent of the rest."""
    apart = {c: w for c, w in over.items() if c.partition("/")[0] in claim.get("apart", ())}
    rest = contrast(solved, {c: w for c, w in over.items() if c not in apart})
    return rest.plus(contrast(solved, apart)) if apart else rest


def paper_contrast(weights: Mapping[str, float], paper: pd.DataFrame) -> Difference:
    """A weighted sum of the paper's cells with its binomial error, assuming no shared problems (points)."""
    estimate = sum(w * paper.accuracy[c] for c, w in weights.items())
    variance = sum((w * paper.standard_error[c]) ** 2 for c, w in weights.items())
    return Difference(float(estimate), float(estimate), float(variance), share=0.0, seeds=1, problems=0)


def paper_columns(
    claim: dict, paper: pd.DataFrame | None, consistency: Mapping[str, float] | None, margin: float
) -> dict[str, float | str]:
    """The paper's own verdict and numbers for a claim; "not run" if it lacks a cell."""
    over = weights(claim | claim.get("paper", {}), consistency)
    if paper is None or not set(over) <= set(paper.index) or any(map(isnan, over.values())):
        return {"paper_verdict": NOT_RUN}
    d = paper_contrast(over, paper)
    numbers = {f"paper_{name}": value for name, value in columns_of(d).items()}
    return numbers | {"paper_verdict": verdict(claim["rule"], d.interval(0.95), d.interval(0.9), margin)}


def judge(
    claims: list[dict],
    solved: Mapping[str, Answers],
    benchmarks: list[str],
    margin: float,
    paper: pd.DataFrame | None = None,
    consistency: Mapping[str, float] | None = None,
    measured: Mapping[str, Mapping[str, Answers]] | None = None,
) -> pd.DataFrame:
    """One row per benchmark and claim: verdict, rule, and the numbers (points), here and in the paper.

    `measured` has, by measure, what `solved` is for accuracy; its points are hundredths. `missing` names
    conditions without scores or, where needed, without a structural consistency.
    """
    rows, known = [], [] if consistency is None else consistency
    for benchmark in benchmarks:
        for claim in claims:
            present = (measured[claim["measure"]] if "measure" in claim else solved)[benchmark]
            over = weights(claim, consistency)
            lacking = [c for c in over if claim["rule"] == "rises" and c not in known]
            absent = [c for c in over if c not in present or c in lacking]
            row = {
                "benchmark": benchmark,
                "id": claim["id"],
                "sentence": claim["sentence"],
                "verdict": NOT_RUN,
                "rule": RULES[claim["rule"]].format(margin=margin),
                "missing": " ".join(absent),
                "added": claim.get("added", ""),
            }
            if not absent:
                d = difference(claim, over, present)
                decided = verdict(claim["rule"], d.interval(0.95), d.interval(0.9), margin)
                row |= {"verdict": decided, **columns_of(d)}
            rows.append(row | paper_columns(claim, paper, consistency, margin))
    columns = ["benchmark", "id", "sentence", "verdict", "rule", *NUMBERS, "paper_verdict", *PAPER_NUMBERS]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "missing", "added"])
    return rounded(table.astype(dict.fromkeys((*NUMBERS, *PAPER_NUMBERS), float)))


def write_json(table: pd.DataFrame, path: str | Path) -> None:
    """Write the judged claims as a JSON list, one object per row; missing numbers are null."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        table.to_json(orient="records", indent=1, force_ascii=False) + "\n", encoding="utf-8"
    )

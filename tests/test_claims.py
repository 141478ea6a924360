"""The registered claims, and the rules that decide them, on intervals and on scores on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import claims, statistics
from helpers.perturbations import parse_arm
from helpers.statistics import Difference
from tests.test_statistics import LEVELS, PAPER, read, write_scores

REGISTERED = claims.read_claims()
AS_THE_PAPER = {
    **{"base": 0.25, "correct": 0.75, "correct.full": 0.75, "wrong": 0.75, "short": 0.3},
    **{"digits-50": 0.75, "digits-70": 0.7, "digits-100": 0.22, "keywords-100": 0.75},
    **{f"{kind}-{f}": 0.75 - f / 400 for kind in ("shuffle", "delete", "insert") for f in (33, 67, 100)},
}


def difference(low: float, low90: float, high90: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, low90, high90, (high - low) / 4)


def test_every_claim_names_conditions_that_exist():
    assert len({c["id"] for c in REGISTERED["claims"]}) == len(REGISTERED["claims"])
    for claim in REGISTERED["claims"]:
        for condition in claims.weights(claim):
            if condition != "base":
                parse_arm(condition.removesuffix(".full"))


def test_an_unknown_rule_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("claims: [{id: x, rule: abvoe, left: [correct], right: [base]}]")
    with pytest.raises(ValueError, match="x has the rule 'abvoe'"):
        claims.read_claims(path)


@pytest.mark.parametrize(
    ("rule", "interval", "expected"),
    [
        ("above", (1, 2, 8, 9), "holds"),
        ("above", (-3, -2, 3, 4), "does not hold"),
        ("above", (-3, -2, 7, 8), "inconclusive"),
        ("below", (-9, -8, -2, -1), "holds"),
        ("below", (-4, -3, 2, 3), "does not hold"),
        ("falls", (-8, -7, 2, 3), "inconclusive"),
        ("equivalent", (-5.5, -4.5, 3, 4), "holds"),
        ("equivalent", (-9, -8, -5.5, -4.5), "does not hold"),
        ("equivalent", (-9, -8, -4, -3), "inconclusive"),
        ("equivalent", (5.5, 6, 9, 10), "does not hold"),
        ("at_most", (-20, -18, 2, 4), "holds"),
        ("at_most", (5.5, 6, 9, 10), "does not hold"),
        ("at_most", (1, 2, 8, 9), "inconclusive"),
    ],
)
def test_rules(rule, interval, expected):
    assert claims.verdict(rule, difference(*interval), margin=5) == expected


@given(st.lists(st.floats(-40, 40), min_size=4, max_size=4).map(sorted), st.floats(0.5, 10))
def test_below_mirrors_above(bounds, margin):
    mirrored = difference(*(-b for b in reversed(bounds)))
    assert claims.verdict("above", difference(*bounds), margin) == claims.verdict("below", mirrored, margin)


@given(st.lists(st.floats(0, 100), min_size=4, max_size=4))
def test_the_slope_is_that_of_least_squares(accuracies):
    weights = claims.weights(
        {"rule": "falls", "left": ["correct", "shuffle-33", "shuffle-67", "shuffle-100"]}
    )
    slope = np.polyfit([0, 0.33, 0.67, 1], accuracies, 1)[0]
    assert np.dot(list(weights.values()), accuracies) == pytest.approx(slope, abs=1e-8)


def test_a_run_like_the_papers(tmp_path):
    write_scores(tmp_path, AS_THE_PAPER, seeds=3, problems=1500)
    scores, paper = read(tmp_path, AS_THE_PAPER, seeds=3), statistics.paper_cells(PAPER)
    table = claims.judge(REGISTERED["claims"], scores, ["countdown"], 5, 400, paper).set_index("id")
    # Digits collapse, so at full fraction content costs more than structure, in the paper as well.
    assert table.verdict["structure-over-content-100"] == "does not hold"
    assert set(table.verdict.drop("structure-over-content-100")) == {"holds"}
    means = scores[scores.benchmark == "countdown"].groupby("condition").correct.mean() * 100
    structural = means[["shuffle-67", "delete-67", "insert-67"]].mean()
    content = means[["digits-70", "keywords-100"]].mean()
    assert table.difference["structure-over-content-67"] == pytest.approx(structural - content, abs=0.01)
    assert table.paper_difference["structure-over-content-67"] == pytest.approx(54.22 - 62.48, abs=0.05)
    assert np.isnan(table.paper_difference["lora-equals-full"])


def test_claims_without_their_conditions_read_not_run(tmp_path):
    write_scores(tmp_path, LEVELS)
    scores = read(tmp_path)
    table = claims.judge(REGISTERED["claims"], scores, ["countdown", "countdown-hard"], 5, 200).set_index(
        "id"
    )
    decided = table[table.benchmark == "countdown"]
    assert decided.verdict["long-beats-base"] == "holds"
    assert decided.verdict["digits-50-equals-correct"] != "not run"
    row = decided.loc["shuffle-dose"]
    assert (row.verdict, row.missing) == ("not run", "shuffle-33 shuffle-67") and np.isnan(row.difference)
    assert len(table) == 2 * len(REGISTERED["claims"])

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.traces import Trace
from helpers.perturbations.arms import PERTURBATIONS, perturb
from helpers.perturbations.metrics import changed_digits, measure, metrics
from helpers.perturbations.steps import Step
from helpers.puzzles import countdown

POOL = countdown.correct_traces("train", 60, seed=0)


def test_metrics_of_known_changes():
    old = ("a1", "b2", "c3", "d4")
    kept = [Step(t, "t", i) for i, t in enumerate(old)]
    assert metrics(old, kept) == {"consistency": 1, "kept": 1, "foreign": 0, "digits_changed": 0}
    assert metrics(old, kept[::-1])["consistency"] == 0
    assert metrics(old, kept[::-1])["kept"] == 1
    assert metrics(old, [kept[0], kept[1], kept[3]])["consistency"] == 1 / 2
    assert metrics(old, [kept[0], kept[1], kept[3]])["kept"] == 3 / 4
    foreign = [kept[0], Step("x", "u", 1, "foreign"), kept[2], kept[3]]
    assert metrics(old, foreign) == {
        "consistency": 1 / 3,
        "kept": 3 / 4,
        "foreign": 1 / 4,
        "digits_changed": 0,
    }
    noisy = [Step("a7", "t", 0, "edited"), *kept[1:]]
    assert metrics(old, noisy) == {"consistency": 1, "kept": 3 / 4, "foreign": 0, "digits_changed": 1 / 4}
    assert math.isnan(metrics(old, [])["consistency"]) and metrics(old, [])["kept"] == 0


@given(st.sampled_from(POOL), st.sampled_from(sorted(PERTURBATIONS)), st.floats(0, 1), st.integers(0, 10**6))
def test_metrics_are_shares(trace, name, fraction, seed):
    steps = [Step(text, trace.id, i) for i, text in enumerate(trace.steps)]
    found = metrics(trace.steps, PERTURBATIONS[name](steps, fraction, random.Random(seed), POOL))
    assert all(math.isnan(v) or 0 <= v <= 1 for v in found.values())


@pytest.mark.parametrize(
    "old, new, changed",
    [
        ("12+3", "12+3", [False] * 3),
        ("12+3", "15+4", [False, True, True]),
        ("12+3", "7+3", [True, True, False]),
        ("12+3", "dots", []),
        ("none", "none", []),
        ("a. 12", "12", []),
    ],
)
def test_changed_digits(old, new, changed):
    assert changed_digits(old, new) == changed


def test_an_arm_is_measured_by_the_row():
    made = [perturb(t, "numbers-100", 0, POOL) for t in POOL]
    table = measure(made, tokens=len, max_length=200)
    assert list(table.columns)[4:] == ["steps", "characters", "keywords", "tokens", "cut"]
    assert len(table) == len(POOL)
    assert (table.tokens == table.characters).all() and (table.cut == (table.characters > 200)).all()
    assert table.digits_changed.mean() > 0.8
    assert "tokens" not in measure(made) and "cut" not in measure(made, tokens=len)


def test_swap_is_foreign_and_consistent_insert_foreign_and_not():
    means = {
        arm: measure(perturb(t, arm, 0, POOL) for t in POOL).mean() for arm in ("swap-100", "insert-100")
    }
    assert means["swap-100"].foreign == means["insert-100"].foreign == 1
    assert means["swap-100"].consistency == 1 and means["insert-100"].consistency < 0.1


def test_a_trace_of_steps_that_were_cut_is_measured_too():
    trace = Trace("t", "p", ("One. ", "Two.\n\n", "Three 3."), "s", "1", "x")
    table = measure([perturb(trace, "reverse-100", 0, [])])
    assert table.consistency[0] == 0 and table.kept[0] == 1
    assert math.isnan(measure([perturb(trace, "delete-100", 0, [])]).consistency[0])

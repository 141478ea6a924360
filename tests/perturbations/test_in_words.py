"""The arms for puzzles in words, and arms that have nothing to do there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.perturbations.arm_files import make_arm, write_arms
from helpers.perturbations.arms import IN_WORDS, applicable, perturb
from helpers.perturbations.content import NAME, OPPOSITE, VERDICT
from helpers.puzzles import countdown, islanders

POOL = islanders.correct_traces("train", 40, seed=0)
NUMBERS = countdown.correct_traces("train", 20, seed=0)
traces = st.sampled_from(POOL)


@given(traces, st.sampled_from([20, 50, 70, 100]), st.integers(0, 99))
def test_names_become_other_names_of_the_same_trace_and_nothing_else_changes(trace, percent, seed):
    made = perturb(trace, f"names-{percent}", seed, POOL)
    for before, after in zip(trace.steps, made.steps, strict=True):
        assert NAME.split(before) == NAME.split(after.text) and after.change in ("kept", "edited")
        assert set(NAME.findall(after.text)) <= set(NAME.findall(trace.problem))


@given(traces, st.sampled_from([20, 50, 70, 100]), st.integers(0, 99))
def test_verdicts_become_their_opposites_and_nothing_else_changes(trace, percent, seed):
    made = perturb(trace, f"verdicts-{percent}", seed, POOL)
    for before, after in zip(trace.steps, made.steps, strict=True):
        assert VERDICT.split(before) == VERDICT.split(after.text)
        pairs = zip(VERDICT.findall(before), VERDICT.findall(after.text), strict=True)
        assert all(old in (new, OPPOSITE[new]) for old, new in pairs)


@pytest.mark.parametrize("arm", IN_WORDS)
def test_words_change_at_their_rate(arm):
    pattern = NAME if arm.startswith("names") else VERDICT
    flags = [
        old != new
        for trace in POOL
        for before, after in zip(trace.steps, perturb(trace, arm, 0, POOL).steps, strict=True)
        for old, new in zip(pattern.findall(before), pattern.findall(after.text), strict=True)
    ]
    assert abs(sum(flags) / len(flags) - int(arm.rpartition("-")[2]) / 100) < 0.04


def test_an_arm_that_changes_no_trace_is_not_trained_on(tmp_path):
    for arm, pool in (("digits-50", POOL), ("verdicts-50", NUMBERS), ("names-20", NUMBERS)):
        assert not applicable(arm, pool[0], pool)
        with pytest.raises(ValueError, match=f"'{arm}' changes none of these traces"):
            make_arm({"correct": pool}, arm, 0)
    with pytest.raises(ValueError, match="no step of a Countdown puzzle"):
        write_arms({"correct": POOL}, ["propagated-100"], 0, tmp_path)
    assert not list(tmp_path.iterdir())
    assert applicable("keywords-20", POOL[0], POOL) or not any("Wait" in s for s in POOL[0].steps)


def test_structural_arms_and_keywords_work_on_words_as_on_numbers():
    for arm in ("shuffle-67", "delete-67", "insert-67", "keywords-100"):
        assert all(applicable(arm, trace, POOL) for trace in POOL if arm != "keywords-100")
        made = list(make_arm({"correct": POOL}, arm, 0))
        assert any([s.text for s in p.steps] != list(p.trace.steps) for p in made)
    bare = [step.text for step in perturb(POOL[0], "keywords-100", 0, POOL).steps]
    assert not re.search("Wait|Hmm|However|Alternatively", " ".join(bare))

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from helpers.data.traces import Trace
from helpers.explorer import token_losses
from helpers.explorer.trace_view import original
from helpers.explorer.widgets import explore_losses
from helpers.perturbations.arms import Perturbed, perturb
from helpers.perturbations.steps import Step
from helpers.puzzles import countdown
from helpers.training import examples, finetune, models
from tests.explorer.test_explorer import ATTACKS, HOSTILE, Reader, parts
from tests.support import tiny

BASE = Path(__file__).parents[2] / "base_model"
POOL = countdown.correct_traces("train", 60, seed=0)
LONG = next(t for t in POOL if len(t.steps) > 6)


@pytest.fixture(scope="module")
def base():
    return models.load(BASE)


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    """One adapter, fitted for a few steps to shuffled traces, in the form in which training leaves it."""
    folder = tmp_path_factory.mktemp("adapters")
    model, tokenizer = models.load(BASE)
    made = [perturb(t, "shuffle-100", 0, POOL) for t in POOL[:16]]
    rows, _ = examples.encode(tokenizer, [p.trace.problem for p in made], [p.response for p in made], 1024)
    model = finetune.prepare(model, "lora", rank=4, alpha=8, seed=0)
    finetune.fit(model, tokenizer, rows, 1e-2, 1, 4, 0, folder / "log")
    tiny.save(model, tokenizer, {}, folder / "shuffle-100.s0")
    return folder


def test_the_losses_are_those_of_training(base):
    model, tokenizer = base
    found = token_losses.token_losses(
        model, tokenizer, LONG.problem, perturb(LONG, "correct", 0, []).response
    )
    rows, _ = examples.encode(tokenizer, [LONG.problem], [found.response], 1024)
    inputs = {name: torch.tensor([rows[0][name]]) for name in ("input_ids", "labels")}
    count = sum(label != -100 for label in rows[0]["labels"])
    assert sum(found.losses) / count == pytest.approx(model(**inputs).loss.item(), rel=1e-4)


def test_the_pieces_joined_are_the_response_and_those_of_steps_the_steps(base):
    for arm in ("correct", "shuffle-67", "delete-100", "insert-67"):
        made = perturb(LONG, arm, 0, POOL)
        found = token_losses.token_losses(*base, LONG.problem, made.response)
        assert "".join(text for text, _ in found.within(0, 10**9)) == made.response
        texts = ["".join(text for text, _ in found.within(*span)) for span in token_losses.spans(made)]
        assert [t.strip() for t in texts[:-1]] == [s.text for s in made.steps]
        assert texts[-1].endswith(made.solution)


def test_chunks_change_nothing(base, monkeypatch):
    response = perturb(LONG, "correct", 0, []).response
    whole = token_losses.token_losses(*base, LONG.problem, response)
    monkeypatch.setattr(token_losses, "CHUNK", 7)
    assert token_losses.token_losses(*base, LONG.problem, response).losses == pytest.approx(
        whole.losses, abs=1e-4
    )


def test_what_lies_beyond_the_model_is_said_to_be_unseen(base):
    trace = Trace("t", "p", ("ab cd " * 500, "b"), "s", "1", "x")
    made = perturb(trace, "reverse-100", 0, [])
    found = token_losses.token_losses(*base, "p", made.response)
    assert math.isnan(found.losses[-1]) and not math.isnan(found.losses[100])
    assert "not seen" in token_losses.render(made, found, found, "reverse-100", "base")


@settings(max_examples=20, deadline=None)
@given(HOSTILE, HOSTILE)
def test_no_text_becomes_markup_and_none_is_lost(base, one, two):
    trace = Trace(one, one, (one + "1", two, one), two, one, two)
    made = Perturbed(trace, (Step(two, one, 1, "moved"), Step(two + one, two, 0, "foreign")))
    read = token_losses.reader(BASE, "nowhere")
    sides = [read("base", one, p.response) for p in (original(trace), made)]
    page = Reader(token_losses.render(made, *sides, one, "base"))
    assert page.only_ours()
    whole = token_losses.token_losses(*base, one, made.response)
    assert "".join(text for text, _ in whole.within(0, 10**9)) == made.response


def test_a_shuffle_is_dearer_to_read_than_the_original(base):
    """The base model has learnt to follow tries, so a step out of order surprises it at its beginning."""
    made = [perturb(t, "shuffle-100", 0, POOL) for t in POOL[:30] if len(t.steps) > 4]
    gaps = []
    for p in made:
        sums = []
        for response in (perturb(p.trace, "correct", 0, []).response, p.response):
            found = token_losses.token_losses(*base, p.trace.problem, response)
            sums.append(sum(found.losses))
        gaps.append(sums[1] - sums[0])
    assert sum(gaps) > 0


def test_each_model_and_response_is_measured_once(base, adapters, monkeypatch):
    asked = []
    measure = token_losses.token_losses
    monkeypatch.setattr(token_losses, "token_losses", lambda *given: asked.append(given) or measure(*given))
    read = token_losses.reader(BASE, adapters)
    first = token_losses.view(LONG, "shuffle-67", 0, POOL, "base", read)
    assert token_losses.view(LONG, "shuffle-67", 0, POOL, "base", read) == first and len(asked) == 2
    assert token_losses.view(LONG, "shuffle-67", 0, POOL, "shuffle-100.s0", read) != first and len(asked) == 4
    with pytest.raises(ValueError, match="run 03_lora_training"):
        read("wrong.s0", "p", "r")


def test_the_controls_choose_trace_arm_and_model(adapters):
    found = parts(explore_losses(POOL, str(BASE), adapters, arm="shuffle-50"))
    assert found["model"].options == ("base", "shuffle-100.s0")
    found["model"].value, found["trace"].value, found["arm"].value = "shuffle-100.s0", 2, "delete"
    assert "delete-50, read by shuffle-100.s0" in found["shown"].value
    names = {"explore_losses": explore_losses, "traces": POOL}
    assert parts(eval(found["as code"].value, names))["shown"].value == found["shown"].value
    with pytest.raises(ValueError, match="has no model 'x': there are base, shuffle-100.s0"):
        explore_losses(POOL, str(BASE), adapters, model="x")
    assert all(attack not in found["shown"].value for attack in ATTACKS)


def test_the_base_model_of_the_adapters_is_found_where_it_is_small_and_here(adapters, tmp_path, monkeypatch):
    assert token_losses.at_hand(tmp_path) is None
    assert Path(token_losses.at_hand(adapters)) == BASE
    monkeypatch.setattr(token_losses, "SMALL", 10)
    assert token_losses.at_hand(adapters) is None

"""Inference scaling: pools of responses, responses that are cut, answers that are forced, examples."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.analysis import intervals, tables
from helpers.data.traces import write_table
from helpers.evaluation import generation, journal
from helpers.extensions import scaling
from helpers.puzzles import countdown
from helpers.training import models
from tests.support.notebooks import run_here

BASE = Path(__file__).parents[2] / "base_model"
PROBLEMS = countdown.benchmark("countdown", countdown.problems("test", 6, seed=0))


def scores(right: np.ndarray, answers: np.ndarray | None = None) -> pd.DataFrame:
    """Scores of problems x samples, ten tokens each; without `answers` right ones are "a", wrong ones "b"."""
    said = np.where(right, "a", "b") if answers is None else answers
    names = {"condition": "c", "seed": 0, "benchmark": "b", "tokens": 10, "finished": True, "keywords": 1}
    return pd.DataFrame(
        names | {"problem_id": str(i), "sample": k, "correct": bool(ok), "answer": said[i, k]}
        for (i, k), ok in np.ndenumerate(right)
    )


right = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=n, max_size=n)
)


@given(right, st.sampled_from([1, 2, 4, 8]))
def test_pools_solve_more_with_a_verifier_than_by_vote(table, size):
    table = scores(np.array(table))
    best, vote = (scaling.pooled(table, size, pick) for pick in (scaling.any_right, scaling.majority))
    assert (best.correct >= vote.correct).all() and len(best) == len(table) / size
    assert (best.tokens == 10 * size).all() and (best.keywords == 1).all()
    if size == 1:
        assert best.correct.tolist() == vote.correct.tolist() == table.correct.tolist()


@given(right)
def test_a_pool_of_all_samples_is_pass_at_that_many(table):
    table = np.array(table)
    pool = scaling.pooled(scores(table), 8, scaling.any_right)
    assert pool.correct.tolist() == intervals.pass_at_k(np.full(len(table), 8), table.sum(1), 8).tolist()


def test_a_vote_goes_to_the_first_of_the_most_frequent_and_none_without_an_answer():
    ok = np.array([[False, True, True, False], [True, False, False, True], [True, True, False, False]])
    said = np.array([["x", "y", "y", ""], ["p", "q", "q", "p"], ["", "", "", ""]], object)
    assert scaling.pooled(scores(ok, said), 4, scaling.majority).correct.tolist() == [True, True, False]
    assert scaling.answer_of(r"\boxed{ (5 + 1)\n *2 }".replace("\\n", "\n")) == "(5+1)*2"
    assert scaling.answer_of("no box") == ""


def test_samples_that_fill_no_pool_are_left_out_and_a_pool_too_large_is_refused():
    table = scores(np.ones((2, 5), bool))
    assert len(scaling.pooled(table, 2, scaling.any_right)) == 4
    with pytest.raises(
        ValueError, match="a pool of 6 needs as many samples of each problem, and there are 5"
    ):
        scaling.pooled(table, 6, scaling.any_right)


def test_pools_have_intervals_like_any_scores():
    pool = scaling.pooled(scores(np.eye(6, 8, dtype=bool)), 2, scaling.any_right)
    grid = tables.grid(pool, tables.solved(pool)).iloc[0]
    assert grid.accuracy == 25.0 and grid.low < 25 < grid.high and grid.tokens == 20


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=9), st.integers(1, 400))
def test_a_cut_response_is_right_if_it_was_right_by_then(found, budget):
    table = scores(np.array([[ok] for _, ok in found])).assign(tokens=[n for n, _ in found])
    short = scaling.cut(table, budget)
    assert short.correct.tolist() == [ok and n <= budget for n, ok in found]
    assert short.tokens.max() <= budget and scaling.cut(short, budget).equals(short)
    assert scaling.cut(table, 400).equals(table)


def test_a_cut_response_is_what_the_model_says_at_that_limit(tmp_path):
    """The arithmetic of `cut` against generation with the limit."""
    ask = partial(generation.respond, base_model=str(BASE), adapters=tmp_path)
    for limit in (6, 12, 16):
        asked = journal.requests("base", 0, "countdown", PROBLEMS, max_new_tokens=limit, model="m")
        made = dict(ask(asked))
        if limit == 6:
            short = made
    assert all(made[i].text.startswith(short[i].text) for i in made)


def test_a_forced_answer_goes_on_from_the_cut_response_and_is_kept(tmp_path):
    calls = []

    def engine(requests):
        calls.append(len(requests))
        yield from generation.respond(requests, str(BASE), tmp_path)

    asked = journal.requests("base", 0, "countdown", PROBLEMS, max_new_tokens=16, model="m")
    answers = journal.complete(asked, engine, tmp_path)
    tokenizer = models.tokenizer_of(BASE)
    forced = scaling.forced(asked, answers, tokenizer, budget=4)
    assert len(forced) == 6 and not scaling.forced(asked, answers, tokenizer, budget=100)
    for request, first in zip(forced, answers, strict=True):
        head, end = request.opening.split(scaling.FORCED)
        assert first.text.startswith(head) and end == "" and len(head) < len(first.text)
    journal.complete(forced, engine, tmp_path)
    journal.complete([*asked, *forced], engine, tmp_path)  # both are stored under keys of their own
    assert calls == [6, 6] and len({r.key for r in [*asked, *forced]}) == 12


def test_examples_are_turns_before_the_problem():
    tokenizer = models.tokenizer_of(BASE)
    plain, text = (models.prompt_text(tokenizer, "P?", shots=s) for s in ((), [("Q?", "A."), ("R?", "B.")]))
    assert text.endswith(plain.replace(tokenizer.bos_token or "", "", 1)[-20:])
    at = [text.index(part) for part in ("Q?", "A.", "R?", "B.", "P?")]
    assert at == sorted(at) and plain == models.prompt_text(tokenizer, "P?")
    told = models.prompt_text(tokenizer, "P?", "Be brief.", [("Q?", "A.")])
    assert told.index("Be brief.") < told.index("Q?") < told.index("A.") < told.index("P?")


def test_a_request_after_other_problems_has_a_key_of_its_own():
    request = journal.requests("base", 0, "countdown", PROBLEMS, max_new_tokens=16, model="m")[0]
    others = [
        {"shots": [("a", "b")]},
        {"opening": "x"},
        {"shots": [("a", "b")], "opening": "x"},
        {"max_new_tokens": 5},
    ]
    keys = {journal.continued(request, **other).key for other in others}
    assert len(keys | {request.key}) == 5


def test_the_notebook_runs_without_a_run_and_finds_its_responses_again(tmp_path):
    given = {
        "n_problems": 6,
        "samples": 4,
        "shots": [0, 1],
        "output_dir": str(tmp_path),
        "run": str(tmp_path),
    }
    found = run_here("08_inference_scaling", **given)
    assert found["known"] == ["base"] and set(found["parallel"]["kind"]) == {"pass@N", "majority@N"}
    made = next(tmp_path.glob("responses/*.jsonl")).read_text()
    run_here("08_inference_scaling", **given)
    assert next(tmp_path.glob("responses/*.jsonl")).read_text() == made
    assert {p.name for p in tmp_path.iterdir()} >= {"serial.csv", "parallel.csv", "arms.csv", "tokens.svg"}


def test_the_notebook_takes_a_run_s_adapters_and_problems(tmp_path):
    """A run whose `shuffle-67` has been trained, here without any step."""
    from helpers.training import finetune

    model = finetune.prepare(models.load(BASE)[0], "lora", rank=4, alpha=8, seed=0)
    model.save_pretrained(tmp_path / "run" / "adapters" / "shuffle-67.s0")
    write_table(PROBLEMS, tmp_path / "run" / "benchmarks" / "countdown.parquet")
    given = {"n_problems": 6, "samples": 2, "shots": [0], "budgets": [4, 8, 32], "max_new_tokens": 32}
    found = run_here(
        "08_inference_scaling", run=str(tmp_path / "run"), output_dir=str(tmp_path / "out"), **given
    )
    assert found["known"] == ["base", "shuffle-67"]
    assert found["problems"]["id"].to_pylist() == PROBLEMS["id"].to_pylist()

"""Reinforcement: what is paid, what is trained, and that a kill changes nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file

from helpers.conditions import REWARDS as NAMES
from helpers.conditions import parse, start_of
from helpers.data.traces import write_table
from helpers.extensions import callbacks, reinforcement, rewards
from helpers.extensions.rewards import REWARDS, Outcome
from helpers.puzzles import countdown
from helpers.training import finetune, models, saving
from tests.support import killed_reinforcement as killed
from tests.support.notebooks import run_here

ROOT = Path(__file__).parents[2]
BASE = ROOT / "base_model"
WEIGHTS = "adapter_model.safetensors"
STATUSES = ("ok", "wrong", "unparsed", "timeout", "truncated")
outcomes = st.builds(
    Outcome, st.sampled_from(STATUSES), st.text(max_size=40), st.integers(0, 500), st.booleans()
)


@pytest.fixture
def problems(tmp_path):
    table = countdown.benchmark("countdown", countdown.problems("validation", 40, 0))
    write_table(table, tmp_path / "problems.parquet")
    return tmp_path


def job(folder: Path, run: str, condition: str = "base.rl", **other: object) -> reinforcement.Job:
    return reinforcement.Job(**killed.job_of(folder, run, condition, **{"updates": 4, **other}))


@given(outcomes, st.integers(1, 500))
def test_a_right_answer_is_never_paid_less_than_a_wrong_one_like_it(outcome, limit):
    right, wrong = (dataclasses.replace(outcome, status=status) for status in ("ok", "wrong"))
    for pay in REWARDS.values():
        assert pay(right, limit) >= pay(wrong, limit)


@given(outcomes, st.integers(1, 500), st.integers(1, 500))
def test_rlsp_pays_for_length_and_by_less_and_less(outcome, limit, more):
    def paid(tokens: int) -> float:
        return rewards.rlsp(dataclasses.replace(outcome, tokens=tokens), limit)

    n = max(outcome.tokens, 1)
    assert paid(n) < paid(n + more) < 1 and paid(n + more) - paid(n) >= paid(n + 2 * more) - paid(n + more)


def test_rlsp_is_the_released_reward_at_its_own_limit():
    """1, 0 or -0.5 less 1000 / length, at a limit of 4,096 tokens."""
    for status, worth in (("ok", 1), ("wrong", 0), ("timeout", 0), ("unparsed", -0.5), ("truncated", -0.5)):
        for length in (500, 1000, 2000):
            paid = rewards.rlsp(Outcome(status, "", length, True), 4096)
            assert paid == pytest.approx(worth - 1000 / length)


def test_t1_pays_least_for_what_is_cut_or_said_twice():
    cut, twice = Outcome("ok", "a", 9, False), Outcome("ok", "a\n\n a \nb", 9, True)
    assert rewards.t1(cut, 9) == rewards.t1(twice, 9) == -1
    assert rewards.t1(Outcome("ok", "a\n\nb\n\nc", 9, True), 9) == 1 and not rewards.repeats("\n\n\n")


def test_outcomes_are_graded_and_measured():
    tokenizer = models.tokenizer_of(BASE)
    thought = (
        "<think>\nLet me make 11 from 5, 19 and 20.\n\nWait. 20-19=1. With 5: 6, 4, 5. No 11.\n</think>\n\n"
    )
    texts = [thought + r"The answer is \boxed{5+(20-19)}.", r"The answer is \boxed{11}.", thought]
    end = tokenizer.convert_tokens_to_ids(models.end_token(tokenizer))
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    ids = [ids[0] + [end], ids[1] + [end], ids[2]]
    row = {"benchmark": "countdown", "problem": "Use 5, 19 and 20 to make 6.", "answer": "6"}
    found = rewards.outcomes(tokenizer, {end}, ids, [row] * 3)
    assert [o.status for o in found] == ["ok", "wrong", "truncated"]
    assert [o.finished for o in found] == [True, True, False]
    assert [o.text for o in found] == texts
    assert [o.tokens for o in found] == [len(ids[0]) - 1, len(ids[1]) - 1, len(ids[2])]
    said = rewards.measures(found)
    assert said["right"] == pytest.approx(1 / 3) and said["finished"] == pytest.approx(2 / 3)
    assert said["tries"] == pytest.approx(4 / 3) and said["keywords_per_try"] == pytest.approx(2 / 4)


def test_names_of_conditions_say_reward_group_and_start():
    assert set(NAMES) == set(REWARDS) == set(reinforcement.SCALES)
    assert parse("digits-50.rl64") == dataclasses.replace(parse("digits-50"), reward="rl", group=64)
    assert parse("a.t1").reward == "t1" and parse("a.t1").group == 0 and parse("a.t116").group == 16
    assert start_of("correct.n20.7b.rlsp8") == "correct.n20.7b" and start_of("correct") == "correct"
    assert not parse("base.rl").is_base and parse(start_of("base.rl")).is_base
    with pytest.raises(ValueError, match="did you mean 'rlsp'"):
        parse("correct.rlps")


def test_decoding_with_the_adapter_merged_leaves_no_trace():
    """Also when decoding fails; peft alone would leave rounding errors."""
    model = finetune.prepare(models.load(BASE)[0], "lora", rank=8, alpha=16, seed=0)
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyError), callbacks.merged(model) as plain:
        changed = [v for n, v in plain.state_dict().items() if "q_proj.base_layer" in n]
        assert not torch.equal(changed[0], next(v for n, v in before.items() if "q_proj.base_layer" in n))
        assert not model.training
        raise KeyError
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) and model.training
    assert model.config._attn_implementation == "sdpa"


def test_a_reinforced_adapter_goes_on_from_its_start_and_is_evaluated_like_any(problems):
    first = job(problems, "base.rl.s0")
    record = reinforcement.train(first)
    assert [row["step"] for row in record["validation"]] == [0, 2, 4]
    assert [row["step"] for row in record["curve"]] == [1, 3] and record["steps"] == 4
    kept = json.loads(Path(first.folder, "training.json").read_text())
    assert kept == json.loads(json.dumps(record)) and not (problems / "checkpoints" / "base.rl.s0").exists()
    assert saving.is_kept(first.folder, "base.rl", reinforcement.plan_of(first))
    assert not saving.is_kept(
        first.folder, "base.rl", reinforcement.plan_of(dataclasses.replace(first, updates=6))
    )

    second = job(problems, "base.rl.t1.s0", "x.t1", start=first.folder, updates=2)
    reinforcement.train(second)
    start, end = (load_file(Path(j.folder, "adapter_model.safetensors")) for j in (first, second))
    assert start.keys() == end.keys() and sorted(p.name for p in Path(second.folder).iterdir()) == sorted(
        p.name for p in Path(first.folder).iterdir()
    )
    moved = max(float((start[name] - end[name]).abs().max()) for name in start)
    assert 0 < moved < 0.05
    model, _ = models.load_condition(BASE, problems / "adapters", "base.rl", 0)
    assert not isinstance(model, PeftModel)


def test_responses_that_are_all_cut_teach_nothing_and_break_nothing(problems):
    """As where a limit is too low for any answer (public reports of runs with a loss of 0)."""
    first = job(problems, "base.rl.s0")
    reinforcement.train(first)
    record = reinforcement.train(job(problems, "b.s0", start=first.folder, max_new_tokens=2, updates=2))
    assert [row["frac_reward_zero_std"] for row in record["curve"]] == [1.0]
    assert record["curve"][0]["finished"] == record["curve"][0]["right"] == 0
    start, end = (load_file(problems / "adapters" / f"{run}.s0" / WEIGHTS) for run in ("base.rl", "b"))
    assert all(torch.equal(start[name], end[name]) for name in start)


def test_a_problem_may_be_there_twice(problems):
    """Responses to equal prompts are different draws, in different groups."""
    row = countdown.benchmark("countdown", countdown.problems("validation", 1, 0)).to_pylist()[0]
    write_table(pa.Table.from_pylist([row] * 8), problems / "twice.parquet")
    twice = job(problems, "c.s0", problems=str(problems / "twice.parquet"), updates=2, learning_rate=0.0)
    record = reinforcement.train(twice)
    assert len(record["curve"]) == 1 and 0 <= record["curve"][0]["right"] <= 1


def test_a_start_of_another_kind_trains_to_other_weights(problems):
    first = job(problems, "a.s0")
    assert reinforcement.plan_of(first) != reinforcement.plan_of(dataclasses.replace(first, start=str(BASE)))
    how = dataclasses.replace(first, folder="b", micro_batch=4, checkpoint_rounds=9)
    assert reinforcement.plan_of(first) == reinforcement.plan_of(how)


@pytest.mark.parametrize("wrong", [{"micro_batch": 5}, {"micro_batch": 64}, {"group": 3}])
def test_a_round_that_cannot_be_divided_is_refused_before_a_model_is_loaded(problems, wrong):
    with pytest.raises(ValueError, match="not 2 updates in micro-batches"):
        reinforcement.train(job(problems, "a.s0", base_model="nowhere", **wrong))


def test_the_moving_reference_follows_by_its_share(problems):
    model = finetune.prepare(models.load(BASE)[0], "lora", rank=4, alpha=8, seed=0)
    model.add_adapter("ref", model.peft_config["default"])
    weights = {n: w for n, w in model.named_parameters() if ".default." in n}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.fill_(1.0)
            model.get_parameter(name.replace(".default.", ".ref.")).fill_(0.0)
    callbacks.Following(0.25, None).on_step_end(None, None, None, model=model)
    for name, weight in weights.items():
        followed = model.get_parameter(name.replace(".default.", ".ref.")).detach().numpy()
        assert np.allclose(followed, 0.25) and bool((weight == 1).all())


def test_a_kill_changes_nothing(tmp_path):
    """With a moving reference, too: of two adapters Transformers restores one alone."""
    assert killed.main(tmp_path, 1, "correct.t1") == (1, True)


@pytest.mark.slow  # ten kills take two minutes or more
@pytest.mark.parametrize("condition", ["correct.rl", "correct.t1"])
def test_ten_kills_change_nothing(tmp_path, condition):
    hits, same = killed.main(tmp_path, 10, condition)
    assert same and hits >= 5


def test_the_notebook_trains_shows_and_keeps(tmp_path, problems):
    run_here(
        "01_data_preparation", output_dir=str(tmp_path), n_traces=30, n_problems=6, n_hard=1, n_validation=6
    )
    given = {"group": 4, "problems_per_round": 4, "t1_group": 4, "micro_batch": 8, "updates": 2,
             "max_new_tokens": 24, "n_validation": 4, "output_dir": str(tmp_path)}  # fmt: skip
    found = run_here("09_reinforcement", conditions=["base.rl", "base.t1"], **given)
    assert list(found["logs"]) == ["base.rl", "base.t1"] and len(found["validation"]) == 2 * 3
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "adapters").rglob("*.safetensors")}
    run_here("09_reinforcement", conditions=["base.rl", "base.t1"], **given)
    assert written == {path: path.stat().st_mtime_ns for path in written} and len(written) == 2

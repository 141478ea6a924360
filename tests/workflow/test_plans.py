"""Finished work is recognised by its plan: notebooks 03 and 04 again, with the same plan and with another."""

import json
import os
import shutil

import matplotlib
import pyarrow.parquet as pq
import pytest

from helpers import files
from helpers.data.traces import read_table, write_table
from helpers.evaluation import journal
from helpers.evaluation.journal import Response
from helpers.perturbations import arm_files
from helpers.puzzles import countdown
from helpers.training import finetune
from helpers.workflow import chain
from tests.support import tiny
from tests.support.notebooks import run_here


@pytest.fixture(scope="module", autouse=True)
def no_window():
    matplotlib.use("agg")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny model, an arm and a benchmark, as notebooks 01 and 02 write them."""
    folder = tmp_path_factory.mktemp("plans")
    traces = countdown.correct_traces("train", 8, 0)
    tiny.qwen(folder / "model", [trace.problem for trace in traces], layers=1, width=32)
    arm_files.write_arms({"correct": traces}, ["correct"], 0, folder / "run" / "arms")
    for name, split in (("countdown", "test"), ("countdown-hard", "validation")):
        table = countdown.benchmark(name, countdown.problems(split, 3, 0))
        write_table(table, folder / "run" / "benchmarks" / f"{name}.parquet")
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def train(run, **changes):
    given = {"output_dir": str(run / "run"), "base_model": str(run / "model"), "conditions": ["correct"]}
    given |= {"lora_rank": 4, "lora_alpha": 8, "threads": 1, "checkpoint_steps": 0}
    run_here("03_lora_training", **given | changes)
    return (run / "run" / "adapters" / "correct.s0" / "adapter_model.safetensors").read_bytes()


def evaluate(run, **changes):
    given = {"output_dir": str(run / "run"), "base_model": str(run / "model"), "conditions": ["correct"]}
    given |= {"benchmarks": ["countdown"], "max_new_tokens": 4, "threads": 1}
    run_here("04_evaluation", **given | changes)
    return read_table(run / "run" / "generations" / "correct.s0.parquet")


def test_notebooks_03_and_04_see_another_plan_and_keep_the_work_of_the_same_one(run, capsys):
    first, answers = train(run), evaluate(run)
    record = json.loads((run / "run" / "adapters" / "correct.s0" / "training.json").read_text())
    assert record["plan"]["learning_rate"] == 0.003 and "6 responses" not in capsys.readouterr().out

    moved = run.rename(run.with_name("moved"))  # and what changes no result
    assert train(moved, micro_batch=2, checkpoint_steps=100, checkpointing=True) == first
    assert evaluate(moved, batch_size=1, batch_tokens=99) == answers
    said = capsys.readouterr().out
    assert "correct: already trained" in said and "3 responses stored, none to ask for" in said

    assert train(moved, learning_rate=0.05) != first
    assert "trained under another plan (learning_rate) and is trained again" in capsys.readouterr().out
    evaluate(moved)
    said = capsys.readouterr().out
    assert "3 of 3 responses to ask for; those stored are of another plan" in said

    evaluate(moved, benchmarks=["countdown", "countdown-hard"])
    assert "correct: 3 of 6 responses to ask for\n" in capsys.readouterr().out
    assert evaluate(moved, max_new_tokens=5)["tokens"].to_pylist() != answers["tokens"].to_pylist()
    assert "3 of 3 responses to ask for" in capsys.readouterr().out


@pytest.fixture
def job(made, tmp_path):
    return {
        "base_model": str(made / "model"), "arm": str(made / "run" / "arms" / "correct.s0.parquet"),
        "folder": str(tmp_path / "adapters" / "correct.s0"), "condition": "correct", "seed": 0,
        "method": "lora", "rank": 4, "alpha": 8, "learning_rate": 0.01, "epochs": 1, "batch_size": 4,
        "max_length": 1024, "traces": 0,
    }  # fmt: skip


def planned(job):
    return finetune.plan_of(finetune.Job(**job), *finetune.texts(job["arm"], job["traces"]))


CHANGES = {
    "seed": 1, "method": "qlora", "rank": 8, "alpha": 16, "learning_rate": 0.02, "epochs": 2,
    "batch_size": 2, "max_length": 512, "traces": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_that_matters_is_part_of_the_plan(job, name):
    assert planned(job) != planned(job | {name: CHANGES[name]})


def test_what_does_not_matter_is_no_part_of_the_plan(job, made, tmp_path):
    assert planned(job | {"learning_rate": 1}) == planned(job | {"learning_rate": 1.0})
    full = job | {"method": "full"}
    assert planned(full) == planned(full | {"rank": 99, "alpha": 1})
    other = shutil.copytree(made / "model", tmp_path / "elsewhere")
    assert planned(job) == planned(job | {"base_model": str(other)})
    (other / "README.md").write_text("a card")
    assert planned(job) == planned(job | {"base_model": str(other)})
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert planned(job) != planned(job | {"base_model": str(other)})


def test_weights_without_a_plan_and_damaged_records_are_trained_again(job, capsys):
    path = tiny.Path(job["folder"], "training.json")
    path.parent.mkdir(parents=True)
    for text in ('{"steps": 3}', "not JSON", "[1]", '{"plan": null}'):
        path.write_text(text)
        assert not finetune.is_trained(finetune.Job(**job))
        assert "by a version that recorded no plan and is trained again" in capsys.readouterr().out
    path.write_text(json.dumps({"plan": planned(job)}))
    assert finetune.is_trained(finetune.Job(**job)) and not finetune.is_trained(
        finetune.Job(**job | {"epochs": 2})
    )
    assert "another plan (epochs)" in capsys.readouterr().out


def asked(**changes):
    problems = countdown.benchmark("countdown", countdown.problems("test", 4, 0))
    return journal.requests("base", 0, "countdown", problems, **{"max_new_tokens": 9, "model": "m"} | changes)


def test_stored_responses_count_by_their_keys_alone(tmp_path):
    todo, path = asked(), tmp_path / "base.s0.parquet"
    responses = [Response(f"r{i}", i, i % 2 == 0) for i in range(4)]
    assert journal.missing(todo, tmp_path) == "4 of 4 responses to ask for"
    journal.store(todo, responses, path)
    assert journal.complete(todo, lambda missing: iter(()), tmp_path) == responses
    assert journal.complete(todo[::-1], lambda missing: iter(()), tmp_path) == responses[::-1]
    assert "another plan" in journal.missing(asked(model="n"), tmp_path)
    pq.write_table(read_table(path).slice(0, 3), path)  # somebody's file in its place
    assert "another plan" in journal.missing(todo, tmp_path) and journal.stored(path) == {}
    path.with_name(".base.s0.plan.json").write_text("{")
    assert journal.stored(path) == {}


def test_contents_are_those_of_the_files_wherever_they_are(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "training.json").write_text(name)
    assert files.contents(tmp_path / "a") == files.contents(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text("[]")
    assert files.contents(tmp_path / "a") != files.contents(tmp_path / "b")
    assert files.contents("owner/model") == "owner/model"


def test_the_chain_has_a_notebook_look_at_what_was_made_by_hand_after_it(tmp_path):
    recipe = {"conditions": ["base", "correct"], "seeds": [0], "more_seeds": {}, "conditions_per_job": 1}
    weights, responses = tmp_path / "adapters" / "correct.s0", tmp_path / "generations" / "correct.s0.parquet"
    notebooks = [
        tmp_path / "notebooks" / f"{name}.correct.s0.ipynb" for name in ("03_lora_training", "04_evaluation")
    ]
    for path in (weights / "training.json", responses, *notebooks):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 2 if path.suffix == ".ipynb" else 1))
    assert chain.made_by_hand(recipe, tmp_path) == []
    os.utime(weights / "training.json", (3, 3))
    assert chain.made_by_hand(recipe, tmp_path) == [str(weights)]
    os.utime(responses, (3, 3))
    assert chain.made_by_hand(recipe, tmp_path) == [str(weights), str(responses)]
    notebooks[0].unlink()  # Snakemake runs it in any case
    assert chain.made_by_hand(recipe, tmp_path) == [str(responses)]

"""The family of puzzles in words through all notebooks, with a tiny model."""

import json
import shutil
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.data import gym
from helpers.data.traces import read_traces
from helpers.puzzles import islanders
from helpers.workflow import recipe
from tests.support import tiny
from tests.support.sandboxed import needs_gym
from tests.workflow.test_recipes_chain import NOTEBOOKS, ROOT, run_all

CONDITIONS = ["base", "correct", "wrong", "short", "names-50", "verdicts-50", "keywords-100", "shuffle-67"]
RECIPE = {
    "about": "islanders in miniature",
    "conditions": CONDITIONS,
    "seeds": [0],
    "base_model": "../model",
    "conditions_per_job": 8,
    "01_data_preparation": {"source": "islanders", "n_traces": 8, "n_problems": 4, "n_hard": 4,
                            "n_validation": 4},
    "02_perturbations": {"measured": 8},
    "03_lora_training": {"batch_size": 4, "epochs": 1, "max_length": 512, "threads": 1},
    "04_evaluation": {"benchmarks": ["islanders", "islanders-hard"], "max_new_tokens": 6, "threads": 1},
    "05_analysis": {"benchmarks": ["islanders", "islanders-hard"]},
}  # fmt: skip


def house(folder: Path, **changes: object) -> Path:
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    (folder / "helpers").symlink_to(ROOT / "helpers")
    (folder / "base_model").symlink_to(ROOT / "base_model")  # its tokenizer counts notebook 02's tokens
    traces = islanders.correct_traces("train", 8, seed=0)
    tiny.qwen(folder / "model", [text for trace in traces for text in (trace.problem, *trace.steps)])
    (folder / "notebooks" / "recipes" / "words.yaml").write_text(yaml.safe_dump(RECIPE | changes))
    return folder


def test_puzzles_in_words_run_from_the_first_notebook_to_the_report(tmp_path):
    folder = house(tmp_path / "house")
    found, out = recipe.load("words", folder / "notebooks"), folder / "outputs" / "words"
    run_all(found, folder, out)
    assert {t.source for t in read_traces(out / "traces" / "correct.parquet")} == {"islanders"}
    grid = pd.read_csv(out / "results" / "grid.csv")
    assert set(grid.benchmark) == {"islanders", "islanders-hard"} and set(grid.condition) == set(CONDITIONS)
    judged = json.loads((out / "results" / "claims.json").read_text())
    verdicts = {c["id"]: c["verdict"] for c in judged if c["benchmark"] == "islanders"}
    assert verdicts["verdicts-50-equals-correct"] != "not run" and "digits-50-equals-correct" not in verdicts
    report = (out / "results" / "report.html").read_text()
    assert "wrong verdicts, half of them, are harmless" in report and "notebook 07" not in report
    explorer = (out / "results" / "explorer.html").read_text()
    assert "names-50" in explorer and "verdicts-100" in explorer and "digits-50" not in explorer


def test_the_chain_plans_the_benchmarks_of_the_family(tmp_path):
    folder = house(tmp_path / "house")
    command = [sys.executable, "-m", "snakemake", "all", "--snakefile", "notebooks/Snakefile", "--dry-run",
               "--cores", "1", "--config", "recipe=words"]  # fmt: skip
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    planned = made.stdout + made.stderr
    assert made.returncode == 0, planned[-3000:]
    assert "benchmarks/islanders-hard.parquet" in planned and "benchmarks/countdown" not in planned


def test_an_arm_that_does_nothing_to_words_stops_before_anything_is_trained(tmp_path):
    folder = house(tmp_path / "house", conditions=["base", "correct", "digits-50"])
    found, out = recipe.load("words", folder / "notebooks"), folder / "outputs" / "words"
    with pytest.raises(ValueError, match="'digits-50' changes none of these traces"):
        run_all(found, folder, out)
    assert (out / "arms").exists() and not (out / "adapters").exists()


def house_of_reasoning_gym(folder: Path) -> Path:
    """As `house`, with two data sets of reasoning-gym, and what a teacher wrote on problems of one."""
    sets = {"letter_counting": {"max_words": 6}, "knights_knaves": {}}
    step = "I count them one by one{}. So I have them.\n\nWait, let me check that.\n\nIt is as I said."
    rows = []
    for i, row in enumerate(gym.problems("reasoning-gym:letter_counting-train", 8, sets["letter_counting"])):
        for said in (literal_eval(json.loads(row["answer"])["entry"])["answer"], "none"):
            thought = step.format(f", from {i}" if said == "none" else "")
            rows.append(row | {"response": f"<think>\n{thought}\n</think>\n\n\\boxed{{{said}}}"})
    data = {
        "source": "../teacher.jsonl",
        "reasoning_gym": sets,
        "n_problems": 4,
        "n_hard": 4,
        "n_validation": 4,
    }
    names = [f"reasoning-gym:{name}" for name in sets]
    made = house(
        folder,
        conditions=["base", "correct", "wrong", "shuffle-100"],
        **{
            "01_data_preparation": data,
            "04_evaluation": RECIPE["04_evaluation"] | {"benchmarks": names},
            "05_analysis": {"benchmarks": names},
        },
    )
    (made / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@needs_gym
def test_data_sets_of_reasoning_gym_run_from_the_first_notebook_to_the_report(tmp_path):
    folder = house_of_reasoning_gym(tmp_path / "house")
    found, out = recipe.load("words", folder / "notebooks"), folder / "outputs" / "words"
    run_all(found, folder, out)
    kinds = {kind: len(read_traces(out / "traces" / f"{kind}.parquet")) for kind in ("correct", "wrong")}
    assert kinds == {"correct": 8, "wrong": 8}
    grid = pd.read_csv(out / "results" / "grid.csv")
    assert set(grid.benchmark) == {"reasoning-gym:letter_counting", "reasoning-gym:knights_knaves"}
    assert set(grid.condition) == set(found["conditions"])
    command = [sys.executable, "-m", "snakemake", "all", "--snakefile", "notebooks/Snakefile", "--dry-run",
               "--cores", "1", "--config", "recipe=words"]  # fmt: skip
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    assert "benchmarks/reasoning-gym:knights_knaves-validation.parquet" in made.stdout + made.stderr

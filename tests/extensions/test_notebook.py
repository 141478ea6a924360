"""Notebook 10 in a kernel of its own with a tiny model, stopped and run again, and without a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pyarrow as pa
import pytest
import yaml

from helpers.analysis import tables
from helpers.data.traces import write_table
from helpers.evaluation import benchmarks, generation
from helpers.puzzles import countdown
from tests.support import tiny
from tests.support.notebooks import NOTEBOOKS, run_here

TEXTS = ["Ann has 3 boxes of 4 pens. How many pens?", "**Conditions:**\n1. There are 3 boxes.\n"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A tiny model, two problems where the notebook looks for them, and a finished run's responses."""
    folder = tmp_path_factory.mktemp("stickers")
    problems = [
        {"id": str(i), "problem": text, "answer": "12", "tolerance": 0.0} for i, text in enumerate(TEXTS)
    ]
    table = pa.Table.from_pylist(problems, schema=benchmarks.COLUMNS)
    write_table(table, folder / "out" / "benchmarks" / "gsm8k.parquet")
    puzzles = [((5, 19, 20), 6), ((3, 4, 5), 7)]
    openings = [countdown.opening((5, 19, 20), 6), countdown.opening((3, 4, 6), 7)]
    rows = [{"benchmark": "countdown", "problem": countdown.problem_text(*p), "response": o}
            for p, o in zip(puzzles, openings, strict=True)]  # fmt: skip
    write_table(pa.Table.from_pylist(rows), folder / "laptop" / "generations" / "digits-20.s0.parquet")
    return {
        "output_dir": str(folder / "out"), "models": [str(tiny.qwen(folder / "tiny", TEXTS))],
        "laptop": str(folder / "laptop"), "max_new_tokens": 6, "threads": 1,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_run_again_it_asks_nothing_and_one_more_problem_is_asked_alone(given, monkeypatch, tmp_path):
    here = given | {"output_dir": str(tmp_path)}
    table = benchmarks.COLUMNS.empty_table().from_pylist(
        [{"id": str(i), "problem": text, "answer": "12", "tolerance": 0.0} for i, text in enumerate(TEXTS)]
    )
    write_table(table, tmp_path / "benchmarks" / "gsm8k.parquet")
    seen, respond = [], generation.respond

    def counting(requests, *args, **more):
        seen.extend(requests)
        yield from respond(requests, *args, **more)

    monkeypatch.setattr(generation, "respond", counting)
    first = run_here("10_stickers", **here, n_problems=1)["results"]
    assert {r.problem_id for r in seen} == {"example", "0"}
    seen.clear()
    assert run_here("10_stickers", **here, n_problems=1)["results"].equals(first) and seen == []
    both = run_here("10_stickers", **here)["results"]
    assert {r.problem_id for r in seen} == {"1"} and both.head(4).equals(first)


def test_misquoted_puzzles_are_counted_and_without_a_run_the_notebook_says_what_to_run(
    given, tmp_path, capsys
):
    kept = run_here("10_stickers", laptop=given["laptop"])
    assert kept["drift"].loc["digits-20"].to_dict() == {
        "right": 50,
        "misquoted": 50,
        "absent": 0,
        "correct": 0,
    }
    assert kept["results"].model.unique().tolist() == ["smollm2"]
    missing = run_here("10_stickers", laptop=str(tmp_path))
    assert missing["drift"].empty and "`make reproduce` makes them" in capsys.readouterr().out


@pytest.fixture
def house(given, tmp_path):
    """A folder that is the repository to whoever works in it, and the recipe made small."""
    for name in ("helpers", "outputs/reference"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(NOTEBOOKS.parent / name)
    (tmp_path / "notebooks" / "recipes").mkdir(parents=True)
    (tmp_path / "notebooks" / "10_stickers.ipynb").symlink_to(NOTEBOOKS / "10_stickers.ipynb")
    (tmp_path / "outputs" / "stickers").mkdir()
    (tmp_path / "outputs" / "stickers" / "benchmarks").symlink_to(Path(given["output_dir"]) / "benchmarks")
    return tmp_path


def reproduce(house, changes, *options):
    """`make reproduce RECIPE=stickers` with changes to the recipe."""
    found = yaml.safe_load((NOTEBOOKS / "recipes" / "stickers.yaml").read_text())
    found["10_stickers"] |= changes.pop("10_stickers")
    (house / "notebooks" / "recipes" / "stickers.yaml").write_text(yaml.safe_dump(found | changes))
    command = [sys.executable, "-m", "helpers.workflow.chain", "reproduce", "--recipe", "stickers", *options]
    environment = os.environ | {"PYTHONPATH": str(NOTEBOOKS.parent)}
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True)


def test_the_recipe_runs_the_notebook_without_the_chain(given, house):
    small = {name: given[name] for name in ("models", "max_new_tokens", "threads")}
    small |= {"engine": "transformers", "benchmarks": ["gsm8k"]}
    made = reproduce(house, {"10_stickers": small})
    assert made.returncode == 0, made.stderr
    assert "Notebook: outputs/stickers/notebooks/10_stickers.ipynb" in made.stdout.splitlines()[-1]
    out = house / "outputs" / "stickers"
    text = (out / "notebooks" / "10_stickers.ipynb").read_text()
    assert "reported" in text and "image/png" in text
    results, steps = tables.read_csv(out / "results.csv"), tables.read_csv(out / "example.csv")
    assert list(results.problem_id.astype(str)) == ["0"] * 4 + ["1"] * 4 and set(results.model) == {"tiny"}
    assert set(results.ended) == {0} and set(results.status) == {"truncated"}, "a random model never ends"
    assert list(results.tokens) == [6 * calls for calls in results.calls]
    assert len(steps) == 11 and set(steps.tokens) == {6}
    lines = (out / "generations" / "tiny" / "base.s0.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) <= 33


def test_a_recipe_that_asks_for_more_than_the_notebook_is_refused(house):
    for changes, options, said in (
        ({"10_stickers": {"n_problem": 3}}, [], "unknown parameter 'n_problem': did you mean 'n_problems'?"),
        ({"10_stickers": {}, "conditions": ["base"]}, [], "runs without the chain"),
        ({"10_stickers": {}}, ["--seeds", "1"], "runs without the chain"),
        ({"10_stickers": {}}, ["--model", "../tiny"], "runs without the chain"),
    ):
        refused = reproduce(house, changes, *options)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1
        assert "stickers.yaml: " in refused.stderr and said in refused.stderr


def test_a_failed_run_says_why_and_keeps_the_notebook(house):
    failed = reproduce(house, {"10_stickers": {"engine": "vlm", "benchmarks": ["gsm8k"]}})
    assert failed.returncode == 2 and "10_stickers failed: KeyError" in failed.stderr
    assert list((house / "outputs" / "stickers" / "notebooks").glob("*.failed.ipynb"))


def test_the_kept_run_s_page_says_what_its_table_says():
    kept = NOTEBOOKS.parent / "outputs" / "reference" / "stickers"
    results, page = tables.read_csv(kept / "results.csv"), (kept / "README.md").read_text()
    means = results.groupby("after")[["calls", "tokens"]].mean()
    shown = [means.calls.map("{:.1f}".format), means.tokens.map("{:.0f}".format)]
    assert "{} requests; {} tokens".format(*map(", ".join, shown)) in page
    right = results.assign(right=results.status == "ok").groupby("after").right.sum()
    assert set(right) == {0} and "0 of 50" in page and set(results.groupby("after").size()) == {50}

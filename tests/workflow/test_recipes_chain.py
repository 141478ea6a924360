"""Every recipe as far as it goes without weights: what it would need, and its whole chain with a tiny model.

The tiny model has the recipe's architecture, the hub's format and a tokenizer of its own; data are local
files of the true schema.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from helpers import devices
from helpers.conditions import parse
from helpers.evaluation import benchmarks
from helpers.perturbations import arms
from helpers.training import memory, shapes
from helpers.workflow import recipe
from tests.support import tiny
from tests.support.notebooks import run_here

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
PATHS = sorted((NOTEBOOKS / "recipes").glob("*.yaml"))
NAMES = [
    path.stem for path in PATHS if "conditions" in recipe.read(path)
]  # the others run one notebook alone
LARGE = [name for name in NAMES if not recipe.load(name, NOTEBOOKS)["base_model"].startswith("../base_model")]


def plans(found: dict) -> dict[str, tuple[dict, memory.Plan]]:
    """The shape and plan of every trained condition, at the full length that its recipe allows."""
    given = recipe.parameters(NOTEBOOKS / "03_lora_training.ipynb") | found["03_lora_training"]
    gpus = max(1, given["gpus"])
    return {
        condition: (
            shapes.shape_of(recipe.base_model_of(found, condition).replace("../", f"{ROOT}/")),
            memory.Plan(
                parse(condition).method or given["default_method"], given["lora_rank"],
                given["micro_batch"] or given["batch_size"] // gpus, given["max_length"],
                given["checkpointing"], devices.machine(given["gpu"]).precision, gpus, given["sharding"],
            ),
        )
        for condition in recipe.trained(found)
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_of_a_recipe_fits_the_gpu_that_it_names(name):
    found = recipe.load(name, NOTEBOOKS)
    gpu = devices.machine(found["03_lora_training"].get("gpu", ""))
    made = plans(found)
    for shape, plan in made.values():
        memory.check(shape, plan, gpu)
    tokens = dict.fromkeys(made, 1_000_000)
    shape = next(iter(made.values()))[0]
    table = memory.table(shape, {c: plan for c, (_, plan) in made.items()}, gpu, tokens, price=2.0)
    assert list(table.index) == recipe.trained(found) and table["peak GB"].map(float).gt(0).all()


@pytest.mark.parametrize("name", LARGE)
def test_shapes_of_recipes_are_known_without_a_network(name):
    found = recipe.load(name, NOTEBOOKS)
    known = json.loads(shapes.KNOWN.read_text())
    assert {recipe.base_model_of(found, c) for c in found["conditions"]} <= known.keys()


def test_the_paper_s_recipe_has_the_paper_s_settings():
    found = recipe.load("paper", NOTEBOOKS)
    assert found["01_data_preparation"]["n_traces"] == 4618
    wanted = {"lora_rank": 64, "lora_alpha": 128, "learning_rate": 1e-4, "epochs": 3, "batch_size": 96}
    assert wanted | {"max_length": 16384} == {
        k: found["03_lora_training"][k] for k in [*wanted, "max_length"]
    }
    assert set(found["conditions"]) == {"base", *arms.ARMS} - {"wrong"}


def trace_row(i: int, kind: str) -> dict:
    """A row as a data set of one's own has it; a thought of four steps."""
    answer = str(17 + i if kind == "correct" else 90 + i)
    steps = (
        f"Let me add {i} and 17 first. That should be near {16 + i}.",
        f"Wait, I have to look again: {i}+10={i + 10}, and 7 more is {i + 17}.",
        f"Alternatively, 17+{i} is 20+{i} less 3, which is {20 + i}-3={17 + i}.",
        f"But is it right? However I turn it, the sum is {answer}.",
    )
    response = "<think>\n" + "\n\n".join(steps) + f"\n</think>\n\nThe sum is \\boxed{{{answer}}}."
    parts = ("qwq_32b_preview", *(f"human_stage{k}" for k in (1, 2, 3, 4)))
    row = {"problem": f"Add seventeen and the number {i}.", "response": response, "answer": str(17 + i)}
    return row | {"kind": kind, "part": parts[i % 5]}


def problems(name: str) -> list[dict]:
    """Three problems of a benchmark, in the package's own columns."""
    answer = "4"
    if name == "livecodebench":
        answer = json.dumps({"tests": [{"input": "", "output": "4"}], "entry": None})
    return [
        {"id": f"{name}-{i}", "problem": f"What is {i}+{4 - i}? Explain.", "answer": answer, "tolerance": 0.0}
        for i in range(3)
    ]


def chosen(conditions: list[str]) -> list[str]:
    """Enough of a recipe's conditions: each way of training, each size, and one arm that is perturbed."""
    found: dict[tuple, str] = {}
    for condition in conditions:
        asked = parse(condition)
        arm, some = asked.arm, bool(asked.traces)
        kind = arm if arm in ("base", "correct") else "part" if arm in arms.PARTS else "perturbed"
        if kind != "perturbed" or not (some or asked.size):
            found.setdefault((kind, asked.method, some, asked.size), condition)
    return list(found.values())


def house(folder: Path, name: str) -> Path:
    """A folder with the project's notebooks, tiny models for the recipe's, and the recipe made small."""
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    (folder / "helpers").symlink_to(ROOT / "helpers")
    (folder / "base_model").symlink_to(ROOT / "base_model")  # its tokenizer counts notebook 02's tokens
    found = yaml.safe_load((NOTEBOOKS / "recipes" / f"{name}.yaml").read_text())
    rows = [trace_row(i, kind) for i in range(12) for kind in ("correct", "wrong")]
    texts = [row["response"] for row in rows]
    tiny.qwen(folder / "model", texts)
    for k, size in enumerate(found.get("models", {})):
        tiny.qwen(folder / f"model_{size}", texts, layers=1 + k)
        found["models"][size] = f"../model_{size}"
    few = [c.replace(".n250", ".n3").replace(".n5", ".n2") for c in chosen(found["conditions"])]
    found |= {"base_model": "../model", "conditions": few, "seeds": [0]}
    found |= {"conditions_per_job": 9}  # a kernel takes longer to start than these trainings
    found["01_data_preparation"] |= {"n_traces": 8, "n_problems": 4, "n_hard": 4, "n_validation": 4}
    if "source" in found["01_data_preparation"]:
        found["01_data_preparation"]["source"] = "../traces.jsonl"
        (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found["03_lora_training"] |= {"gpus": 0, "batch_size": 4, "micro_batch": 2, "epochs": 1, "threads": 1}
    found["04_evaluation"] |= {"engine": "transformers", "max_new_tokens": 6, "threads": 1}
    for benchmark in found["04_evaluation"]["benchmarks"]:
        if not benchmark.startswith("countdown"):
            path = folder / "outputs" / name / "benchmarks" / f"{benchmark}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(problems(benchmark))
            pq.write_table(benchmarks.COLUMNS.empty_table().from_pandas(table, benchmarks.COLUMNS), path)
    (folder / "notebooks" / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(found))
    return folder


def run_all(found: dict, folder: Path, out: Path) -> None:
    """Every job of a recipe in this process, with the parameters that the Snakefile would give it."""
    matplotlib.use("agg")
    batches = recipe.batches(found)
    for job in recipe.jobs(found):
        notebook, _, name = job.partition(".")
        given: dict[str, object] = {}
        if notebook == "02_perturbations":
            made = list(dict.fromkeys(parse(c).arm for c in recipe.trained(found)))
            given = {"arms": made, "seed": int(name[1:])}
        elif name:
            conditions, seed = batches[name]
            base = recipe.base_model_of(found, conditions[0])
            given = {"base_model": base, "conditions": conditions, "seed": seed}
        elif notebook == "05_analysis":
            given = {key: found[key] for key in ("conditions", "seeds", "more_seeds")}
        run_here(notebook, folder / "notebooks", output_dir=str(out), **found[notebook], **given)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LARGE)
def test_every_recipe_runs_from_the_first_notebook_to_the_last_with_a_tiny_model(tmp_path, name):
    """One through Snakemake, papermill and kernels, the others in this process, which is much faster."""
    folder = house(tmp_path / "house", name)
    found, out = recipe.load(name, folder / "notebooks"), folder / "outputs" / name
    if name == "paper":
        command = [sys.executable, "-m", "helpers.workflow.chain", "reproduce", "--recipe", name]
        environment = {k: v for k, v in os.environ.items() if k != "MAKELEVEL"} | {"PYTHONPATH": str(ROOT)}
        made = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    else:
        run_all(found, folder, out)
    grid = pd.read_csv(out / "results" / "grid.csv")
    assert set(grid["condition"]) == set(found["conditions"])
    assert set(grid["benchmark"]) == set(found["04_evaluation"]["benchmarks"])
    for condition in recipe.trained(found):
        record = json.loads((out / "adapters" / f"{condition}.s0" / "training.json").read_text())
        usual = found["03_lora_training"].get("default_method", "lora")
        assert record["method"] == (parse(condition).method or usual)
        assert record["base_model"] == recipe.base_model_of(found, condition) and record["recipe"] == name
        assert record["traces"] == (parse(condition).traces or record["traces"]) > 0
    assert (out / "results" / "report.html").exists() and not list(out.rglob("*.failed.ipynb"))

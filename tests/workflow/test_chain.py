"""The chain for real on five tiny notebooks: Snakemake, papermill and kernels, in a folder of its own."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from helpers.workflow import chain, progress
from tests.support.notebooks import write_notebook
from tests.support.processes import processes_in

ROOT = Path(__file__).parents[2]
RECIPE = {
    "recipe": "mini",
    "about": "a chain of seconds",
    "conditions": ["base", "correct", "digits-50"],
    "seeds": [0],
    "base_model": "../base_model",
    "01_data_preparation": {"n_traces": 3},
}
COMMON = """
import time
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
out = Path(output_dir)
def write(path, **columns):
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), out / path)
def read(path):
    return pq.read_table(out / path).to_pydict()
"""
NOTEBOOKS = {
    "01_data_preparation": (
        "output_dir = '../outputs/by_hand'\nn_traces = 5",
        """
from helpers.data.traces import Trace, write_traces
(out / "traces").mkdir(parents=True, exist_ok=True)
for kind in ("correct", "wrong", "short"):
    made = [Trace(f"{kind}-{i}", "Why?", ("So.",), "It is 1.", "1", "made up") for i in range(n_traces)]
    write_traces(made, out / f"traces/{kind}.parquet")
for name in ("countdown", "countdown-hard", "countdown-validation"):
    write(f"benchmarks/{name}.parquet", id=["p"])
""",
    ),
    "02_perturbations": (
        "output_dir = '../outputs/by_hand'\narms = ['correct']\nseed = 0",
        """
for arm in arms:
    write(f"arms/{arm}.s{seed}.parquet", id=[f"{arm} {i}" for i in read("traces/correct.parquet")["id"]])
""",
    ),
    "03_lora_training": (
        "output_dir = '../outputs/by_hand'\nbase_model = ''\nconditions = ['correct']\nseed = 0\n"
        "learning_rate = 1e-3\nthreads = 1\nlabels = ['a']",
        """
assert learning_rate > 0, "first line\\nthe learning rate is not positive"
for condition in conditions:
    record = out / f"adapters/{condition}.s{seed}/training.json"
    ids = read(f"arms/{condition.split('.')[0]}.s{seed}.parquet")["id"]
    if record.exists() and record.read_text() == f"{ids} {learning_rate}":
        continue  # the same plan, as the true notebook knows it
    record.parent.mkdir(parents=True, exist_ok=True)
    time.sleep(0.5)
    record.write_text(f"{ids} {learning_rate}")
""",
    ),
    "04_evaluation": (
        "output_dir = '../outputs/by_hand'\nbase_model = ''\nconditions = ['correct']\nseed = 0\nthreads = 1",
        """
for condition in conditions:
    name = f"{condition}.s{seed}"
    trained = "" if name == "base.s0" else (out / f"adapters/{name}/training.json").read_text()
    write(f"generations/{name}.parquet", response=[trained])
    write(f"scores/{name}.parquet", condition=[condition], response=[trained])
""",
    ),
    "05_analysis": (
        "output_dir = '../outputs/by_hand'\nconditions = ['correct']\nseeds = [0]\nmore_seeds = {}",
        """
rows = [str(read(f"scores/{p.stem}.parquet")) for p in sorted((out / "scores").glob("*.parquet"))]
(out / "results").mkdir(exist_ok=True)
for name in ("grid.csv", "differences.csv", "claims.json"):  # of a true run: the report is made from them
    (out / "results" / name).write_bytes((Path("../true") / name).read_bytes())
for name in ("claims.csv", "report.html"):
    (out / "results" / name).write_text("\\n".join(rows))
""",
    ),
}


def house(folder: Path, **changes: object) -> Path:
    """A folder with the tiny notebooks, the project's Snakefile, a base model and the recipe `mini`."""
    (folder / "notebooks" / "recipes").mkdir(parents=True)
    (folder / "base_model").mkdir()
    (folder / "base_model" / "model.safetensors").write_bytes(b"weights")
    shutil.copy(ROOT / "notebooks" / "Snakefile", folder / "notebooks")
    (folder / "true").mkdir()
    for name in ("grid.csv", "differences.csv", "claims.json"):
        shutil.copy(ROOT / "outputs" / "reference" / "laptop" / name, folder / "true")
    for name, (parameters, body) in NOTEBOOKS.items():
        write_notebook(folder / "notebooks" / f"{name}.ipynb", parameters, COMMON, body)
    write_recipe(folder, **changes)
    return folder


def write_recipe(folder: Path, **changes: object) -> None:
    (folder / "notebooks" / "recipes" / "mini.yaml").write_text(yaml.safe_dump(RECIPE | changes))


def start(folder: Path, *options: str) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if k != "MAKELEVEL"} | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "helpers.workflow.chain",
        "reproduce",
        "--recipe",
        "mini",
        "--cores",
        "2",
        *options,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job ignores Ctrl-C, and so would what it starts.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **heard)


def reproduce(folder: Path, *options: str) -> tuple[int, str, str]:
    process = start(folder, *options)
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def tables(folder: Path) -> dict[str, bytes]:
    """Everything that has to be equal byte for byte."""
    out = folder / "outputs" / "mini"
    paths = [*out.rglob("*.parquet"), *out.rglob("*.csv"), *out.rglob("training.json")]
    return {str(p.relative_to(out)): p.read_bytes() for p in paths}


def times(folder: Path, pattern: str) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "outputs" / "mini").glob(pattern)}


def processor_seconds() -> float:
    """What the processes that this one started, and that ended, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, bytes]]:
    """A chain that ran to its end, what it printed and its tables. Tests that change it leave it complete."""
    folder = house(tmp_path_factory.mktemp("unbroken"))
    status, out, err = reproduce(folder)
    assert status == 0, out + err
    return folder, out, tables(folder)


def test_progress_names_notebook_condition_duration_and_the_report(unbroken):
    folder, out, _ = unbroken
    done = [line for line in out.splitlines() if ": done in" in line]
    assert [line.split("]")[0] for line in done] == [f"[{i}/8" for i in range(1, 9)]
    assert re.search(r"04_evaluation digits-50 seed 0: done in \d+ s; about \d+ s left", out)
    assert out.splitlines()[-1].endswith("Report: outputs/mini/results/report.html")
    results = folder / "outputs/mini/results"
    report = (results / "report.html").read_text()
    assert json.loads((results / "manifest.json").read_text())["written"] in report
    assert "make reproduce RECIPE=mini SEEDS=" in report and "no manifest" not in report


def test_base_and_correct_come_first(unbroken):
    started = [line.split("] ")[1] for line in unbroken[1].splitlines() if ": started" in line]
    assert set(started[2:4]) == {
        "04_evaluation base seed 0: started",
        "03_lora_training correct seed 0: started",
    }


def test_manifest_says_what_ran(unbroken):
    found = json.loads((unbroken[0] / "outputs/mini/results/manifest.json").read_text())
    assert found["commit"] == "unknown" and found["versions"]["snakemake"]
    assert found["parameters"]["01_data_preparation"] == {"n_traces": 3}
    assert len(found["seconds"]) == 8 and found["total_seconds"] > 2 * 0.5
    assert found["machine"]["cores_used"] == 2


def test_second_run_does_nothing_and_says_so(unbroken):
    before, begun = tables(unbroken[0]), processor_seconds()
    status, out, _ = reproduce(unbroken[0])
    assert (status, out) == (
        0,
        "Nothing to do: outputs/mini is complete. Report: outputs/mini/results/report.html\n",
    )
    assert processor_seconds() - begun < 15  # twenty by the clock, less what other programs may take
    assert tables(unbroken[0]) == before


def test_a_corrupt_table_stops_with_its_name_and_once_deleted_is_made_again(unbroken):
    folder, before = unbroken[0], tables(unbroken[0])
    path = folder / "outputs/mini/scores/digits-50.s0.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    status, out, err = reproduce(folder)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert "outputs/mini/scores/digits-50.s0.parquet" in err and "delete it" in err
    path.unlink()
    trained = times(folder, "adapters/*")
    assert reproduce(folder)[0] == 0
    assert tables(folder) == before and times(folder, "adapters/*") == trained


def test_a_new_condition_trains_nothing_else_again(unbroken):
    folder = unbroken[0]
    trained = times(folder, "adapters/*")
    write_recipe(folder, conditions=[*RECIPE["conditions"], "shuffle-100"])
    status, out, err = reproduce(folder)
    assert status == 0, err
    assert "03_lora_training shuffle-100 seed 0: done" in out and "03_lora_training correct" not in out
    assert trained.items() < times(folder, "adapters/*").items()


def test_more_seeds_train_nothing_again_and_fewer_do_not_forget_them(unbroken):
    folder = unbroken[0]
    trained = times(folder, "adapters/*")
    status, out, err = reproduce(folder, "--seeds", "0", "1")
    assert status == 0, err
    assert "03_lora_training correct seed 1: done" in out and "03_lora_training correct seed 0" not in out
    assert trained.items() < times(folder, "adapters/*").items()
    trained = times(folder, "adapters/*")
    assert reproduce(folder)[0] == 0
    assert times(folder, "adapters/*") == trained


def test_more_seeds_of_one_condition_train_it_alone_and_the_run_s_recipe_says_so(unbroken):
    folder = unbroken[0]
    trained = times(folder, "adapters/*")
    write_recipe(folder, more_seeds={"correct": [7]})
    status, out, err = reproduce(folder)
    assert status == 0, err
    assert times(folder, "adapters/*").keys() - trained.keys() == {"correct.s7"}
    assert "04_evaluation correct seed 7: done" in out and "05_analysis: done" in out
    results = folder / "outputs/mini/results"
    assert "make reproduce RECIPE=recipe.yaml" in (results / "report.html").read_text()
    again = reproduce(folder, "--recipe", str((results / "recipe.yaml").relative_to(folder)))
    assert again[0] == 0 and again[1].startswith("Nothing to do")


def test_a_changed_parameter_makes_what_depends_on_it_again(unbroken):
    folder = unbroken[0]
    write_recipe(folder, **{"03_lora_training": {"learning_rate": 0.5}})
    status, out, err = reproduce(folder)
    assert status == 0, err
    assert "03_lora_training correct seed 0: done" in out and "05_analysis: done" in out
    assert "01_data" not in out and "04_evaluation base" not in out
    assert "0.5" in (folder / "outputs/mini/results/claims.csv").read_text()


def test_killed_twice_leaves_no_process_and_ends_in_the_same_tables(unbroken, tmp_path):
    folder = house(tmp_path / "house")
    for moment in ("02_perturbations seed 0: started", "03_lora_training digits-50 seed 0: started"):
        process = start(folder)
        assert any(moment in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + 10
        while (left := processes_in(folder)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left
    status, out, err = reproduce(folder)
    assert status == 0, err
    assert "01_data" not in out and "02_pert" not in out
    assert tables(folder) == unbroken[2]


def test_a_job_of_several_conditions_keeps_what_it_had_finished_when_it_was_killed(unbroken, tmp_path):
    """And ends in the same tables as a job for each condition."""
    folder = house(tmp_path / "house", conditions_per_job=2)
    process, first = start(folder), folder / "outputs/mini/adapters/correct.s0/training.json"
    assert any("03_lora_training correct and 1 more, seed 0: started" in line for line in process.stdout)
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = first.stat().st_mtime_ns
    status, out, err = reproduce(folder)
    assert status == 0, err
    assert first.stat().st_mtime_ns == before and tables(folder) == unbroken[2]
    assert "04_evaluation correct and 1 more, seed 0: done" in out
    assert reproduce(folder)[1].startswith("Nothing to do")


def test_ctrl_c_ends_cleanly(tmp_path):
    process = start(house(tmp_path / "house"))
    next(process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.strip() == "Stopped. What is finished is kept: run again to go on."


INTERRUPTED = """
import os, signal, subprocess
from helpers.processes import die_with_parent, interrupt_later

os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    with interrupt_later():
        child = subprocess.Popen(["sleep", "60"], preexec_fn=die_with_parent)
except KeyboardInterrupt:
    child.send_signal(signal.SIGINT)
    print("heard", child.wait())
"""


def test_ctrl_c_is_heard_while_a_process_starts_and_by_that_process():
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    command = [sys.executable, "-c", INTERRUPTED]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, **heard)
    assert made.stdout == f"heard {-signal.SIGINT}\n" and made.stderr == ""


def test_a_failing_notebook_is_named_with_its_error_and_keeps_what_is_finished(tmp_path):
    folder = house(tmp_path / "house", **{"03_lora_training": {"learning_rate": -1.0}})
    status, out, err = reproduce(folder)
    failed = "outputs/mini/notebooks/03_lora_training.correct.s0.failed.ipynb"
    expected = "03_lora_training correct seed 0 failed: AssertionError: the learning rate is not positive"
    assert status == 1
    assert f"{expected} (see {failed})" in err.splitlines()
    assert (folder / failed).exists() and (folder / "outputs/mini/arms/correct.s0.parquet").exists()
    write_recipe(folder)
    status, out, _ = reproduce(folder)
    assert status == 0 and "02_perturbations" not in out and not (folder / failed).exists()


def test_two_runs_of_one_recipe_do_not_meet(tmp_path):
    lock = tmp_path / ".lock"
    refused = pytest.raises(ValueError, match="another run")
    with chain.locked(lock), refused, chain.locked(lock, patience=0.1):
        pass
    with chain.locked(lock, patience=0):
        pass


def test_a_wrong_recipe_is_one_line_and_runs_nothing(tmp_path):
    folder = house(tmp_path / "house", **{"03_lora_training": {"learning_rat": 0.1}})
    status, out, err = reproduce(folder)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "mini.yaml" in err and "did you mean 'learning_rate'?" in err
    assert not (folder / "outputs").exists()


def test_jobs_in_words():
    assert progress.words("03_lora_training.shuffle-67.s0") == "03_lora_training shuffle-67 seed 0"
    assert progress.words("04_evaluation.correct.full.s12") == "04_evaluation correct.full seed 12"
    assert progress.words("02_perturbations.s1") == "02_perturbations seed 1"
    assert progress.words("04_evaluation.correct+3.s1") == "04_evaluation correct and 3 more, seed 1"
    assert progress.words("05_analysis") == "05_analysis"

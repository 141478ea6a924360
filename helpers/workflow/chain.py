"""The chain of notebooks: Snakemake decides what has to run, papermill runs it, this module reports progress.

    python -m helpers.workflow.chain reproduce --recipe laptop --cores 2      # what `make reproduce` calls
    python -m helpers.workflow.chain notebook OUTPUT.ipynb '{"seed": 0}'      # what the Snakefile calls

Call it from the repository's root. It may be killed at any moment: outputs appear complete or not at all,
every process ends with its parent, and the lock is released with its holder. Not covered: several machines at
once (use Snakemake's executor plugins, see notebooks/recipes/README.md).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from helpers import devices
from helpers.conditions import run_of
from helpers.evaluation import context
from helpers.processes import child, die_with_parent, quiet_environment, socket_folder
from helpers.workflow import provenance
from helpers.workflow import recipe as recipes
from helpers.workflow.progress import EVENT, Progress, minutes

ALONE = "10_stickers"  # a recipe may have a section for it and nothing else; it needs no other notebook


def reproduce(name: str, cores: int, seeds: list[int] | None = None, model: str = "") -> int:
    """Run a recipe up to its report, with `seeds` and base `model` if given; returns the exit status.

    It runs in two stages, so that arms which are made again and come out the same do not cause new training.
    """
    if (section := alone(name, given=seeds or model)) is not None:
        return run_alone(section, Path("outputs", Path(name).stem))
    recipe = recipes.load(name, seeds=seeds, model=model)
    wanted, here = recipe["03_lora_training"].get("gpus", 0), len(devices.visible())
    if wanted > here:
        raise ValueError(
            f"the recipe {name} trains on {wanted} GPUs and {here} are here: set gpus in its file"
        )
    asked = recipes.parameters("notebooks/04_evaluation.ipynb") | recipe["04_evaluation"]
    models = [recipes.base_model_of(recipe, condition) for condition in recipe["conditions"]]
    for line in context.warnings(models, asked.get("max_new_tokens", 0), "notebooks"):
        print(line)
    out = Path("outputs", recipe["recipe"])
    out.mkdir(parents=True, exist_ok=True)
    config = [
        f"recipe={recipes.find(name, Path('notebooks'))}",
        *([f"seeds={','.join(map(str, seeds))}"] if seeds else []),
        *([f"model={model}"] if model else []),
    ]
    with locked(out / ".lock"):
        check_tables(out)
        progress = Progress(recipe, out, cores)
        if plan := progress.plan(recipe, out):
            print(plan, flush=True)
        (out / "chain.log").unlink(missing_ok=True)
        for target in ("arms", "all"):
            if run_stage(config, recipe, target, cores, progress):
                print(progress.ending(out / "chain.log"), file=sys.stderr)
                return 1
        manifest = out / "results" / "manifest.json"
        if progress.finished or not manifest.exists():
            provenance.write(recipe, out, cores, time.monotonic() - progress.started)
            # imported late: jobs start faster without pandas
            from helpers.analysis.report import write_report

            write_report(out)  # again, now that there is a manifest
    report = out / "results" / "report.html"
    if progress.finished:
        print(f"Done in {minutes(time.monotonic() - progress.started)}. Report: {report}")
    else:
        print(f"Nothing to do: {out} is complete. Report: {report}")
    return 0


def alone(name: str, given: Any = None) -> dict[str, Any] | None:
    """The parameters in a recipe for the notebook `ALONE`, and for it only; None in any other recipe."""
    path = recipes.find(name, Path("notebooks"))
    try:
        if ALONE not in (found := recipes.read(path)):
            return None
        if given or found.keys() - {"about", ALONE}:
            raise ValueError(f"{ALONE} runs without the chain: 'about' and {ALONE!r} are all that it takes")
        recipes.check_section(ALONE, found[ALONE], Path("notebooks"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found[ALONE]


def run_alone(section: dict[str, Any], out: Path) -> int:
    """Run the notebook `ALONE`, which keeps by itself what is finished; returns the exit status."""
    made, values = out / "notebooks" / f"{ALONE}.ipynb", json.dumps({"output_dir": f"../{out}"} | section)
    print(f"{ALONE} is running. Interrupted, the next call goes on from there.", flush=True)
    command = [sys.executable, "-m", "helpers.workflow.chain", "notebook", str(made), values]
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock"), child(command, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()
    ending = json.loads(said.rpartition(EVENT)[2] or "{}")
    if process.returncode:
        raise ValueError(f"{ALONE} failed: {ending.get('error')}; run again to go on from what is finished")
    print(f"Done in {minutes(ending['seconds'])}. Notebook: {made}")
    return 0


@contextlib.contextmanager
def locked(path: Path, patience: float = 10) -> Iterator[None]:
    """Hold a run's lock, which ends with its holder; ValueError if it is not free after `patience` s."""
    try:
        lock = FileLock(path).acquire(timeout=patience)
    except Timeout:
        raise ValueError(f"{path.parent} is being made by another run: wait for its end") from None
    with lock:
        yield


def check_tables(out: Path) -> None:
    """ValueError, naming file and remedy, for a damaged Parquet file below `out`."""
    for path in sorted(out.rglob("*.parquet")):
        try:
            pq.read_metadata(path)
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            raise ValueError(
                f"{path} is not a complete Parquet file ({reason}): delete it and run again, "
                f"and what depends on it is made again"
            ) from error


def run_stage(config: list[str], recipe: dict[str, Any], target: str, cores: int, progress: Progress) -> int:
    """Let Snakemake make a target, feeding its output to `progress`; returns its exit status."""
    out = Path("outputs", recipe["recipe"])
    first = [run for run in recipes.runs(recipe) if run in ("base.s0", run_of("correct", recipe["seeds"][0]))]
    command = [sys.executable, "-m", "snakemake", target, "--snakefile", "notebooks/Snakefile"]
    command += ["--cores", str(cores), "--config", *config]
    command += ["--resources", f"gpu={len(devices.visible())}"]
    command += ["--scheduler", "greedy", "--nocolor"]
    command += ["--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime", "params", "input"]
    command += ["--max-checksum-file-size", "1000000000"]
    if target == "all" and first:
        command += ["--prioritize", *(f"{out}/scores/{run}.parquet" for run in first)]
    if target == "all" and (others := made_by_hand(recipe, out)):
        command += ["--forcerun", *others]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    with child(command, **pipes) as process, (out / "chain.log").open("a", encoding="utf-8") as log:
        for line in process.stdout or ():
            log.write(line)
            progress.read(line)
        return process.wait()


def made_by_hand(recipe: dict[str, Any], out: Path) -> list[str]:
    """Weights and responses newer than their executed notebook: someone ran 03, 09 or 04 in this folder.

    Snakemake would accept them as they are. Run again, the notebooks keep what the recipe's plan made.
    """
    found = []
    for name, (conditions, seed) in recipes.batches(recipe).items():
        training = recipes.training_of(conditions[0])
        for run in (run_of(condition, seed) for condition in conditions):
            weights, responses = out / "adapters" / run, out / "generations" / f"{run}.parquet"
            for made, file, job in (
                (weights, weights / "training.json", training),
                (responses, responses, "04_evaluation"),
            ):
                executed = out / "notebooks" / f"{job}.{name}.ipynb"
                if file.exists() and executed.exists() and file.stat().st_mtime > executed.stat().st_mtime:
                    found.append(str(made))
    return found


def run_notebook(output: Path, parameters: dict[str, Any]) -> int:
    """Execute the notebook that `output` is named after; a failed one is kept as OUTPUT.failed.ipynb."""
    import papermill  # imported late: only jobs need it
    from traitlets.config import Config

    threads = parameters.get("threads", 1)
    quiet_environment(threads)
    job = output.name.removesuffix(".ipynb")
    source = f"notebooks/{job.partition('.')[0]}.ipynb"
    partial, failed = output.with_name(f".{job}.partial"), output.with_name(f"{job}.failed.ipynb")
    output.parent.mkdir(parents=True, exist_ok=True)
    tell("start", job=job)
    try:
        with socket_folder() as sockets:  # TCP ports may collide when many kernels start
            executed = papermill.execute_notebook(
                source,
                str(partial),
                parameters,
                kernel_name="python3",
                cwd="notebooks",
                progress_bar=False,
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
            )
    except Exception as error:  # of any kind: it is reported in one line
        os.replace(partial, failed)
        tell("failed", job=job, error=last_line(error), notebook=str(failed))
        return 1
    os.replace(partial, output)
    failed.unlink(missing_ok=True)
    tell("done", job=job, seconds=executed.metadata["papermill"]["duration"])
    return 0


def last_line(error: Exception) -> str:
    """The last line of an exception's traceback, without papermill's wrapping."""
    name, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    lines = [line for line in str(text).splitlines() if line.strip()]
    return f"{name}: {lines[-1].strip()}" if lines else name


def tell(event: str, **details: Any) -> None:
    """Report to the chain, through Snakemake's output, what a job is doing."""
    line = f"\n{EVENT}{json.dumps({'event': event, **details})}\n"
    os.write(sys.stdout.fileno(), line.encode())  # in one write: other jobs use the same pipe


def main() -> int:
    """The command line; exit status 2 for a wrong recipe or a damaged file, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.workflow.chain", description="Run the notebooks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("reproduce", help="run a recipe to its report")
    whole.add_argument("--recipe", default="laptop", help="a name in notebooks/recipes, or a path")
    whole.add_argument("--cores", type=int, default=os.cpu_count(), help="default: all")
    whole.add_argument("--seeds", type=int, nargs="+", help="default: the recipe's")
    whole.add_argument("--model", default="", help="default: the recipe's; seen from notebooks/")
    one = commands.add_parser("notebook", help="run one notebook")
    one.add_argument("output", type=Path, help="outputs/RECIPE/notebooks/NAME[.CONDITION][.sSEED].ipynb")
    one.add_argument("parameters", type=json.loads, help="as JSON")
    one.add_argument("--threads", type=int)
    one.add_argument("--gpus", type=int, default=0, help="how many to hold while it runs")
    one.add_argument("--parent", type=int, help="the process to end with")
    given = parser.parse_args()
    try:
        if given.command == "notebook":
            die_with_parent(given.parent)
            threads = {} if given.threads is None else {"threads": given.threads}
            if not given.gpus:
                return run_notebook(given.output, given.parameters | threads)
            with devices.held(given.gpus) as names:
                os.environ["CUDA_VISIBLE_DEVICES"] = names
                return run_notebook(given.output, given.parameters | threads)
        if "MAKELEVEL" in os.environ:
            die_with_parent()
        return reproduce(given.recipe, given.cores, given.seeds, given.model)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is finished is kept: run again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

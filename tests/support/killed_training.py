"""A training that is killed at random moments and started again, until it is done.

    python tests/support/killed_training.py FOLDER [KILLS] [METHOD]

Prints a line a kill, and at the end whether the weights are those of a training that nobody killed. The test
of the same name calls `main` with few kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def job_of(folder: Path, run: str, method: str) -> dict:
    """Arguments of `finetune.train`: 450 steps of the laptop's model, a checkpoint after every 5."""
    return {
        "base_model": str(ROOT / "base_model"), "arm": str(folder / "arms" / "correct.s0.parquet"),
        "condition": "correct", "folder": str(folder / "adapters" / run), "seed": 0, "method": method,
        "rank": 8, "alpha": 16, "learning_rate": 0.003, "epochs": 15, "batch_size": 4, "max_length": 1024,
        "checkpoint_steps": 5,
    }  # fmt: skip


def start(job: dict, module: str = "helpers.training.finetune") -> subprocess.Popen:
    """A process that calls a module's `train` with a job."""
    code = f"import json, sys; from {module} import Job, train; train(Job(**json.loads(sys.argv[1])))"
    return subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(job)], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def checkpoints(job: dict) -> list[str]:
    found = Path(job["folder"]).parents[1].glob("checkpoints/*/checkpoint-*")
    return sorted((p.name for p in found), key=lambda name: int(name[11:]))


def kill_and_restart(job: dict, kills: int, within: float, *module: str) -> tuple[int, str]:
    """Kill a training so often, each time up to `within` seconds past a new checkpoint; then let it finish.

    Returns the number of kills that hit a training under way, and what the last process said on stderr.
    """
    rng, hits = random.Random(0), 0
    while hits < kills:
        process, before = start(job, *module), checkpoints(job)
        while checkpoints(job) == before and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, within))  # in a step, or in the writing of a checkpoint
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        hits += 1
        print(f"kill {hits}: checkpoints {', '.join(checkpoints(job))}", flush=True)
    return hits, start(job, *module).communicate()[1]


def main(folder: Path, kills: int, method: str) -> tuple[int, bool]:
    """The number of kills that hit a training under way, and whether the weights are the same bit for bit."""
    from helpers.perturbations import arm_files
    from helpers.puzzles import countdown
    from helpers.training import finetune

    arm_files.write_arms(
        {"correct": countdown.correct_traces("train", 120, 0)}, ["correct"], 0, folder / "arms"
    )
    unbroken = job_of(folder, "unbroken.s0", method)
    finetune.train(finetune.Job(**unbroken))
    job = job_of(folder, "killed.s0", method)
    hits, said = kill_and_restart(job, kills, 3)
    weights = [next(Path(j["folder"]).glob("*.safetensors")).read_bytes() for j in (unbroken, job)]
    print("".join(line for line in said.splitlines(keepends=True) if "not whole" in line), end="")
    return hits, weights[0] == weights[1]


if __name__ == "__main__":
    folder, kills, method = [*sys.argv[1:], *("10", "lora")[len(sys.argv) - 2 :]]
    hits, same = main(Path(folder), int(kills), method)
    print(f"killed {hits} times; weights of the unbroken training bit for bit: {same}")
    sys.exit(not same)

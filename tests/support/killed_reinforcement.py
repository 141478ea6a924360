"""A reinforcement that is killed at random moments and started again, until it is done.

    python tests/support/killed_reinforcement.py FOLDER [KILLS] [CONDITION]

Prints a line per kill, and at the end whether weights, curve and validation are those of an unbroken one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
MODULE = "helpers.extensions.reinforcement"


def job_of(folder: Path, run: str, condition: str = "correct.rl", **other: object) -> dict:
    """Arguments of `reinforcement.train` on the model that ships here, with a checkpoint every round."""
    t1 = {"entropy": 0.001, "kl": 0.01, "ema": 0.5} if condition.endswith(".t1") else {}
    return {
        "base_model": str(ROOT / "base_model"), "start": "", "folder": str(folder / "adapters" / run),
        "condition": condition, "seed": 0, "reward": condition.rpartition(".")[2],
        "problems": str(folder / "problems.parquet"), "validation": str(folder / "problems.parquet"),
        "benchmark": "countdown", "group": 4, "problems_per_round": 4, "updates": 12, "learning_rate": 1e-3,
        "max_new_tokens": 24, "temperature": 1.0, "n_validation": 6, "rank": 4, "alpha": 8, "micro_batch": 8,
        "checkpoint_rounds": 1,
    } | t1 | other  # fmt: skip


def made(job: dict) -> tuple[bytes, list, list]:
    """What must be the same with and without kills: the weights, the curve and the validation."""
    record = json.loads(Path(job["folder"], "training.json").read_text())
    curve = [{k: v for k, v in row.items() if "time" not in k} for row in record["curve"]]
    return Path(job["folder"], "adapter_model.safetensors").read_bytes(), curve, record["validation"]


def main(folder: Path, kills: int, condition: str) -> tuple[int, bool]:
    """The number of kills that hit a training under way, and whether all came out the same."""
    from helpers.data.traces import write_table
    from helpers.puzzles import countdown
    from tests.support.killed_training import kill_and_restart, start

    write_table(
        countdown.benchmark("countdown", countdown.problems("validation", 40, 0)), folder / "problems.parquet"
    )
    unbroken, job = (job_of(folder, run, condition) for run in ("unbroken.s0", "killed.s0"))
    start(unbroken, MODULE).communicate()
    hits, _ = kill_and_restart(job, kills, 1.5, MODULE)
    return hits, made(unbroken) == made(job)


if __name__ == "__main__":
    folder, kills, condition = [*sys.argv[1:], *("10", "correct.rl")[len(sys.argv) - 2 :]]
    hits, same = main(Path(folder), int(kills), condition)
    print(f"killed {hits} times; weights, curve and validation of the unbroken training: {same}")
    sys.exit(not same)

"""An evaluation that is killed 20 times at random moments, beside one that is not; prints what came of it.

    OMP_NUM_THREADS=1 python tests/support/killed.py FOLDER

The model is loaded once; each attempt is a fork of this process, so that a kill costs no loading.
"""

import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from helpers.data.traces import write_table  # noqa: E402
from helpers.evaluation import generation, grading, journal  # noqa: E402
from helpers.puzzles import countdown  # noqa: E402
from helpers.training import models  # noqa: E402

KILLS = 20


def evaluate(todo: list, engine: journal.Engine, folder: Path) -> None:
    """Responses, then scores, as notebook 04 writes them."""
    responses = journal.table(todo, journal.complete(todo, engine, folder))
    write_table(responses, folder / "base.s0.parquet")
    write_table(grading.score(responses, "base", 0), folder / "scores.parquet")


def lines(folder: Path) -> list[str]:
    """The keys in a journal, whole lines alone."""
    path = folder / "base.s0.jsonl"
    rows = path.read_bytes().split(b"\n") if path.exists() else []
    found = []
    for row in rows:
        try:
            found.append(json.loads(row)["key"])
        except ValueError:
            continue
    return found


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    loaded = models.load(ROOT / "base_model")
    generation.models.load_condition = lambda *_: loaded  # once, not once an attempt
    problems = countdown.benchmark("countdown", countdown.problems("test", 96, 0))
    weights = journal.fingerprint(str(ROOT / "base_model"), folder, "base", 0)
    todo = journal.requests("base", 0, "countdown", problems, 60, weights)
    engine = partial(generation.respond, base_model="", adapters="", batch_size=8)
    evaluate(todo, engine, folder / "unbroken")
    begun = time.monotonic()
    evaluate(todo, engine, folder / "again")
    whole = time.monotonic() - begun
    rng, kept, lost, kills = random.Random(7), [], 0, 0
    broken = folder / "broken"
    while kills < KILLS:
        child = os.fork()
        if child == 0:
            evaluate(todo, engine, broken)
            os._exit(0)
        time.sleep(rng.uniform(0.0, 0.25) * whole)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += 1
        now = lines(broken)
        lost += len(set(kept) - set(now))
        kept = now
        if os.WIFEXITED(status) or len(kept) == len(todo):
            (broken / "base.s0.jsonl").unlink()  # from the start, until there were enough kills
            kept = []
    evaluate(todo, engine, broken)
    made = lines(broken)
    same = {
        name: (folder / "unbroken" / name).read_bytes() == (broken / name).read_bytes()
        for name in ("base.s0.parquet", "scores.parquet")
    }
    print(json.dumps({"kills": kills, "lost": lost, "repeated": len(made) - len(set(made)), "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

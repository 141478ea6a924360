"""Speed and memory of writing all arms of long traces, beside row-wise `datasets.map`, in the same run.

    python tests/benchmarks/arms.py [--traces 17000] [--characters 16000] [--processes 2] [--map-traces 1000]
                                   [--responses published/*/*.jsonl]

Responses come from JSON Lines files (the field `code[0]` or `response`); without any, from sentences drawn
at random. They are joined and repeated to traces of the wanted length, and cut into steps by rule. The 17
arms are the perturbation arms of Table 2 with `correct`. `datasets.map` makes the same arms row by row, of
fewer traces where asked; its time for all of them is then in proportion.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from helpers.data.segmentation import segment  # noqa: E402
from helpers.data.traces import FRAMES, SCHEMA, Trace, read_traces, write_traces  # noqa: E402
from helpers.perturbations.arm_files import write_arms  # noqa: E402
from helpers.perturbations.arms import ARMS, perturb  # noqa: E402

TABLE_2 = [arm for arm in ARMS if arm not in ("wrong", "short")]
SENTENCES = (
    "So 3+5=8, which is {n} less than we need.",
    "Wait, that is not what the problem asks for.",
    "Alternatively, I can write it as \\( x^2 + {n}x \\) and factor.",
    "However, {n} is odd.",
    "Let me double-check this: {n} times 12 is what I had before.\n\n",
    "Then the sum of the first {n} terms follows from the formula.\n\n",
)


def responses(paths: list[str]) -> list[str]:
    """The texts of JSON Lines files, or ones made up."""
    lines = [json.loads(line) for path in paths for line in Path(path).read_text().splitlines()]
    found = [line["response"] if "response" in line else line["code"][0] for line in lines]
    rng = random.Random(0)
    made = (
        " ".join(rng.choice(SENTENCES).format(n=rng.randrange(500)) for _ in range(90)) for _ in range(400)
    )
    return found or list(made)


def long_traces(texts: list[str], n: int, characters: int) -> list[Trace]:
    """n traces of about that length: texts one after the other, each at most as long, then over again."""
    thoughts, current = [], ""
    for text in texts:
        current += text[:characters].strip() + "\n\n"
        if len(current) >= characters:
            thoughts.append(current[:characters].strip())
            current = ""
    steps = [segment(thought) for thought in thoughts]
    frame, solution = FRAMES["sky-t1"], "The answer is \\boxed{7}."
    return [
        Trace(f"t{i}", "What is it?", steps[i % len(steps)], solution, "7", "benchmark", "correct", frame)
        for i in range(n)
    ]


def by_map(path: Path, n: int, folder: Path, processes: int) -> float:
    """Seconds that the same arms of the first n traces take with `datasets.map`, a row at a time."""
    import datasets

    datasets.disable_progress_bars()
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(folder / "cache")).select(range(n))
    pool = read_traces(path)[:n]

    def row_of(row: dict, arm: str) -> dict:
        trace = Trace(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
        made = perturb(trace, arm, 0, pool)
        steps = [s.text for s in made.steps]
        return {
            "steps": steps,
            "origin": [{"change": s.change, "trace": s.trace, "index": s.index} for s in made.steps],
            "response": made.response,
        }

    started = time.perf_counter()
    for arm in TABLE_2:
        mapped = rows.map(row_of, fn_kwargs={"arm": arm}, num_proc=processes, load_from_cache_file=False)
        mapped.to_parquet(str(folder / f"{arm}.map.parquet"))
    return time.perf_counter() - started


def peak() -> float:
    """GB of memory: the largest process so far, this one or a child, times one for each that ran."""
    return (
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        / 1e6
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=17_000)
    parser.add_argument("--characters", type=int, default=16_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--map-traces", type=int, default=1000)
    parser.add_argument("--responses", nargs="*", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        texts = responses([path for pattern in given.responses for path in glob.glob(pattern)])
        traces = long_traces(texts, given.traces, given.characters)
        size = sum(len(s) for t in traces for s in t.steps)
        print(
            f"{len(traces):,} traces of {size / len(traces):,.0f} characters and {len(SCHEMA)} columns in",
            end=" ",
        )
        print(
            f"{time.perf_counter() - started:.0f} s; load of the machine {os.getloadavg()[0]:.1f}", flush=True
        )
        write_traces(traces, folder / "traces.parquet")
        started, busy = time.perf_counter(), os.times()
        write_arms({"correct": traces}, TABLE_2, 0, folder / "arms", given.processes)
        seconds, now = time.perf_counter() - started, os.times()
        used = sum(now[:4]) - sum(busy[:4])
        written = sum(p.stat().st_size for p in (folder / "arms").iterdir()) / 1e9
        print(
            f"{len(TABLE_2)} arms, {given.processes} processes: {seconds:.0f} s, {used:.0f} s of processor,",
            end=" ",
        )
        print(f"{written:.1f} GB of Parquet, at most {peak():.1f} GB in a process", flush=True)
        if given.map_traces:
            slow = by_map(folder / "traces.parquet", given.map_traces, folder, given.processes)
            whole = slow * len(traces) / given.map_traces
            print(
                f"datasets.map, {given.map_traces:,} traces: {slow:.0f} s; in proportion {whole:.0f} s",
                end=" ",
            )
            print(f"for all, {whole / seconds:.1f} times as long; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

"""Progress of the chain, printed line by line.

    [07/43] 03_lora_training shuffle-67 seed 0: done in 58 s; about 14 min left

It reads Snakemake's output: the table of jobs to run, and the lines in which a job reports its start, end or
failure.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

from helpers.workflow import provenance
from helpers.workflow import recipe as recipes

EVENT = "@chain "  # prefix of a job's reports


class Progress:
    """What is left to do, what is running and what is finished."""

    def __init__(self, recipe: dict[str, Any], out: Path, cores: int) -> None:
        jobs = recipes.jobs(recipe)
        self.jobs = {rule_of(job): job for job in jobs}
        self.ahead = {job for job in jobs if not (out / "notebooks" / f"{job}.ipynb").exists()}
        self.cores = cores
        self.earlier = provenance.seconds(out) or provenance.reference_seconds(recipe["recipe"])
        self.now: dict[str, list[float]] = {}
        self.running: dict[str, float] = {}
        self.finished = 0
        self.failures: list[str] = []
        self.started = time.monotonic()

    def plan(self, recipe: dict[str, Any], out: Path) -> str:
        """What the run will do, in one line; empty if nothing is left."""
        if not self.ahead:
            return ""
        seeds = sorted(set(recipes.all_seeds(recipe)))
        words = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
        takes = self.left() or "; the first ones will tell how long it takes"
        conditions, left = len(recipe["conditions"]), len(self.ahead)
        return (
            f"{recipe['recipe']}: {conditions} conditions, {words}, {left} notebooks to run{takes}. "
            f"Results go to {out}/results. Interrupted, the next call goes on from there."
        )

    def read(self, line: str) -> None:
        """Take in one line of Snakemake's output."""
        if match := re.fullmatch(r"(\S+) +1\s*", line):
            if match[1] in self.jobs and not self.running:
                self.ahead.add(self.jobs[match[1]])
        elif line.startswith(EVENT):
            event = json.loads(line.removeprefix(EVENT))
            getattr(self, event.pop("event"))(**event)

    def start(self, job: str) -> None:
        self.running[job] = time.monotonic()
        self.say(f"{words(job)}: started")

    def done(self, job: str, seconds: float) -> None:
        self.running.pop(job, None)
        self.ahead.discard(job)
        self.now.setdefault(notebook_of(job), []).append(seconds / provenance.conditions_in(job))
        self.finished += 1
        self.say(f"{words(job)}: done in {seconds:.0f} s{self.left()}")

    def failed(self, job: str, error: str, notebook: str) -> None:
        self.running.pop(job, None)
        self.failures.append(f"{words(job)} failed: {error} (see {notebook})")
        self.say(self.failures[-1])

    def say(self, text: str) -> None:
        total = len(self.jobs)
        print(f"[{total - len(self.ahead):0{len(str(total))}d}/{total}] {text}", flush=True)

    def left(self) -> str:
        """The time left, from durations of the same notebooks; empty while one is unknown.

        Before its first execution, 05 (which runs once and briefly) counts as nothing.
        """
        durations = {recipes.NOTEBOOKS[-1]: [0.0]} | self.earlier | self.now
        typical = {name: statistics.fmean(seconds) for name, seconds in durations.items()}
        if not self.ahead or not {notebook_of(job) for job in self.ahead} <= typical.keys():
            return ""
        takes = {job: typical[notebook_of(job)] * provenance.conditions_in(job) for job in self.jobs.values()
                 if notebook_of(job) in typical}  # fmt: skip
        spent = sum(min(time.monotonic() - begun, takes[job]) for job, begun in self.running.items())
        work = sum(takes[job] for job in self.ahead) - spent
        return f"; about {minutes(work / min(self.cores, len(self.ahead)))} left"

    def ending(self, log: Path) -> str:
        """The last line after a stop: the failures, or what Snakemake reported."""
        said = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        reason = next((line for line in said if "Error" in line or "Exception" in line), said[-1])
        failures = self.failures or [f"Snakemake stopped: {reason} (see {log})"]
        return "\n".join([*failures, "What is finished is kept: run again to go on."])


def notebook_of(job: str) -> str:
    return job.partition(".")[0]


def rule_of(job: str) -> str:
    """The name of a job's rule in the Snakefile: `lora_training.correct.s0`."""
    return job.partition("_")[2]


def words(job: str) -> str:
    """A job in words: `03_lora_training.shuffle-67.s0` is "03_lora_training shuffle-67 seed 0"."""
    notebook, _, rest = job.partition(".")
    seed = re.search(r"(?:^|\.)s(\d+)$", rest)
    condition, more, others = (rest[: seed.start()] if seed else rest).partition("+")
    condition += f" and {others} more," if more else ""
    return " ".join(filter(None, [notebook, condition, f"seed {seed[1]}" if seed else ""]))


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

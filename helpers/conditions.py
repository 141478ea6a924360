"""Conditions: what is special about a fine-tune is in its name.

    parse("shuffle-67.n500.7b")          # Condition(arm="shuffle-67", method="", traces=500, size="7b")
    parse("shuffle-67").family, parse("shuffle-67").fraction     # "shuffle", 2/3
    run_of("correct.full", 0), split_run("correct.full.s0")      # "correct.full.s0", ("correct.full", 0)
    parse("shuffle-67.rl64").reward, start_of("shuffle-67.rl64")  # "rl", "shuffle-67"

A condition is an arm and, after dots, a method, a number of traces, a model size and a reward, with which
reinforcement learning goes on from the same condition without it. `base` is the untouched model, `base.7b`
that of another size. A condition with a seed is a run; it names its files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

METHODS = ("lora", "qlora", "full")
REWARDS = ("rl", "rlsp", "t1")
KINDS = {
    "method": "|".join(METHODS),
    "traces": "n[1-9][0-9]*",
    "size": "[1-9][0-9]*[mb]",
    "reward": f"({'|'.join(REWARDS)})([1-9][0-9]*)?",
}
THIRDS = {33: 1 / 3, 67: 2 / 3}
MoreSeeds = Mapping[str, Sequence[int]] | None  # of single conditions, in addition to everyone's seeds


@dataclass(frozen=True)
class Condition:
    """An arm, and what differs from the recipe's usual method ("": as usual), traces (0: all) and size.

    `reward` is that of a reinforcement ("": none), with `group` responses to each problem (0: as usual).
    """

    arm: str
    method: str = ""
    traces: int = 0
    size: str = ""
    reward: str = ""
    group: int = 0

    @property
    def is_base(self) -> bool:
        return self.arm == "base" and not self.reward

    @property
    def family(self) -> str:
        """The perturbation without its fraction: "shuffle" for "shuffle-67", "correct" for "correct"."""
        name, _, percent = self.arm.rpartition("-")
        return name if re.fullmatch("[0-9]{1,2}|100", percent) else self.arm

    @property
    def percent(self) -> int:
        """The percentage in the arm's name, 0 where it has none."""
        return int(self.arm.removeprefix(f"{self.family}-")) if self.family != self.arm else 0

    @property
    def fraction(self) -> float:
        """The share that is perturbed, 0 to 1; 33 and 67 stand for thirds."""
        return THIRDS.get(self.percent, self.percent / 100)


@lru_cache(maxsize=1024)
def parse(name: str) -> Condition:
    """The condition of a name; ValueError for a part that is unknown or there twice."""
    arm, *parts = name.split(".")
    found: dict[str, str] = {}
    for part in parts:
        kind = next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, part)), None)
        if kind is None:
            raise ValueError(f"{name!r}: unknown method {part!r}{nearest(part, [*METHODS, *REWARDS])}")
        if kind in found:
            raise ValueError(f"{name!r}: {found[kind]!r} and {part!r} are one {kind} too many")
        found[kind] = part
    traces = int(found.get("traces", "n0")[1:])
    reward, group = re.fullmatch(KINDS["reward"], found["reward"]).groups() if "reward" in found else ("", 0)
    return Condition(arm, found.get("method", ""), traces, found.get("size", ""), reward, int(group or 0))


def start_of(name: str) -> str:
    """The condition that a reinforced one goes on from: its name without the reward."""
    return ".".join(part for part in name.split(".") if not re.fullmatch(KINDS["reward"], part))


def run_of(condition: str, seed: int) -> str:
    """The name of a condition's run, which is also that of its files: `correct.full.s0`."""
    return f"{condition}.s{seed}"


def split_run(run: str) -> tuple[str, int]:
    """The condition and the seed of a run's name."""
    condition, _, seed = run.rpartition(".s")
    return condition, int(seed)


def seeds_of(condition: str, seeds: Sequence[int], more: MoreSeeds = None) -> list[int]:
    """The seeds of a condition's runs: 0 alone for a base model, else everyone's and its own."""
    return [0] if parse(condition).is_base else [*seeds, *(more or {}).get(condition, [])]


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error message: the closest valid name, or all of them where none is close."""
    valid = list(valid)
    near = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(valid) or 'nothing'}"

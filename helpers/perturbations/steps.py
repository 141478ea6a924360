"""Steps: what arms work on, and the tools that they share.

    Step(text="8+20=28. No 11.", trace="countdown-train-7", index=3, change="moved")

A step records where it came from; arm files keep that record.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from helpers.data.traces import Trace

NUMBER = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Step:
    """A step, and where it came from: step `index` (from 0) of the trace with id `trace`.

    `change` is "kept", "moved" (to another place), "edited" (another text) or "foreign" (from another trace).
    """

    text: str
    trace: str
    index: int
    change: str = "kept"


Arm = Callable[[Sequence[Step], float, random.Random, Sequence[Trace]], list[Step]]


def chosen(n: int, fraction: float, rng: random.Random, at_least: int = 0) -> list[int]:
    """Which of n places an arm touches, in ascending order: exactly round(fraction * n) of them.

    `at_least` applies to fractions above 0, as far as n allows.
    """
    size = max(round(fraction * n), min(at_least, n)) if fraction > 0 else 0
    return sorted(rng.sample(range(n), size))


def edited(step: Step, text: str) -> Step:
    """The step with a new text; the same step if the text is the same."""
    return step if text == step.text else replace(step, text=text, change="edited")


def donor_for(own: str, rng: random.Random, pool: Sequence[Trace]) -> Trace:
    """A random trace from the pool, other than `own`, that has steps; ValueError where there is none."""
    if not any(t.steps and t.id != own for t in pool):
        raise ValueError(f"the pool has no trace with steps besides {own}: this arm needs other traces")
    while (donor := rng.choice(pool)).id == own or not donor.steps:
        pass
    return donor


def changed_digits(old: str, new: str) -> list[bool]:
    """For each digit of the old text, whether it changed; empty where more than numbers changed."""
    before = NUMBER.findall(old)
    if old == new:
        return [False] * sum(map(len, before))
    if NUMBER.split(old) != NUMBER.split(new):
        return []
    pairs = zip(before, NUMBER.findall(new), strict=True)
    return [flag for a, b in pairs for flag in changed_in(a, b)]


def changed_in(number: str, other: str) -> list[bool]:
    """For each digit of a number, whether it differs from the one in `other`; True if lengths differ."""
    if len(number) != len(other):
        return [True] * len(number)
    return [x != y for x, y in zip(number, other, strict=True)]

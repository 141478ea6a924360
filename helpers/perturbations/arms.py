"""Arms: the registry of perturbations, and `perturb`, which applies an arm to one trace.

    perturb(trace, "shuffle-67", seed=0, pool=[]).steps
    # (Step(text="Let me make ...", trace="countdown-train-7", index=0, change="kept"), ...)

An arm is one function `(steps, fraction, rng, pool) -> steps` (in content.py, located.py or structure.py)
and one entry in `PERTURBATIONS`. Every step it returns records where it came from. An arm never sees the
solution, so it cannot change it; the only exception is `numbers`, the reading of "digits" in the authors'
released code.

Our choices where the paper leaves things open: an arm touches exactly `round(fraction * n)` steps (or keyword
sentences), half to even; donors are drawn with repetition; each digit is replaced with probability
`fraction`, and the new digit may equal the old one. Further choices are documented with each arm.
"""

from __future__ import annotations

import difflib
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.conditions import Condition
from helpers.data.traces import Trace, render
from helpers.perturbations.content import digits, filler, keywords, names, numbers, propagated, verdicts
from helpers.perturbations.located import ARMS as LOCATED_ARMS
from helpers.perturbations.steps import Arm, Step
from helpers.perturbations.structure import delete, insert, reverse, shuffle, swap, truncate


@dataclass(frozen=True)
class Perturbed:
    """A trace and its steps after an arm; `new_solution` is set only where the arm changed the solution."""

    trace: Trace
    steps: tuple[Step, ...]
    new_solution: str | None = None

    @property
    def solution(self) -> str:
        return self.trace.solution if self.new_solution is None else self.new_solution

    @property
    def response(self) -> str:
        """The exact text that is trained on."""
        return render([s.text for s in self.steps], self.solution, self.trace.kind, self.trace.frame)


PERTURBATIONS: dict[str, Arm] = {
    arm.__name__: arm
    for arm in (
        *(digits, keywords, shuffle, delete, insert),
        *(numbers, swap, reverse, filler, truncate, propagated),
        *(names, verdicts),
        *LOCATED_ARMS,
    )
}
WITH_SOLUTION = ("numbers",)  # also get the solution, as a last step with index -1
UNTOUCHED = ("correct", "wrong", "short")  # arms that train on unchanged traces of that kind
# Arms that train on the correct traces of one part of their source: written by people, or by a model.
PARTS = (*(f"human_stage{i}" for i in (1, 2, 3, 4)), "qwq_32b_preview")
# Table 2 of the paper, and the short traces of its Table 4.
ARMS = (
    "correct",
    "wrong",
    *(f"digits-{p}" for p in (20, 50, 70, 100)),
    *(f"keywords-{p}" for p in (20, 50, 100)),
    *(f"{name}-{p}" for name in ("shuffle", "delete", "insert") for p in (33, 67, 100)),
    "short",
)
# Beyond the paper: controls, and the released code's reading of digits.
CONTROLS = (
    *("swap-100", "reverse-100", "filler-100", "truncate-67", "propagated-100"),
    *(f"numbers-{p}" for p in (20, 50, 70, 100)),
)
# What digits are to Countdown, for puzzles in words.
IN_WORDS = tuple(f"{name}-{p}" for name in ("names", "verdicts") for p in (20, 50, 70, 100))
# The same digits arm, in one part of the trace, and as much noise in one part as in another (located.py).
LOCATED = (
    *(f"digits_{part}-50" for part in ("opening", "failing", "listed", "deciding")),
    *(f"matched_{part}-100" for part in ("opening", "failing", "listed", "deciding", "propagated")),
)


def parse_arm(arm: str) -> tuple[str, float]:
    """The name and fraction of an arm: ("shuffle", 2/3) for "shuffle-67", ("correct", 0.0) for "correct".

    33 and 67 mean thirds, any other percentage means itself. ValueError names the closest valid arm.
    """
    if arm in UNTOUCHED + PARTS:
        return arm, 0.0
    asked = Condition(arm)
    if asked.family != arm and asked.family in PERTURBATIONS:
        return asked.family, asked.fraction
    known = [*ARMS, *CONTROLS, *LOCATED, *IN_WORDS, *PARTS, *(f"{name}-100" for name in PERTURBATIONS)]
    nearest = difflib.get_close_matches(arm, known, n=1, cutoff=0)[0]
    raise ValueError(f"there is no arm {arm!r}: did you mean {nearest!r}?")


def applicable(arm: str, trace: Trace, pool: Sequence[Trace]) -> bool:
    """Whether an arm, at a fraction of 100%, changes a trace: digits do nothing to a trace without any."""
    name, _ = parse_arm(arm)
    if name in UNTOUCHED + PARTS:
        return name == trace.kind or trace.source.endswith(f"#{name}")
    try:
        made = perturb(trace, f"{name}-100", 0, pool)
    except ValueError:  # this trace is not of the kind that the arm takes
        return False
    return [step.text for step in made.steps] != list(trace.steps) or made.solution != trace.solution


def perturb(trace: Trace, arm: str, seed: int, pool: Sequence[Trace]) -> Perturbed:
    """Apply an arm to one trace. `pool` holds the traces that insert may take steps from.

    The randomness depends on the seed, the arm and the trace's id only, so the order of the rows and the
    other rows make no difference (insert draws its donors from the pool as given). ValueError where an
    untouched arm gets a trace of another kind.
    """
    name, fraction = parse_arm(arm)
    steps = [Step(text, trace.id, i) for i, text in enumerate(trace.steps)]
    if name in PARTS and not trace.source.endswith(f"#{name}"):
        raise ValueError(
            f"the arm {arm!r} takes the traces of that part, and {trace.id} is of {trace.source}"
        )
    if name in UNTOUCHED + PARTS:
        if name in UNTOUCHED and trace.kind != name:
            raise ValueError(f"the arm {arm!r} takes {name} traces, and {trace.id} is {trace.kind}")
        return Perturbed(trace, tuple(steps))
    digest = hashlib.sha256(repr((seed, arm, trace.id)).encode()).digest()
    rng = random.Random(int.from_bytes(digest, "big"))
    if name not in WITH_SOLUTION:
        return Perturbed(trace, tuple(PERTURBATIONS[name](steps, fraction, rng, pool)))
    *changed, last = PERTURBATIONS[name]([*steps, Step(trace.solution, trace.id, -1)], fraction, rng, pool)
    return Perturbed(trace, tuple(changed), last.text)

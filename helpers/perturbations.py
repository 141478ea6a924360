"""Perturbations: the arms of the study, pure functions of a trace's steps.

    perturb(trace, "shuffle-67", seed=0, pool=[]).steps
    # (Step(text="Let me make ...", trace="countdown-train-7", index=0, change="kept"), ...)

An arm is one function `(steps, fraction, rng, pool) -> steps` and one entry in `PERTURBATIONS`.
Every step it returns says where it came from. It never sees the solution, so no arm can touch it.

Choices of ours, where the paper leaves it open: the number of steps (or keyword sentences) that an
arm touches is exact, `round(fraction * n)`, half to even; donors are drawn with repetition; digits
are drawn one by one, each with probability `fraction`, and a new digit may equal the old one.
Not covered: the authors' published digit code, which replaces whole numbers in the solution too.
"""

from __future__ import annotations

import difflib
import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from helpers.traces import Trace, render, write_table


@dataclass(frozen=True)
class Step:
    """A step and where it came from: step `index` (from 0) of the trace with id `trace`.

    `change` is "kept", "moved" (to another place), "edited" (another text) or "foreign" (another trace's).
    """

    text: str
    trace: str
    index: int
    change: str = "kept"

    @property
    def origin(self) -> str:
        """The provenance in words: "kept 3", "moved 5", "edited 2", "foreign countdown-train-17 4"."""
        source = f"{self.trace} " if self.change == "foreign" else ""
        return f"{self.change} {source}{self.index}"


@dataclass(frozen=True)
class Perturbed:
    """A trace and what an arm made of its steps."""

    trace: Trace
    steps: tuple[Step, ...]

    @property
    def response(self) -> str:
        """The text that is trained on, to the last character."""
        return render([s.text for s in self.steps], self.trace.solution, self.trace.kind)


Arm = Callable[[Sequence[Step], float, random.Random, Sequence[Trace]], list[Step]]

# Ours: the paper names five of these and an ellipsis, its full list is unpublished.
KEYWORDS = (
    "wait",
    "hmm",
    "but",
    "however",
    "alternatively",
    "actually",
    "hold on",
    "on second thought",
    "let me think again",
    "let me check",
    "let me double-check",
    "let me verify",
    "let me reconsider",
)
KEYWORD = re.compile(r"\b(?:" + "|".join(map(re.escape, KEYWORDS)) + r")\b", re.IGNORECASE)
# A sentence ends at a full stop, question or exclamation mark before white space, or at a line's end.
SENTENCE = re.compile(r".+?(?:[.!?]\s+|\n+|$)", re.DOTALL)


def count_keywords(text: str) -> int:
    """How often reflection keywords occur in a text, as whole words, in upper or lower case."""
    return len(KEYWORD.findall(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space after it; joined they are the text."""
    return SENTENCE.findall(text)


def chosen(n: int, fraction: float, rng: random.Random, at_least: int = 0) -> list[int]:
    """Which of n places an arm touches, ascending: exactly round(fraction * n) of them.

    `at_least` (where n allows it) counts for a fraction above 0 only.
    """
    size = max(round(fraction * n), min(at_least, n)) if fraction > 0 else 0
    return sorted(rng.sample(range(n), size))


def edited(step: Step, text: str) -> Step:
    """The step with another text; the same step where the text is the same."""
    return step if text == step.text else replace(step, text=text, change="edited")


def digits(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Each digit becomes a random one with probability `fraction`."""

    def draw(match: re.Match[str]) -> str:
        return rng.choice("0123456789") if rng.random() < fraction else match[0]

    return [edited(s, re.sub("[0-9]", draw, s.text)) for s in steps]


def keywords(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Sentences that carry a reflection keyword are removed; a step left empty disappears."""
    parts = [sentences(s.text) for s in steps]
    carriers = [(i, j) for i, part in enumerate(parts) for j, text in enumerate(part) if KEYWORD.search(text)]
    gone = {carriers[k] for k in chosen(len(carriers), fraction, rng)}
    touched = {i for i, _ in gone}
    left = ["".join(t for j, t in enumerate(part) if (i, j) not in gone) for i, part in enumerate(parts)]
    return [
        edited(s, left[i].rstrip()) if i in touched else s
        for i, s in enumerate(steps)
        if i not in touched or left[i].strip()
    ]


def shuffle(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The chosen steps (two or more, where there are two) change places among themselves.

    A single step may stay in place; all of them stay only where the chosen ones read the same.
    """
    places = chosen(len(steps), fraction, rng, at_least=2)
    texts = [steps[i].text for i in places]
    order = list(places)
    while len(set(texts)) > 1 and [steps[i].text for i in order] == texts:
        rng.shuffle(order)
    result = list(steps)
    for place, source in zip(places, order, strict=True):
        result[place] = steps[source] if place == source else replace(steps[source], change="moved")
    return result


def delete(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The chosen steps are removed; a fraction of 1 leaves an empty thought between its tags."""
    gone = set(chosen(len(steps), fraction, rng))
    return [s for i, s in enumerate(steps) if i not in gone]


def insert(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The chosen steps are replaced by random steps of other traces: a random donor, then a step of it."""
    result = list(steps)
    for place in chosen(len(steps), fraction, rng):
        result[place] = foreign_step(steps[place].trace, rng, pool)
    return result


def foreign_step(own: str, rng: random.Random, pool: Sequence[Trace]) -> Step:
    """A random step of a random trace of the pool other than `own`; ValueError where there is none."""
    if not any(t.steps and t.id != own for t in pool):
        raise ValueError(f"the pool has no trace with steps besides {own}: insert needs other traces")
    while (donor := rng.choice(pool)).id == own or not donor.steps:
        pass
    index = rng.randrange(len(donor.steps))
    return Step(donor.steps[index], donor.id, index, "foreign")


PERTURBATIONS: dict[str, Arm] = {
    "digits": digits,
    "keywords": keywords,
    "shuffle": shuffle,
    "delete": delete,
    "insert": insert,
}
UNTOUCHED = ("correct", "wrong", "short")  # arms that train on the traces of that kind as they are
THIRDS = {"33": 1 / 3, "67": 2 / 3}
# Table 2 of the paper, and the short traces of its Table 4.
ARMS = (
    "correct",
    "wrong",
    *(f"digits-{p}" for p in (20, 50, 70, 100)),
    *(f"keywords-{p}" for p in (20, 50, 100)),
    *(f"{name}-{p}" for name in ("shuffle", "delete", "insert") for p in (33, 67, 100)),
    "short",
)


def parse_arm(arm: str) -> tuple[str, float]:
    """An arm's name and fraction: ("shuffle", 2/3) for "shuffle-67", ("correct", 0.0) for "correct".

    33 and 67 mean thirds, any other whole percentage itself. ValueError names the nearest arm.
    """
    if arm in UNTOUCHED:
        return arm, 0.0
    name, _, percent = arm.rpartition("-")
    if name in PERTURBATIONS and re.fullmatch("[0-9]{1,2}|100", percent):
        return name, THIRDS.get(percent, int(percent) / 100)
    known = [*ARMS, *(f"{name}-100" for name in PERTURBATIONS)]
    nearest = difflib.get_close_matches(arm, known, n=1, cutoff=0)[0]
    raise ValueError(f"there is no arm {arm!r}: did you mean {nearest!r}?")


def perturb(trace: Trace, arm: str, seed: int, pool: Sequence[Trace]) -> Perturbed:
    """A trace as an arm has it. `pool` holds the traces that insert may take steps from.

    The randomness depends on seed, arm and the trace's id alone, so neither order nor company of the
    rows matters (insert's donors are drawn from the pool as given). ValueError where an untouched arm
    gets a trace of another kind.
    """
    name, fraction = parse_arm(arm)
    steps = [Step(text, trace.id, i) for i, text in enumerate(trace.steps)]
    if name in UNTOUCHED:
        if trace.kind != name:
            raise ValueError(f"the arm {arm!r} takes {name} traces, and {trace.id} is {trace.kind}")
        return Perturbed(trace, tuple(steps))
    digest = hashlib.sha256(repr((seed, arm, trace.id)).encode()).digest()
    rng = random.Random(int.from_bytes(digest, "big"))
    return Perturbed(trace, tuple(PERTURBATIONS[name](steps, fraction, rng, pool)))


def metrics(original: Sequence[str], perturbed: Sequence[Step]) -> dict[str, float]:
    """How much of a trace's structure and content an arm left: four shares from 0 to 1.

    consistency: of the neighbouring pairs of the result, those that were neighbours in that order
    (two steps of one foreign trace count too); kept: of the original's steps, those still there word
    for word, in whatever place; foreign: of the result's steps; digits_changed: of the digits of the
    result's own steps whose length is as before. A share of nothing is nan.
    """
    pairs = [
        (a.trace, a.index + 1) == (b.trace, b.index) for a, b in zip(perturbed, perturbed[1:], strict=False)
    ]
    own = [s for s in perturbed if s.change != "foreign"]
    whole = {s.index for s in own if s.text == original[s.index]}
    same_length = [(original[s.index], s.text) for s in own if len(original[s.index]) == len(s.text)]
    changed = [a != b for old, new in same_length for a, b in zip(old, new, strict=True) if a in "0123456789"]
    return {
        "consistency": share(pairs),
        "kept": share([i in whole for i in range(len(original))]),
        "foreign": share([s.change == "foreign" for s in perturbed]),
        "digits_changed": share(changed),
    }


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "problem", "solution", "kind", "response")),
        *((name, pa.list_(pa.string())) for name in ("steps", "origin")),
    ]
)


def write_arm(perturbed: Iterable[Perturbed], path: str | Path) -> None:
    """Write an arm to Parquet, a row a trace, columns as in `SCHEMA`; `origin` has an entry a step."""
    rows = [
        {
            "id": p.trace.id,
            "problem": p.trace.problem,
            "steps": [s.text for s in p.steps],
            "origin": [s.origin for s in p.steps],
            "solution": p.trace.solution,
            "kind": p.trace.kind,
            "response": p.response,
        }
        for p in perturbed
    ]
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)

"""Random digits in one part of a trace: does it matter where the content is wrong?

    digits_opening   the first step, which names the target and the numbers
    digits_failing   the steps between the first and the last: in a puzzle, the tries that fail
    digits_listed    in those, the results that the try lists and rejects (Countdown only)
    digits_deciding  the last step: in a puzzle, the try that hits

    matched_*        the same places, but as many digits as the opening has: the same noise everywhere
    matched_propagated    anywhere, as many digits as `propagated` changes: noise against a coherent error

Parts go by position, so all but `listed` and `propagated` also take natural traces, where the last step is
the one that the answer follows from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from helpers.data.traces import Trace
from helpers.perturbations.content import DIGIT, propagated
from helpers.perturbations.steps import Arm, Step, changed_digits, edited

LISTED = re.compile(r"(?<=: )[\d, ]+(?=\. No )")
PARTS = ("opening", "failing", "listed", "deciding")
Place = tuple[int, int]  # a digit: number of the step, position in its text


def places(steps: Sequence[Step], part: str) -> list[Place]:
    """The digits of a part of the trace, or of all of it; ValueError where no failing try lists results."""
    last = len(steps) - 1
    wanted = {"opening": [0], "deciding": [last] if last else [], "all": range(last + 1)}
    own = wanted.get(part, range(1, last))
    if part != "listed":
        return [(i, m.start()) for i in own for m in DIGIT.finditer(steps[i].text)]
    lists = [(i, LISTED.search(steps[i].text)) for i in own]
    if any(found is None for _, found in lists):
        raise ValueError(f"{steps[0].trace}: a step lists no results of a try, as Countdown's do")
    return [(i, m.start()) for i, found in lists for m in DIGIT.finditer(steps[i].text, *found.span())]


def rewritten(steps: Sequence[Step], new: dict[Place, str]) -> list[Step]:
    """The steps with new digits in some places."""
    texts = [list(step.text) for step in steps]
    for (i, at), digit in new.items():
        texts[i][at] = digit
    return [edited(step, "".join(text)) for step, text in zip(steps, texts, strict=True)]


def located(part: str) -> Arm:
    """The arm that replaces each digit of a part by a random one with probability `fraction`."""

    def arm(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
        drawn = [place for place in places(steps, part) if rng.random() < fraction] if steps else []
        return rewritten(steps, {place: rng.choice("0123456789") for place in drawn})

    arm.__name__ = f"digits_{part}"
    arm.__doc__ = f"Replace each digit of the {part} part by a random one with probability `fraction`."
    return arm


def matched(part: str) -> Arm:
    """The arm that changes `fraction` times the opening's number of digits, or all if fewer, in a part."""

    def arm(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
        if not steps:
            return []
        count = round(fraction * len(places(steps, "opening")))
        return changed(steps, places(steps, part), count, rng)

    arm.__name__ = f"matched_{part}"
    arm.__doc__ = f"Change as many digits of the {part} part as the opening has, times `fraction`."
    return arm


def changed(steps: Sequence[Step], among: list[Place], count: int, rng: random.Random) -> list[Step]:
    """The steps with another digit in `count` random places, or in all if there are fewer."""
    drawn = rng.sample(among, min(count, len(among)))
    old = {(i, at): steps[i].text[at] for i, at in drawn}
    return rewritten(steps, {p: rng.choice("0123456789".replace(d, "")) for p, d in old.items()})


def matched_propagated(
    steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]
) -> list[Step]:
    """Change as many digits, anywhere, as `propagated` would change; Countdown only."""
    coherent = propagated(steps, fraction, rng, pool)
    pairs = zip(steps, coherent, strict=True)
    count = sum(flag for old, new in pairs for flag in changed_digits(old.text, new.text))
    return changed(steps, places(steps, "all"), count, rng) if steps else []


ARMS: tuple[Arm, ...] = (*map(located, PARTS), *map(matched, PARTS), matched_propagated)

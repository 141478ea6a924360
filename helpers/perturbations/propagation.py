"""An early slip in a puzzle's thought: one number is misread, and all later arithmetic follows from it.

    Let me make 6 from 5, 19 and 20.            Let me make 6 from 5, 17 and 20.
    5+19=24. With 20: 44, 4, 480. No 6.         5+17=22. With 20: 42, 2, 440. No 6.
    Wait. 19-5=14. With 20: 34, 6, 280.         Wait. 17-5=12. With 20: 32, 8, 240.
    Yes, 20-14=6.                               Yes, 20-12=8.

"Teaching Algorithmic Reasoning via Noise" (arXiv 2402.04004) calls this dynamic noise, and what `digits` does
static noise. Only numbers change: each step keeps its words, its operations and its verdict.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from helpers.puzzles import countdown

OPENING = re.compile(r"Let me make (\d+) from (\d+), (\d+) and (\d+)\.")
TRY = re.compile(r"(\D*?)(\d+)([-+*])(\d+)=\d+\. With (\d+): [\d, ]+\. (?:No|Yes, \d+([-+*])\d+=)\s?\d+\.")


def propagate(texts: Sequence[str], start: int, rng: random.Random) -> list[str]:
    """Misread one number of a puzzle from step `start` (from 0) on, and redo the arithmetic.

    The slip changes one digit and keeps the numbers ascending; if possible it turns no failed try into a hit.
    ValueError where a text is not a step of a puzzle.
    """
    opened = OPENING.fullmatch(texts[0]) if texts else None
    found = [TRY.fullmatch(text) for text in texts[1:]]
    if not opened or None in found:
        place = found.index(None) + 1 if opened else 0
        raise ValueError(f"step {place} is no step of a Countdown puzzle, and propagated takes no other")
    target, *numbers = map(int, opened.groups())
    given = [(i, old, new) for i, old in enumerate(numbers) for new in countdown.slips(old)]
    slips = [{old: new} for i, old, new in given if ascending([*numbers[:i], new, *numbers[i + 1 :]])]
    silent = [slip for slip in slips if not any(hits(m, slip, target) for m in found[max(start - 1, 0) :])]
    slip = rng.choice(silent or slips)
    misread = countdown.opening(tuple(slip.get(n, n) for n in numbers), target)
    redone = [misread, *(rewritten(m, slip, target) for m in found)]
    return [*texts[:start], *redone[start:]]


def ascending(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in zip(numbers, numbers[1:], strict=False))


def slipped(step: re.Match[str], slip: dict[int, int]) -> countdown.Try:
    """The try in a step, with the misread number."""
    x, y, z = (slip.get(int(step[k]), int(step[k])) for k in (2, 4, 5))
    return countdown.Try(x, step[3], y, z)


def hits(step: re.Match[str], slip: dict[int, int], target: int) -> bool:
    """Whether a failed try would reach the target with the misread number."""
    return step[6] is None and target in slipped(step, slip).results


def rewritten(step: re.Match[str], slip: dict[int, int], target: int) -> str:
    """A step with the misread number and all results recomputed."""
    attempt = slipped(step, slip)
    verdict = f"No {target}."
    if step[6]:
        slot = "+-*".index(step[6])
        operation = countdown.second_operation(attempt.first, attempt.z, slot, str(attempt.first))
        verdict = f"Yes, {operation}={countdown.second_results(attempt.first, '+', attempt.z)[slot]}."
    return f"{step[1]}{countdown.try_text(attempt, attempt.first, attempt.results)} {verdict}"

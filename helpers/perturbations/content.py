"""Content: arms that change what the steps say and leave them where they are.

From the paper: digits, keywords. Our controls, each for a question that these two leave open:

filler      same length, no content: does the mere length of a thought help?
propagated  an early slip that later steps build on (Countdown): does digits hurt by noise or by incoherence?
numbers     the released code's reading of digits: whole numbers, and the solution too

What digits are to a puzzle with numbers, two arms are to one with words (islanders):

names       whom a step speaks of
verdicts    what it says of them: knight or knave, lies or tells the truth, true or false
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain

from helpers.data.traces import Trace
from helpers.data.words import KEYWORD, sentences
from helpers.perturbations.propagation import propagate
from helpers.perturbations.steps import Step, chosen, edited
from helpers.puzzles.islanders import NAMES

DIGIT = re.compile("[0-9]")
NAME = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")
PAIRS = (("knight", "knave"), ("tells the truth", "lies"), ("true", "false"))
OPPOSITE = {word: other for pair in PAIRS for word, other in (pair, pair[::-1])}
VERDICT = re.compile(rf"\b(?:{'|'.join(OPPOSITE)})\b")
FILLER = "... "  # one token in most vocabularies, about as many characters as a token of prose


def digits(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace each digit by a random one with probability `fraction`."""
    uniform, bits = rng.random, rng.getrandbits

    def draw(digit: str) -> str:
        if uniform() >= fraction:
            return digit
        while (new := bits(4)) > 9:  # like rng.choice, but faster
            pass
        return "0123456789"[new]

    def noisy(text: str) -> str:
        drawn = [draw(digit) for digit in DIGIT.findall(text)]
        return "".join(chain.from_iterable(zip(DIGIT.split(text), [*drawn, ""], strict=True)))

    return [edited(s, noisy(s.text)) for s in steps]


def keywords(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Remove sentences that contain a reflection keyword; a step left empty disappears.

    White space at the end of a step is kept.
    """
    found = [[m.start() for m in KEYWORD.finditer(s.text)] for s in steps]
    parts = [sentences(s.text) if places else [] for s, places in zip(steps, found, strict=True)]
    ends = [list(accumulate(map(len, part))) for part in parts]
    carriers = [
        (i, j) for i, places in enumerate(found) for j in sorted({bisect_right(ends[i], at) for at in places})
    ]
    gone = {carriers[k] for k in chosen(len(carriers), fraction, rng)}
    touched = {i for i, _ in gone}
    left = ["".join(t for j, t in enumerate(part) if (i, j) not in gone) for i, part in enumerate(parts)]
    return [
        edited(s, left[i].rstrip() + s.text[len(s.text.rstrip()) :]) if i in touched else s
        for i, s in enumerate(steps)
        if i not in touched or left[i].strip()
    ]


def numbers(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace each whole number by one from 0 to 10 with probability `fraction`, in the solution as well.

    This is what the authors' released code does: a number of any length becomes one of 0 to 10, the boxed
    answer too (see `arms.WITH_SOLUTION`).
    """

    def draw(match: re.Match[str]) -> str:
        return str(rng.randint(0, 10)) if rng.random() < fraction else match[0]

    return [edited(s, re.sub("[0-9]+", draw, s.text)) for s in steps]


def names(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace each islander's name by another one of the same trace with probability `fraction`."""
    known = sorted({name for step in steps for name in NAME.findall(step.text)})

    def draw(match: re.Match[str]) -> str:
        changes = rng.random() < fraction and len(known) > 1
        return rng.choice([name for name in known if name != match[0]]) if changes else match[0]

    return [edited(s, NAME.sub(draw, s.text)) for s in steps]


def verdicts(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Turn each "knight", "knave", "true" and "false" into its opposite with probability `fraction`."""

    def draw(match: re.Match[str]) -> str:
        return OPPOSITE[match[0]] if rng.random() < fraction else match[0]

    return [edited(s, VERDICT.sub(draw, s.text)) for s in steps]


def filler(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace the chosen steps by dots of the same length: the length is kept and nothing else."""
    places = set(chosen(len(steps), fraction, rng))
    return [edited(s, dots(s.text)) if i in places else s for i, s in enumerate(steps)]


def dots(text: str) -> str:
    """`FILLER` repeated to the length of a text; white space at its end is kept."""
    length = len(text.rstrip())
    filled = (FILLER * (length // len(FILLER) + 1))[:length]
    return f"{filled[:-1]}." + text[length:] if filled.endswith(" ") else filled + text[length:]


def propagated(
    steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]
) -> list[Step]:
    """Misread a number and carry it on through the last `fraction` of the steps; Countdown only.

    ValueError, with the trace's id and the step, where the trace is not a puzzle's.
    """
    if not (touched := round(fraction * len(steps))):
        return list(steps)
    try:
        texts = propagate([s.text for s in steps], len(steps) - touched, rng)
    except ValueError as error:
        raise ValueError(f"{steps[0].trace}: {error}") from error
    return [edited(s, text) for s, text in zip(steps, texts, strict=True)]

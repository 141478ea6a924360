"""What the families of puzzles have in common: splits by hash, reflections, the boxed answer."""

from __future__ import annotations

import hashlib
import random

SPLITS = ("train", "validation", "test")
REFLECTIONS = ("Wait.", "Hmm.", "But go on.", "However, go on.")


def check_split(split: str) -> None:
    """ValueError for a split that does not exist."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: choose one of {', '.join(SPLITS)}")


def split_by_hash(shape: tuple) -> str:
    """The split of all problems of a shape: 70% train, 5% validation, 25% test."""
    bucket = hashlib.sha256(repr(shape).encode()).digest()[0] / 256
    return "train" if bucket < 0.7 else "validation" if bucket < 0.75 else "test"


def reflection(rng: random.Random, rate: float) -> str:
    """A reflection and a space, at this rate, or nothing."""
    return f"{rng.choice(REFLECTIONS)} " if rng.random() < rate else ""


def solution_text(answer: str) -> str:
    """The solution that gives an answer."""
    return f"The answer is \\boxed{{{answer}}}."

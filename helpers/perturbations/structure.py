"""Structure: the arms that move, remove or replace whole steps.

The paper's: shuffle, delete, insert. Controls of ours, each a question that these leave open:

swap        foreign, but coherent: does insert cost because steps are foreign or because they do not fit?
reverse     every pair out of order, nothing random: what is left of shuffle without its chance?
truncate    the beginning alone: is it the number of steps that delete takes away, or the gaps?
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from helpers.data.traces import Trace
from helpers.perturbations.steps import Step, chosen, donor_for


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
        donor = donor_for(steps[place].trace, rng, pool)
        index = rng.randrange(len(donor.steps))
        result[place] = Step(donor.steps[index], donor.id, index, "foreign")
    return result


def swap(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The whole thought of another trace, in its order, for a share `fraction` of the traces.

    Whether a trace is one of them is drawn for each. The control to `insert`: foreign, but coherent.
    """
    if rng.random() >= fraction or not steps:
        return list(steps)
    donor = donor_for(steps[0].trace, rng, pool)
    return [Step(text, donor.id, i, "foreign") for i, text in enumerate(donor.steps)]


def reverse(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The chosen steps (two or more, where there are two) in the opposite order, the others in place."""
    places = chosen(len(steps), fraction, rng, at_least=2)
    result = list(steps)
    for place, source in zip(places, reversed(places), strict=True):
        result[place] = steps[source] if place == source else replace(steps[source], change="moved")
    return result


def truncate(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The last steps are missing, a share `fraction` of them; 1 leaves an empty thought in its tags."""
    return list(steps[: len(steps) - round(fraction * len(steps))])

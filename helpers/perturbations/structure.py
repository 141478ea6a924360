"""Structure: arms that move, remove or replace whole steps.

From the paper: shuffle, delete, insert. Our controls, each for a question that these leave open:

swap        foreign but coherent: does insert hurt because steps are foreign or because they do not fit?
reverse     every pair out of order, nothing random: how much of shuffle is chance?
truncate    only the beginning: does delete hurt by the number of missing steps or by the gaps?
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from helpers.data.traces import Trace
from helpers.perturbations.steps import Step, chosen, donor_for


def shuffle(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """The chosen steps (at least two, where there are two) swap places among themselves.

    A single step may stay in place; all of them stay only where the chosen ones are equal.
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
    """Remove the chosen steps; a fraction of 1 leaves an empty thought between its tags."""
    gone = set(chosen(len(steps), fraction, rng))
    return [s for i, s in enumerate(steps) if i not in gone]


def insert(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace the chosen steps by random steps of other traces: a random donor, then one of its steps."""
    result = list(steps)
    for place in chosen(len(steps), fraction, rng):
        donor = donor_for(steps[place].trace, rng, pool)
        index = rng.randrange(len(donor.steps))
        result[place] = Step(donor.steps[index], donor.id, index, "foreign")
    return result


def swap(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Replace the whole thought by that of another trace, in its order, in a share `fraction` of the traces.

    Each trace is chosen at random. The control for `insert`: foreign, but coherent.
    """
    if rng.random() >= fraction or not steps:
        return list(steps)
    donor = donor_for(steps[0].trace, rng, pool)
    return [Step(text, donor.id, i, "foreign") for i, text in enumerate(donor.steps)]


def reverse(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Reverse the order of the chosen steps (at least two, where there are two); the others stay in place."""
    places = chosen(len(steps), fraction, rng, at_least=2)
    result = list(steps)
    for place, source in zip(places, reversed(places), strict=True):
        result[place] = steps[source] if place == source else replace(steps[source], change="moved")
    return result


def truncate(steps: Sequence[Step], fraction: float, rng: random.Random, pool: Sequence[Trace]) -> list[Step]:
    """Drop the last `fraction` of the steps; 1 leaves an empty thought between its tags."""
    return list(steps[: len(steps) - round(fraction * len(steps))])

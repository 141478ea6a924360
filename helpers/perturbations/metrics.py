"""How much structure and content an arm leaves, in numbers, before any model is trained.

metrics(trace.steps, perturb(trace, "shuffle-67", 0, pool).steps)
# {"consistency": 0.4, "kept": 1.0, "foreign": 0.0, "digits_changed": 0.0}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from helpers.data.words import count_keywords
from helpers.perturbations.arms import Perturbed
from helpers.perturbations.steps import Step, changed_digits


def metrics(original: Sequence[str], perturbed: Sequence[Step]) -> dict[str, float]:
    """Four shares from 0 to 1; nan where there is nothing to take a share of.

    consistency: neighbouring steps of the result that were neighbours, in that order, where they came from
    (two steps of the same foreign trace count too). kept: steps of the original that are still there word for
    word, in any place. foreign: steps of the result that come from another trace. digits_changed: digits that
    changed in those of the trace's own steps in which only numbers changed (all digits of a number whose
    length changed).
    """
    own = [s for s in perturbed if s.change != "foreign"]
    whole = {s.index for s in own if s.text == original[s.index]}
    changed = [flag for s in own for flag in changed_digits(original[s.index], s.text)]
    return {
        "consistency": consistency([(s.trace, s.index) for s in perturbed]),
        "kept": share([i in whole for i in range(len(original))]),
        "foreign": share([s.change == "foreign" for s in perturbed]),
        "digits_changed": share(changed),
    }


def consistency(places: Sequence[tuple[str, int]]) -> float:
    """The share of neighbouring steps that were neighbours before, from each step's (trace, index)."""
    return share([(a, i + 1) == b for (a, i), b in zip(places, places[1:], strict=False)])


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")


def measure(
    made: Iterable[Perturbed], tokens: Callable[[str], int] | None = None, max_length: int | None = None
) -> pd.DataFrame:
    """One row per trace: the four shares, and the response's steps, characters, keywords and tokens.

    `tokens` counts a text's tokens; with `max_length` (in tokens), `cut` says whether that limit would cut
    the response. The means over the rows describe the arm.
    """
    rows = []
    for p in made:
        response = p.response
        row = metrics(p.trace.steps, p.steps)
        row |= {"steps": len(p.steps), "characters": len(response), "keywords": count_keywords(response)}
        if tokens:
            row["tokens"] = tokens(response)
            row |= {"cut": row["tokens"] > max_length} if max_length else {}
        rows.append(row)
    return pd.DataFrame(rows)

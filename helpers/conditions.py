"""Conditions: what is special about a fine-tune is in its id.

    parts("correct.full")           # ("correct", "full", 0, "")
    parts("shuffle-67.n500.7b")     # ("shuffle-67", "", 500, "7b")

A condition is an arm and, after dots, a method, a number of traces, a size of the model. `base` is the
untouched model, `base.7b` the one of another size. With a seed it is a run, `correct.full.s0`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

METHODS = ("lora", "qlora", "full")
NUMBER, SIZE = r"n[1-9][0-9]*", r"[1-9][0-9]*[mb]"  # of traces, of a model
MoreSeeds = Mapping[str, Sequence[int]] | None  # of conditions, beside the seeds of all


def parts(condition: str) -> tuple[str, str, int, str]:
    """A condition's arm, method ("" for none), number of traces (0: all) and size of the model ("": usual).

    ValueError for a part that is none of these, or that is there twice.
    """
    arm, *rest = condition.split(".")
    found: dict[str, str] = {}
    for part in rest:
        kinds = {
            "method": part in METHODS,
            "traces": re.fullmatch(NUMBER, part),
            "size": re.fullmatch(SIZE, part),
        }
        kind = next((name for name, is_so in kinds.items() if is_so), None)
        if kind is None:
            raise ValueError(f"{condition!r}: unknown method {part!r}{nearest(part, METHODS)}")
        if kind in found:
            raise ValueError(f"{condition!r}: {found[kind]!r} and {part!r} are one {kind} too many")
        found[kind] = part
    return arm, found.get("method", ""), int(found.get("traces", "n0")[1:]), found.get("size", "")


def arm_of(condition: str) -> str:
    """The arm that a condition trains on: `correct.full` -> `correct`."""
    return condition.partition(".")[0]


def method_of(condition: str, default: str = "lora") -> str:
    """The method in a condition's id: `correct.full` -> full; the default where none is named."""
    return parts(condition)[1] or default


def traces_of(condition: str) -> int:
    """The number of traces in a condition's id: `correct.n20` -> 20; 0 (all) where none is named."""
    return parts(condition)[2]


def seeds_of(condition: str, seeds: Sequence[int], more: MoreSeeds = None) -> list[int]:
    """The seeds of a condition's runs: of a base 0 alone, of others the common ones and their own."""
    return [0] if arm_of(condition) == "base" else [*seeds, *(more or {}).get(condition, [])]


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error line: the nearest valid name, or all of them where none is near."""
    valid = list(valid)
    near = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(valid) or 'nothing'}"

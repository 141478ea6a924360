"""The explorer's first view: a trace next to what an arm makes of it, step by step.

    HTML(render(perturb(trace, "shuffle-67", seed=0, pool=traces), "shuffle-67"))

`render` is a pure function to self-contained HTML: no script, no network, one style sheet for light and dark
pages. What happened to a step is shown by colour, border and words. All texts are escaped: they may be a
model's and contain anything. The controls are in widgets.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from markupsafe import Markup

from helpers.data.traces import Trace
from helpers.explorer.markup import PARTS, Found, difference, mark
from helpers.perturbations.arms import Perturbed
from helpers.perturbations.metrics import measure
from helpers.perturbations.steps import Step

STYLE = f"<style>{Path(__file__).with_suffix('.css').read_text()}</style>"
MARKS = {"kept": "=", "moved": "⇅", "edited": "✎", "foreign": "+", "deleted": "−"}
MEANING = {
    "kept": "kept, word for word",
    "moved": "moved to another place",
    "edited": "edited in place",
    "foreign": "from another trace",
    "deleted": "deleted",
}

Tokens = Callable[[str], int]


def render(perturbed: Perturbed, arm: str = "perturbed", find: str = "", tokens: Tokens | None = None) -> str:
    """HTML of the original and the perturbed trace side by side, steps aligned and numbered from 0.

    `find` is marked wherever it occurs, ignoring case; `tokens` counts a text's tokens.
    """
    trace = perturbed.trace
    found = re.compile(re.escape(find), re.IGNORECASE) if find else None
    return page(
        PARTS.problem(mark([(trace.problem, False)], found), f"({trace.id}, {trace.kind})"),
        PARTS.facts(facts(perturbed, tokens)),
        key(perturbed),
        PARTS.map(overview(perturbed)),
        PARTS.hits(find, *hits(perturbed, found)) if found else "",
        PARTS.table(("original", arm), [*step_rows(perturbed, found), solution_row(perturbed, found)]),
    )


def page(*parts: Markup) -> str:
    """The parts of a view, with the style sheet."""
    return str(PARTS.page(Markup(STYLE), parts))


def cell(change: str, words: str, content: Markup) -> Markup:
    """A step as a table cell."""
    return PARTS.step(change, MARKS[change], words, content)


def aligned(steps: Sequence[Step], n: int) -> list[tuple[int | None, int | None]]:
    """The rows of both columns: a step of the original's n (or None) and a place in the result (or None).

    Kept and edited steps are next to their original, all others in the gaps between them.
    """
    own = [s.index if s.change in ("kept", "edited") else -1 - place for place, s in enumerate(steps)]
    rows: list[tuple[int | None, int | None]] = []
    i, place = 0, 0
    for a, b, size in SequenceMatcher(None, range(n), own, autojunk=False).get_matching_blocks():
        rows += zip_longest(range(i, a), range(place, b))
        rows += zip(range(a, a + size), range(b, b + size), strict=True)
        i, place = a + size, b + size
    return rows


def places_of(steps: Sequence[Step]) -> dict[int, list[int]]:
    """Where each step of the original is in the result: places by index, none for a deleted step."""
    found = defaultdict(list)
    for place, step in enumerate(steps):
        if step.change != "foreign":
            found[step.index].append(place)
    return found


def arrow(before: int, after: int) -> str:
    """Which way a step moved, seen from the left column."""
    return "↗" if after < before else "↘" if after > before else "→"


def original_words(index: int, places: Sequence[int], steps: Sequence[Step]) -> tuple[str, str]:
    """What became of a step of the original: the change, and a description."""
    if not places:
        return "deleted", f"{index} deleted"
    first, *others = places
    change = steps[first].change
    where = f" {arrow(index, first)} to {first}" if change == "moved" else f", now {first}"
    again = f", again at {', '.join(map(str, others))}" if others else ""
    return change, f"{index} {change}{where if change == 'moved' or first != index else ''}{again}"


def result_words(place: int, step: Step) -> str:
    """Where a step of the result came from, as a description."""
    if step.change == "foreign":
        return f"{place} foreign, from {step.trace} step {step.index}"
    if step.change == "moved":
        return f"{place} moved {arrow(step.index, place)} from {step.index}"
    return f"{place} {step.change}" + (f", was {step.index}" if step.index != place else "")


def step_rows(perturbed: Perturbed, found: Found) -> list[tuple[Markup | None, Markup | None]]:
    """The steps of both columns as cells."""
    trace, steps = perturbed.trace, perturbed.steps
    places = places_of(steps)
    edits = {p: difference(trace.steps[s.index], s.text) for p, s in enumerate(steps) if s.change == "edited"}
    rows = []
    for i, place in aligned(steps, len(trace.steps)):
        left = right = None
        if i is not None:
            change, words = original_words(i, places[i], steps)
            text = trace.steps[i]
            before = edits[places[i][0]][0] if change == "edited" else [(text, change == "deleted")]
            left = cell(change, words, mark(before, found, "del"))
        if place is not None:
            step = steps[place]
            after = edits[place][1] if place in edits else [(step.text, False)]
            right = cell(step.change, result_words(place, step), mark(after, found, "ins"))
        rows.append((left, right))
    if not steps:
        none = "no thought" if trace.kind == "short" else "an empty thought"
        empty = cell("kept", none, Markup())
        rows.insert(0, (None if trace.steps else empty, empty))
    return rows


def solution_row(perturbed: Perturbed, found: Found) -> tuple[Markup, Markup]:
    before, after = difference(perturbed.trace.solution, perturbed.solution)
    same = perturbed.solution == perturbed.trace.solution
    words = ("kept", "solution, as it was") if same else ("edited", "solution, edited")
    return cell(*words, mark(before, found, "del")), cell(*words, mark(after, found, "ins"))


def hits(perturbed: Perturbed, found: re.Pattern[str]) -> list[int]:
    """How often each side contains the search text."""
    trace = perturbed.trace
    sides = ((*trace.steps, trace.solution), (*(s.text for s in perturbed.steps), perturbed.solution))
    return [sum(len(found.findall(text)) for text in side) for side in sides]


def original(trace: Trace) -> Perturbed:
    """The unchanged trace, in the form that arms return."""
    return Perturbed(trace, tuple(Step(text, trace.id, i) for i, text in enumerate(trace.steps)))


@lru_cache(maxsize=256)
def untouched(trace: Trace, tokens: Tokens | None) -> dict[str, float]:
    """The original's own numbers (see `metrics.measure`)."""
    return measure([original(trace)], tokens).iloc[0].to_dict()


def facts(perturbed: Perturbed, tokens: Tokens | None) -> list[tuple[str, str]]:
    """Counts before and after, and how much structure and content is left: names and values."""
    before, after = untouched(perturbed.trace, tokens), measure([perturbed], tokens).iloc[0].to_dict()
    counted = [name for name in ("steps", "tokens", "characters", "keywords") if name in after]
    shares = {"consistency": "structural consistency", "kept": "kept word for word", "foreign": "foreign"}
    shares |= {"digits_changed": "digits changed"}
    return [
        *((name, f"{before[name]:.0f} → {after[name]:.0f}") for name in counted),
        *((words, percent(after[name])) for name, words in shares.items()),
    ]


def percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f}%"


def key(perturbed: Perturbed) -> Markup:
    """The meaning of colours and marks, with the number of steps for each."""
    counts = Counter(s.change for s in perturbed.steps)
    counts["deleted"] = len(set(range(len(perturbed.trace.steps))) - set(places_of(perturbed.steps)))
    there = (change for change in MEANING if counts[change])
    return PARTS.key([(change, MARKS[change], counts[change], MEANING[change]) for change in there])


def overview(perturbed: Perturbed) -> list[tuple[str, str]]:
    """The steps as lines (SVG paths, by change) from their place in the original to that in the result."""
    n, m = len(perturbed.trace.steps), len(perturbed.steps)
    lines = defaultdict(list)
    for place, step in enumerate(perturbed.steps):
        x = (place + 0.5) / m
        start = f"{x:.4f} 0.8" if step.change == "foreign" else f"{(step.index + 0.5) / n:.4f} 0"
        lines[step.change].append(f"M{start}L{x:.4f} 1")
    gone = set(range(n)) - set(places_of(perturbed.steps))
    lines["deleted"] += [f"M{(i + 0.5) / n:.4f} 0v.2" for i in sorted(gone)]
    return [(change, "".join(d)) for change, d in lines.items() if d]

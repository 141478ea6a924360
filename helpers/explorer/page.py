"""The first view as one HTML page that needs no kernel and no network: ten traces in every arm.

    write_text("explorer.html", explorer_page({"correct": traces, "wrong": wrong}, "laptop"))

Every state is what `trace_view.render` shows, made beforehand, so the page and the widget cannot differ; the
page's script only chooses among them. Pages of long traces hold fewer than ten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from helpers.conditions import Condition
from helpers.data.traces import Trace, read_traces
from helpers.explorer import trace_view
from helpers.explorer.markup import templates
from helpers.perturbations.arms import (
    ARMS,
    CONTROLS,
    IN_WORDS,
    PERTURBATIONS,
    UNTOUCHED,
    applicable,
    perturb,
)

TRACES = 10
LARGEST = 2_800_000  # characters of all states together, which keeps a page below 3 MB
KIND = {
    "correct": "The traces as they are.",
    "wrong": "Traces that end in a wrong answer, as they are.",
    "short": "Only the solution, without a thought.",
}


def spread(traces: Sequence[Trace], n: int = TRACES) -> list[Trace]:
    """n traces from the fewest steps to the most; all of them, in that order, if there are no more than n."""
    ordered = sorted(traces, key=lambda trace: len(trace.steps))
    last = len(ordered) - 1
    return ordered if last < n else [ordered[k * last // (n - 1)] for k in range(n)]


def arms_of(chosen: Mapping[str, Sequence[Trace]], pool: Sequence[Trace]) -> list[str]:
    """The arms that change one of these traces, and the untouched kinds that are there."""
    known = (*ARMS, *IN_WORDS, *CONTROLS)
    return [arm for arm in known if any(applicable(arm, t, pool) for t in chosen.get(arm, chosen["correct"]))]


def states(
    chosen: Mapping[str, Sequence[Trace]], arms: Sequence[str], number: int, seed: int, pool: Sequence[Trace]
) -> dict:
    """The HTML of one trace in every arm, by arm."""
    found = {}
    for arm in arms:
        kind = arm if arm in UNTOUCHED else "correct"
        if number < len(chosen[kind]):
            shown = trace_view.render(perturb(chosen[kind][number], arm, seed, pool), arm)
            found[arm] = shown.removeprefix(trace_view.STYLE)
    return found


def explorer_page(traces: Mapping[str, Sequence[Trace]], name: str, seed: int = 0) -> str:
    """The page's HTML from traces by kind; ValueError without correct traces.

    `insert` takes its steps from all correct traces, as in training, and not from the ten alone.
    """
    pool = traces.get("correct", ())
    if not pool:
        raise ValueError("there are no correct traces to explore: run notebook 01 first")
    chosen = {kind: spread(found) for kind, found in traces.items()}
    made: list[dict] = []
    arms = arms_of(chosen, pool)
    for number in range(len(chosen["correct"])):
        shown = states(chosen, arms, number, seed, pool)
        if made and sum(len(html) for page in (*made, shown) for html in page.values()) > LARGEST:
            break
        made.append(shown)
    families: dict[str, dict] = {}
    for arm in made[0]:
        family = Condition(arm).family
        about = KIND.get(family) or (PERTURBATIONS[family].__doc__ or "").splitlines()[0]
        families.setdefault(family, {"arms": [], "about": about})["arms"].append(arm)
    labels = [f"{trace.problem} ({len(trace.steps)} steps)" for trace in chosen["correct"][: len(made)]]
    return (
        templates(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            name=name,
            labels=labels,
            families=families,
            seed=seed,
            style=Markup(trace_view.STYLE),
            data=embedded({"families": families, "states": made}),
        )
    )


def embedded(data: object) -> Markup:
    """Data as JSON for a script element, which no text in it can end."""
    text = json.dumps(data, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def page_of_run(output_dir: str | Path, seed: int = 0) -> str | None:
    """The page of a run's traces; None if it has no correct ones."""
    folder = Path(output_dir) / "traces"
    traces = {kind: read_traces(path) for kind in UNTOUCHED if (path := folder / f"{kind}.parquet").exists()}
    return explorer_page(traces, Path(output_dir).resolve().name, seed) if traces.get("correct") else None

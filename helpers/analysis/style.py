"""The figures' style, which also works in grey, and how conditions are drawn, grouped and ordered.

    with matplotlib.rc_context(STYLE): ...
    save(figure, "outputs/laptop/results/figures/accuracy.svg")    # and .png; the same bytes every time

Content arms are blue and open, structural arms orange and filled; markers and line styles differ too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.conditions import parse

# The report replaces these three by the page's colours, so nothing else may use them.
INK, LINE, SURFACE = "#1f2328", "#d0d7de", "#ffffff"
CONTENT, STRUCTURE, OTHER, PAPER = "#2f7fc1", "#d9601a", "#6f7780", "#8a63b8"
GROUPS = {
    "content": ("wrong", "digits", "names", "verdicts", "keywords"),
    "structure": ("shuffle", "delete", "insert"),
    "other": ("base", "short", "correct.full"),
}
COLOURS = {"content": CONTENT, "structure": STRUCTURE, "other": OTHER}
MARKERS = {"wrong": "D", "digits": "o", "names": "^", "verdicts": "o", "keywords": "s"}
MARKERS |= {"shuffle": "o", "delete": "s", "insert": "^"}
LINES = {"digits": "-", "names": ":", "verdicts": "-", "keywords": "--"}
LINES |= {"shuffle": "-", "delete": "--", "insert": ":"}
# Of several runs in one figure; open marks and filled ones in turn.
MARKS = (
    {"color": INK, "marker": "o"},
    {"color": PAPER, "marker": "D", "markerfacecolor": SURFACE},
    {"color": STRUCTURE, "marker": "s"},
    {"color": CONTENT, "marker": "^", "markerfacecolor": SURFACE},
)
STYLE = matplotlib.rc_params_from_file(Path(__file__).with_suffix(".mplstyle"), use_default_template=False)


def family(condition: str) -> str:
    """The perturbation of a condition ("shuffle" for "shuffle-67"); correct.full is its own."""
    return condition if "." in condition else parse(condition).family


def group(condition: str) -> str:
    """ "content", "structure" or "other"."""
    return next((g for g, families in GROUPS.items() if family(condition) in families), "other")


def look(condition: str) -> dict:
    """Colour and marker of a condition: open for content, filled for structure."""
    colour = COLOURS[group(condition)]
    face = colour if group(condition) == "structure" else SURFACE
    return {"color": colour, "marker": MARKERS.get(family(condition), "D"), "markerfacecolor": face}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as SVG and as PNG next to it, without dates; its label becomes the title."""
    path = Path(path).with_suffix(".svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        about = {"Date": None, "Creator": None, "Title": figure.get_label()}
        figure.savefig(path, format="svg", metadata=about)
        about = {"Software": None, "Title": figure.get_label()}
        figure.savefig(path.with_suffix(".png"), format="png", dpi=150, metadata=about)
    return path


def ordered(conditions: Iterable[str]) -> list[str]:
    """Conditions by group and family, fractions rising, with a heading ("# content") above each group."""
    conditions, result = list(conditions), []
    for name, families in GROUPS.items():
        here = [c for c in conditions if group(c) == name]
        known = {f: i for i, f in enumerate(families)}
        here.sort(key=lambda c: (known.get(family(c), len(known)), parse(c).percent))
        result += [f"# {name}", *here] if here else []
    return result


def label_rows(axes: Axes, names: list[str]) -> None:
    """One labelled row per name, from the top; headings are bold."""
    labels = axes.set_yticks(range(len(names)), [name.removeprefix("# ") for name in names])
    for name, label in zip(names, labels, strict=True):
        label.label1.set_fontweight("bold" if name.startswith("#") else "normal")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def rows_of(names: list[str], height: float) -> tuple[Figure, Axes]:
    """A figure with one labelled row per name and a line at zero."""
    figure = Figure(figsize=(9, 1.2 + height * max(4, len(names))))
    axes = figure.subplots()
    label_rows(axes, names)
    axes.axvline(0, color=INK, linewidth=1)
    return figure, axes

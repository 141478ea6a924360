"""Figures: three pictures of a results grid, in one style that also reads in grey.

    figure = accuracy_by_fraction(grid, "countdown")
    save(figure, "outputs/laptop/results/figures/accuracy.svg")    # the same bytes every time

Content arms are blue and open, structural arms orange and filled; markers and line styles differ too.
Numbers are percentages of problems, or points; whiskers are 95% intervals.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.claims import fraction

# The report swaps these three for the page's own colours, so nothing else may use them.
INK, LINE, SURFACE = "#1f2328", "#d0d7de", "#ffffff"
CONTENT, STRUCTURE, OTHER, PAPER = "#2f7fc1", "#d9601a", "#6f7780", "#8a63b8"
GROUPS = {
    "content": ("wrong", "digits", "keywords"),
    "structure": ("shuffle", "delete", "insert"),
    "other": ("base", "short", "correct.full"),
}
COLOURS = {"content": CONTENT, "structure": STRUCTURE, "other": OTHER}
MARKERS = {"wrong": "D", "digits": "o", "keywords": "s", "shuffle": "o", "delete": "s", "insert": "^"}
LINES = {"digits": "-", "keywords": "--", "shuffle": "-", "delete": "--", "insert": ":"}
STYLE = {
    "svg.hashsalt": "structure-not-content",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": SURFACE,
    "figure.facecolor": SURFACE,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def family(condition: str) -> str:
    """What a condition is a fraction of ("shuffle" for "shuffle-67"); itself where it is none."""
    name, _, tail = condition.rpartition("-")
    return name if tail.isdigit() else condition


def group(condition: str) -> str:
    """ "content", "structure" or "other"."""
    return next((g for g, families in GROUPS.items() if family(condition) in families), "other")


def look(condition: str) -> dict:
    """Colour and marker of a condition: open markers for content, filled ones for structure."""
    colour = COLOURS[group(condition)]
    face = colour if group(condition) == "structure" else SURFACE
    return {"color": colour, "marker": MARKERS.get(family(condition), "D"), "markerfacecolor": face}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as SVG, without date and version."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return Path(path)


def accuracy_by_fraction(grid: pd.DataFrame, benchmark: str) -> Figure:
    """Accuracy on a benchmark against the fraction that is perturbed, content left and structure right."""
    rows = grid[grid.benchmark == benchmark].set_index("condition")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("content", "structure"), strict=True):
            reference_lines(axes, rows)
            for k, kind in enumerate(GROUPS[name]):
                draw_family(axes, rows, kind, shift=2.0 * (k - 1))
            axes.set(
                xlabel="fraction perturbed (%)",
                xticks=[0, 20, 33, 50, 67, 100],
                xlim=(-5, 114),
                ylim=(0, 100),
            )
            axes.set_title(f"{name} perturbed")
            if axes.get_legend_handles_labels()[1]:
                axes.legend(loc="lower left", fontsize=9)
        panels[0].set_ylabel(f"accuracy on {benchmark} (%)")
    return figure


def reference_lines(axes: Axes, rows: pd.DataFrame) -> None:
    """Level lines, named at the right, for the models trained on correct traces and not at all."""
    levels = rows.accuracy[[c for c in ("correct", "base") if c in rows.index]].sort_values()
    for condition, level in levels.items():
        axes.axhline(
            level, color=OTHER, linestyle="-" if condition == "correct" else (0, (1, 2)), linewidth=1
        )
        side = "bottom" if condition == levels.index[-1] else "top"
        place = axes.get_yaxis_transform()
        axes.text(1.01, level, condition, transform=place, va=side, fontsize=9)


def draw_family(axes: Axes, rows: pd.DataFrame, kind: str, shift: float) -> None:
    """One perturbation's accuracies, joined to `correct` at 0; shifted, so that none hides another."""
    part = rows[[family(c) == kind for c in rows.index]]
    if part.empty:
        return
    at = np.array([fraction(c) for c in part.index])
    if kind == "wrong":  # whole traces, not a fraction of one
        at, shift = np.array([100]), 8
    part, at = part.iloc[np.argsort(at)], np.sort(at)
    whiskers = [part.accuracy - part.low, part.high - part.accuracy]
    style = {"linestyle": LINES.get(kind, "none"), "linewidth": 1.3, **look(part.index[0])}
    axes.errorbar(at + shift, part.accuracy, whiskers, label=kind, **style)
    if kind in LINES and "correct" in rows.index:
        start, first = rows.accuracy["correct"], part.accuracy.iloc[0]
        axes.plot(
            [0, at[0] + shift], [start, first], LINES[kind], color=style["color"], linewidth=1.3, zorder=1.5
        )


def ordered(conditions: Iterable[str]) -> list[str]:
    """Conditions by group and family, fractions rising, a heading ("# content") above each group."""
    result: list[str] = []
    for name, families in GROUPS.items():
        here = [c for c in conditions if group(c) == name]
        known = {f: i for i, f in enumerate(families)}
        here.sort(key=lambda c: (known.get(family(c), len(known)), fraction(c)))
        result += [f"# {name}", *here] if here else []
    return result


def rows_of(names: list[str], height: float) -> tuple[Figure, Axes]:
    """A figure with one labelled row for each name, from the top, headings in bold, and a line at zero."""
    figure = Figure(figsize=(9, 1.2 + height * max(4, len(names))))
    axes = figure.subplots()
    labels = axes.set_yticks(range(len(names)), [name.removeprefix("# ") for name in names])
    for name, label in zip(names, labels, strict=True):
        label.label1.set_fontweight("bold" if name.startswith("#") else "normal")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=INK, linewidth=1)
    return figure, axes


def difference_to_correct(differences: pd.DataFrame, benchmark: str, margin: float) -> Figure:
    """A row a condition: its difference to `correct` with interval, and the band that counts as equal."""
    rows = differences[differences.benchmark == benchmark].set_index("condition")
    names = ordered(rows.index)
    with matplotlib.rc_context(STYLE):
        figure, axes = rows_of(names, height=0.27)
        axes.axvspan(-margin, margin, color=LINE, alpha=0.6, linewidth=0)
        for name, row in rows.iterrows():
            at, place = names.index(name), axes.get_yaxis_transform()
            whiskers = [[row.difference - row.low], [row.high - row.difference]]
            axes.errorbar(row.difference, at, xerr=whiskers, capsize=2, **look(name))
            shown = f"{row.difference:+.1f}".replace("-", "−")
            axes.text(1.01, at, shown, transform=place, va="center")
        axes.set_xlabel(f"difference to correct on {benchmark} (points); band: ±{margin:g} counts as equal")
    return figure


def next_to_paper(differences: pd.DataFrame, benchmark: str) -> Figure:
    """Cell by cell, our difference to `correct` (95% interval) and the paper's (± one standard error)."""
    rows = differences[(differences.benchmark == benchmark) & differences.paper_difference.notna()]
    rows = rows.set_index("condition")
    names = ordered(rows.index)
    at = np.array([names.index(name) for name in rows.index])
    with matplotlib.rc_context(STYLE):
        figure, axes = rows_of(names, height=0.34)
        ours = {"color": INK, "marker": "o", "label": "here (95% interval)"}
        theirs = {"color": PAPER, "marker": "D", "markerfacecolor": SURFACE}
        theirs["label"] = "paper (± one standard error)"
        whiskers = [rows.difference - rows.low, rows.high - rows.difference]
        axes.errorbar(rows.difference, at - 0.15, xerr=whiskers, linestyle="none", **ours)
        errors = rows.paper_standard_error
        axes.errorbar(rows.paper_difference, at + 0.15, xerr=errors, linestyle="none", **theirs)
        axes.set_xlabel(
            f"difference to correct (points): {benchmark} here, four benchmarks' mean in the paper"
        )
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure

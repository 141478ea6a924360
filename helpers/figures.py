"""Figures: six pictures of a run, in one style (`style.py`); a figure's label is its alt text.

    figure = accuracy_by_fraction(grid, "countdown")
    save(figure, "outputs/laptop/results/figures/accuracy_by_fraction.svg")

Numbers are percentages of problems, or points; whiskers are 95% intervals.
"""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.claims import fraction
from helpers.style import (
    COLOURS,
    GROUPS,
    INK,
    LINE,
    LINES,
    OTHER,
    PAPER,
    STYLE,
    SURFACE,
    family,
    group,
    label_rows,
    look,
    ordered,
    rows_of,
)

DASHES = ("-", "--", ":", "-.")


def shown(values: pd.Series) -> str:
    """Values in words for an alt text: "shuffle-33 46.8, shuffle-67 38.0"."""
    return ", ".join(f"{name} {value:.1f}" for name, value in values.items()).replace("-0.0", "0.0")


def accuracy_by_fraction(grid: pd.DataFrame, benchmark: str) -> Figure:
    """Accuracy on a benchmark against the fraction that is perturbed, content left and structure right."""
    rows = grid[grid.benchmark == benchmark].set_index("condition")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8))
        figure.set_label(f"Accuracy on {benchmark} in percent, by fraction perturbed: {shown(rows.accuracy)}")
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


def difference_to_correct(differences: pd.DataFrame, benchmark: str, margin: float) -> Figure:
    """A row a condition: its difference to `correct` with interval, and the band that counts as equal."""
    rows = differences[differences.benchmark == benchmark].set_index("condition")
    names = ordered(rows.index)
    with matplotlib.rc_context(STYLE):
        figure, axes = rows_of(names, height=0.27)
        figure.set_label(f"Difference to correct on {benchmark} in points: {shown(rows.difference)}")
        axes.axvspan(-margin, margin, color=LINE, alpha=0.6, linewidth=0)
        for name, row in rows.iterrows():
            at, place = names.index(name), axes.get_yaxis_transform()
            axes.plot([row.low, row.high], [at, at], color=look(name)["color"], linewidth=1.5)
            axes.plot(row.difference, at, linestyle="none", **look(name))
            value = f"{row.difference:+.1f}".replace("-", "−")
            axes.text(1.01, at, value, transform=place, va="center")
        axes.set_xlabel(f"difference to correct on {benchmark} (points); band: ±{margin:g} counts as equal")
    return figure


def accuracy_by_consistency(
    grid: pd.DataFrame, consistency: pd.Series, fit: pd.DataFrame, benchmark: str
) -> Figure:
    """Accuracy against the structural consistency of what was trained on, with the line fitted to all arms.

    `consistency` is by condition, `fit` as `tables.fitted_line` has it. Numbers at the points are fractions.
    """
    rows = grid[grid.benchmark == benchmark].set_index("condition").join(consistency.rename("at"))
    arms = [c for c in rows.index if c == "correct" or group(c) != "other"]
    rows = rows.loc[arms].dropna(subset="at")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2))
        axes = figure.subplots()
        if len(fit):
            axes.fill_between(fit["at"], fit.low, fit.high, color=LINE, alpha=0.7, linewidth=0)
            axes.plot(fit["at"], fit.fit, color=INK, linewidth=1, label="fit, 95% band")
        side = spread(rows["at"])
        for kind in dict.fromkeys(map(family, rows.index)):
            part, style = rows[[family(c) == kind for c in rows.index]], look(kind)
            whiskers = [part.accuracy - part.low, part.high - part.accuracy]
            at = part["at"] + side[part.index]
            axes.errorbar(at, part.accuracy, whiskers, linestyle="none", linewidth=1.2, label=kind, **style)
            for name, x in at.items():
                text = str(fraction(name) or "")
                axes.annotate(text, (x, part.accuracy[name]), (5, 4), textcoords="offset points", fontsize=8)
        axes.set(
            xlabel="structural consistency of the arm", ylabel=f"accuracy on {benchmark} (%)", ylim=(0, 100)
        )
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        values = ", ".join(f"{c} {r['at']:.2f} and {r.accuracy:.1f}%" for c, r in rows.iterrows())
        figure.set_label(f"Structural consistency and accuracy on {benchmark}: {values}")
    return figure


def spread(at: pd.Series, width: float = 0.016) -> pd.Series:
    """Shifts to the right by which conditions at the same place stand side by side."""
    return at.round(2).groupby(at.round(2)).cumcount() * width


def next_to_paper(differences: pd.DataFrame, benchmark: str) -> Figure:
    """Cell by cell, our difference to `correct` and the paper's, both with 95% intervals.

    The paper's interval is binomial and unpaired: 1.96 times the root of both cells' squared errors.
    """
    rows = differences[(differences.benchmark == benchmark) & differences.paper_difference.notna()]
    rows = rows.set_index("condition")
    names = ordered(rows.index)
    at = np.array([names.index(name) for name in rows.index])
    with matplotlib.rc_context(STYLE):
        figure, axes = rows_of(names, height=0.34)
        pairs = [f"{c} {r.difference:.1f} and {r.paper_difference:.1f}" for c, r in rows.iterrows()]
        figure.set_label(f"Difference to correct in points, here and in the paper: {', '.join(pairs)}")
        ours = {"color": INK, "marker": "o", "label": f"here, {benchmark}"}
        theirs = {"color": PAPER, "marker": "D", "markerfacecolor": SURFACE}
        theirs["label"] = "paper, mean of four benchmarks"
        whiskers = [rows.difference - rows.low, rows.high - rows.difference]
        axes.errorbar(rows.difference, at - 0.15, xerr=whiskers, linestyle="none", **ours)
        errors = 1.96 * rows.paper_error_of_difference
        axes.errorbar(rows.paper_difference, at + 0.15, xerr=errors, linestyle="none", **theirs)
        axes.set_xlabel("difference to correct (points), 95% intervals")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def responses(grid: pd.DataFrame, benchmark: str, paper: pd.DataFrame | None = None) -> Figure:
    """Length, reflection keywords and responses cut at the limit, per condition (the paper's Tables 4 to 7).

    Length and keywords are multiples of `correct`'s, as in `paper.paper_lengths`, which stands beside them.
    """
    rows = grid[grid.benchmark == benchmark].set_index("condition")
    names = ["correct", *ordered(c for c in rows.index if c != "correct")]
    here = pd.DataFrame({"cut off (%)": 100 - rows.finished})
    if "correct" in rows.index:
        for column in ("tokens", "keywords"):
            here[f"{column}, correct = 1"] = rows[column] / (rows[column]["correct"] or np.nan)
    panels_of = [c for c in ("tokens, correct = 1", "keywords, correct = 1", "cut off (%)") if c in here]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.2 + 0.24 * len(names)))
        panels = np.atleast_1d(figure.subplots(1, len(panels_of), sharey=True))
        for axes, title in zip(panels, panels_of, strict=True):
            label_rows(axes, names)
            for name, value in here[title].dropna().items():
                axes.hlines(names.index(name), 0, value, color=LINE, linewidth=1.5, zorder=1)
                axes.plot(value, names.index(name), linestyle="none", **look(name))
            theirs = (
                paper[title.partition(",")[0]]
                if paper is not None and "=" in title
                else pd.Series(dtype=float)
            )
            known = theirs[[c for c in theirs.index if c in names]]
            at = [names.index(c) + 0.22 for c in known.index]
            axes.plot(known, at, "x", color=PAPER, markersize=5, label="paper")
            axes.set_title(title)
            axes.set_xlim(left=-0.02 * axes.get_xlim()[1])
        panels[0].legend(loc="lower right") if paper is not None else None
        figure.set_label(
            f"Length, keywords and cut responses on {benchmark}; cut in percent: {shown(here['cut off (%)'])}"
        )
    return figure


def training_curves(curves: pd.DataFrame) -> Figure:
    """Training loss of every condition, mean over seeds, in three panels; on a logarithmic scale."""
    means = curves.groupby(["condition", "step"], sort=False, as_index=False)["loss"].mean()
    kinds = {
        name: [c for c in ordered(means.condition.unique()) if group(c) == name and c[0] != "#"]
        for name in GROUPS
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8))
        panels = figure.subplots(1, len(kinds), sharey=True)
        for axes, (name, conditions) in zip(panels, kinds.items(), strict=True):
            for condition in conditions:
                part = means[means.condition == condition]
                same = [c for c in conditions if family(c) == family(condition)]
                dash, alpha = DASHES[same.index(condition) % 4], 1 - 0.2 * same.index(condition)
                colour = {"color": COLOURS[name], "alpha": alpha}
                axes.plot(part.step, part.loss, dash, linewidth=1.3, label=condition, **colour)
            axes.set(title=name, xlabel="step", yscale="log")
            if conditions:
                axes.legend(fontsize=7)
        panels[0].set_ylabel("loss (nats per token)")
        last = means.groupby("condition", sort=False)["loss"].last()
        figure.set_label(f"Training loss by step; at the end: {shown(last)}")
    return figure

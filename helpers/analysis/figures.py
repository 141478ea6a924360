"""Figures of a run, in one style (style.py); a figure's label is its alt text.

    figure = accuracy_by_fraction(grid, "countdown")
    save(figure, "outputs/laptop/results/figures/accuracy_by_fraction.svg")

Numbers are percentages of problems, or points; whiskers are 95% intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.analysis.style import (
    GROUPS,
    INK,
    LINE,
    LINES,
    MARKS,
    OTHER,
    PAPER,
    STYLE,
    family,
    group,
    label_rows,
    look,
    ordered,
    rows_of,
)
from helpers.conditions import parse

DASHES = ("-", "--", "-.", ":")


def shown(values: pd.Series, decimals: int = 1) -> str:
    """Values as words for an alt text: "shuffle-33 46.8, shuffle-67 38.0"."""
    return ", ".join(f"{name} {value:.{decimals}f}" for name, value in values.items())


def accuracy_by_fraction(grid: pd.DataFrame, benchmark: str) -> Figure:
    """Accuracy on a benchmark against the perturbed fraction, content left and structure right."""
    rows = grid[grid.benchmark == benchmark].set_index("condition")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8))
        figure.set_label(f"Accuracy on {benchmark} in percent, by fraction perturbed: {shown(rows.accuracy)}")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("content", "structure"), strict=True):
            reference_lines(axes, rows)
            there = {family(condition) for condition in rows.index}
            for k, kind in enumerate(kind for kind in GROUPS[name] if kind in there):
                draw_family(axes, rows, kind, shift=2.0 * (k - 1))
            axes.set(
                xlabel="fraction perturbed (%)",
                xticks=[0, 20, 33, 50, 67, 100],
                xlim=(-5, 114),
                ylim=(-3, 103),
            )
            axes.set_title(f"{name} perturbed")
            if axes.get_legend_handles_labels()[1]:
                axes.legend(loc="lower left", fontsize=9)
        panels[0].set_ylabel(f"accuracy on {benchmark} (%)")
    return figure


def reference_lines(axes: Axes, rows: pd.DataFrame) -> None:
    """Horizontal lines, labelled on the right, for the models trained on correct traces and not at all."""
    levels = rows.accuracy[[c for c in ("correct", "base") if c in rows.index]].sort_values()
    for condition, level in levels.items():
        axes.axhline(
            level, color=OTHER, linestyle="-" if condition == "correct" else (0, (1, 2)), linewidth=1
        )
        side = "bottom" if condition == levels.index[-1] else "top"
        place = axes.get_yaxis_transform()
        axes.text(1.01, level, condition, transform=place, va=side, fontsize=9)


def draw_family(axes: Axes, rows: pd.DataFrame, kind: str, shift: float) -> None:
    """One perturbation's accuracies, joined to `correct` at 0 and shifted so that none hides another."""
    part = rows[[family(c) == kind for c in rows.index]]
    if part.empty:
        return
    at = np.array([parse(c).percent for c in part.index])
    if kind == "wrong":  # whole traces, not a fraction of one
        at, shift = np.array([100]), 8
    part, at = part.iloc[np.argsort(at)], np.sort(at)
    whiskers = [part.accuracy - part.low, part.high - part.accuracy]
    style = {"linestyle": LINES.get(kind, "none"), "linewidth": 1.3, **look(part.index[0])}
    axes.errorbar(at + shift, part.accuracy.to_numpy(), np.array(whiskers), label=kind, **style)
    if kind in LINES and "correct" in rows.index:
        start, first = rows.accuracy["correct"], part.accuracy.iloc[0]
        axes.plot(
            [0, at[0] + shift], [start, first], LINES[kind], color=style["color"], linewidth=1.3, zorder=1.5
        )


def difference_to_correct(differences: pd.DataFrame, benchmark: str, margin: float) -> Figure:
    """One row per condition: its difference to `correct` with interval, and the equivalence band."""
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
    """Accuracy against the structural consistency of the training text, with the fitted line.

    `consistency` is by condition, `fit` comes from `tables.fitted_line`. Arms that keep the whole order are
    side by side on the right, where the line ends; numbers at points on the left are fractions.
    """
    rows = grid[grid.benchmark == benchmark].set_index("condition").join(consistency.rename("at"))
    arms = [c for c in rows.index if c == "correct" or group(c) != "other"]
    rows = rows.loc[arms].dropna(subset="at")
    whole = rows["at"] > 0.995
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        if len(fit):
            left.fill_between(fit["at"], fit.low, fit.high, color=LINE, alpha=0.7, linewidth=0)
            left.plot(fit["at"], fit.fit, color=INK, linewidth=1, label="fit, 95% band")
            right.axhspan(fit.low.iloc[-1], fit.high.iloc[-1], color=LINE, alpha=0.7, linewidth=0)
            right.axhline(fit.fit.iloc[-1], color=INK, linewidth=1)
        labelled: list[tuple[float, float]] = []
        for name, row in rows[~whole].iterrows():
            point(left, row["at"], row, name)
            place = (row["at"], row.accuracy)
            close = any(abs(place[0] - x) < 0.12 and abs(place[1] - y) < 5 for x, y in labelled)
            left.annotate(name, place, (6, 16 if close else 4), textcoords="offset points", fontsize=8)
            labelled.append(place)
        names = [name for name in ordered(rows.index[whole]) if name[0] != "#"]
        for at, name in enumerate(names):
            point(right, at, rows.loc[name], name)
        right.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        right.set_title("1: the order is whole")
        right.set_xlim(-0.7, max(len(names), 1) - 0.3)
        left.set(xlim=(-0.04, 1), ylim=(-3, 103), ylabel=f"accuracy on {benchmark} (%)")
        left.set_xlabel("structural consistency of the arm")
        if len(fit):
            left.legend(loc="upper left")
        values = ", ".join(f"{c} {r['at']:.2f} and {r.accuracy:.1f}%" for c, r in rows.iterrows())
        figure.set_label(f"Structural consistency and accuracy on {benchmark}: {values}")
    return figure


def point(axes: Axes, at: float, row: pd.Series, name: str) -> None:
    """A condition's accuracy with its interval, at this place on the x axis."""
    axes.plot([at, at], [row.low, row.high], color=look(name)["color"], linewidth=1.3)
    axes.plot(at, row.accuracy, linestyle="none", **look(name))


def next_to_paper(differences: pd.DataFrame, benchmark: str) -> Figure:
    """Our difference to `correct` and the paper's, cell by cell, with 95% intervals.

    The paper's interval is binomial and unpaired: 1.96 times the root of both cells' squared errors.
    """
    rows = differences[(differences.benchmark == benchmark) & differences.paper_difference.notna()]
    here = rows.set_index("condition")
    paper, error = here.paper_difference, 1.96 * here.paper_error_of_difference
    there = pd.DataFrame({"difference": paper, "low": paper - error, "high": paper + error})
    return costs({f"here, {benchmark}": here, "paper, mean of four benchmarks": there}, ordered(here.index))


def costs(differences: Mapping[str, pd.DataFrame], names: Sequence[str]) -> Figure:
    """Differences to `correct` of the same conditions in several runs: one row per name, one mark per run.

    Each table has columns difference, low and high (points), by condition; a name that starts with "# " is a
    heading.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = rows_of(names, height=0.2 + 0.07 * len(differences))
        shifts = np.linspace(-0.3, 0.3, 2 * len(differences) + 1)[1::2]
        for (run, table), mark, shift in zip(differences.items(), MARKS, shifts, strict=False):
            known = [(at, name) for at, name in enumerate(names) if name in table.index]
            rows = table.loc[[name for _, name in known], ["difference", "low", "high"]]
            (value, low, high), at = rows.to_numpy().T, np.array([at for at, _ in known]) + shift
            axes.errorbar(value, at, xerr=[value - low, high - value], linestyle="none", label=run, **mark)
        values = [f"{run}: {shown(table.difference)}" for run, table in differences.items()]
        figure.set_label(f"Difference to correct in points: {'; '.join(values)}")
        axes.set_xlabel("difference to correct (points), 95% intervals")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def responses(grid: pd.DataFrame, benchmark: str, paper: pd.DataFrame | None = None) -> Figure:
    """Length, reflection keywords and truncated responses per condition (the paper's Tables 4 to 7).

    Length and keywords are multiples of `correct`'s; the paper's are shown next to them
    (`paper.paper_lengths`).
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
        if paper is not None:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left")
        figure.set_label(
            f"Length, keywords and cut responses on {benchmark}; cut in percent: {shown(here['cut off (%)'])}"
        )
    return figure


def training_curves(curves: pd.DataFrame) -> Figure:
    """Training loss, mean over seeds, one panel per perturbation; `correct` is grey in each."""
    means = curves.groupby(["condition", "step"], sort=False, as_index=False)["loss"].mean()
    conditions = [c for c in ordered(means.condition.unique()) if c[0] != "#" and c != "correct"]
    kinds = list(dict.fromkeys(family(c) if group(c) != "other" else "other" for c in conditions)) or [
        "other"
    ]
    with matplotlib.rc_context(STYLE):
        columns = min(4, len(kinds))
        height = -(-len(kinds) // columns)
        figure = Figure(figsize=(9, 0.6 + 2.1 * height))
        panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, kind in zip(panels, kinds, strict=False):
            here = [c for c in conditions if kind in (family(c), group(c))]
            for dash, condition in zip(cycle(DASHES), here, strict=False):
                draw_curve(axes, means[means.condition == condition], dash, condition)
            draw_curve(axes, means[means.condition == "correct"], "-", "")
            axes.set(title=kind, yscale="log")
            axes.legend(fontsize=7, handlelength=2.5, loc="best")
        for axes in panels[len(kinds) :]:
            axes.set_visible(False)
        figure.supxlabel("step; grey: correct", fontsize=10)
        figure.supylabel("loss (nats per token)", fontsize=10)
        last = means.groupby("condition", sort=False)["loss"].last()
        figure.set_label(f"Training loss (nats per token) at the end: {shown(last, 3)}")
    return figure


def draw_curve(axes: Axes, part: pd.DataFrame, dash: str, label: str) -> None:
    """One condition's loss by step."""
    colour = look(label)["color"] if label else OTHER
    width, behind = (1.3, 2) if label else (2.5, 1)
    options = {"color": colour, "linewidth": width, "zorder": behind, "alpha": 1 if label else 0.4}
    axes.plot(part.step, part.loss, dash, label=label or None, **options)

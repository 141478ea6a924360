"""The report: one HTML file that explains a run in five minutes and needs nothing beside it.

    write_report("outputs/laptop")     # reads results/*.csv, results/figures/*.svg, arms/, manifest.json

Whatever comes from a model or a trace is escaped. A part whose files are missing is left out, so the
report can be written again once the manifest exists.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from helpers import figures
from helpers.claims import FAILS, HOLDS, NOT_RUN, UNDECIDED, read_claims
from helpers.traces import read_table

SYMBOLS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", NOT_RUN: "–"}
FIGURES = ("accuracy_by_fraction", "difference_to_correct", "next_to_paper")
EXAMPLE = "shuffle-67"


def number(value: float, form: str = ".1f") -> str:
    """A number for a table, with a true minus sign; a dash for nan."""
    return "–" if math.isnan(value) else format(value, form).replace("-", "−")


def inline_svg(path: str | Path, prefix: str) -> Markup:
    """A figure to put into a page: the page's own colours, ids that clash with no other figure's."""
    svg = Path(path).read_text()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for colour, variable in ((figures.INK, "ink"), (figures.LINE, "line"), (figures.SURFACE, "surface")):
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)


def example_steps(output_dir: str | Path) -> dict | None:
    """One trace of middling length, untouched and shuffled, with steps' provenance; None without arms."""
    arms = Path(output_dir) / "arms"
    plain = sorted(arms.glob("correct.s*.parquet"))
    shuffled = sorted(arms.glob(f"{EXAMPLE}.s*.parquet")) or sorted(arms.glob("shuffle-*.parquet"))
    if not plain or not shuffled:
        return None
    before = {row["id"]: row for row in read_table(plain[0]).to_pylist()}
    pairs = [(before[row["id"]], row) for row in read_table(shuffled[0]).to_pylist() if row["id"] in before]
    if not pairs:
        return None

    def plainness(pair: tuple[dict, dict]) -> tuple[int, int]:
        before, after = pair
        return abs(len(before["steps"]) - 6), sum(origin.startswith("kept") for origin in after["origin"])

    left, right = min(pairs, key=plainness)
    return {
        "arm": shuffled[0].name.partition(".")[0],
        "problem": left["problem"],
        "solution": left["solution"],
        "before": [{"text": text, "note": f"step {i}"} for i, text in enumerate(left["steps"], 1)],
        "after": [
            {"text": text, "note": provenance(origin), "changed": not origin.startswith("kept")}
            for text, origin in zip(right["steps"], right["origin"], strict=True)
        ],
    }


def provenance(origin: str) -> str:
    """An arm's "moved 5" (counted from 0) as "step 6, moved"."""
    change, *_, index = origin.split()
    return f"step {int(index) + 1}" + ("" if change == "kept" else f", {change}")


def facts(manifest: dict, path: str = "") -> list[tuple[str, str]]:
    """A manifest's entries as rows of names and values, but for parameters and the notebooks' times."""
    rows: list[tuple[str, str]] = []
    for key, value in manifest.items():
        if key in ("parameters", "seconds"):
            continue
        name = f"{path}{key}".replace("_", " ")
        if isinstance(value, dict):
            rows += facts(value, f"{key} ")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


def benchmark_decided_on(grid: pd.DataFrame) -> str:
    """The benchmark that the claims are registered for, or the run's first where it has not run."""
    registered = read_claims()["benchmark"]
    return registered if registered in set(grid.benchmark) else grid.benchmark.iloc[0]


def render(output_dir: str | Path) -> str:
    """The report's HTML from what a run has written so far; ValueError where the tables are missing."""
    output_dir = Path(output_dir)
    results = output_dir / "results"
    tables = {name: results / f"{name}.csv" for name in ("grid", "differences", "claims")}
    for path in tables.values():
        if not path.exists():
            raise ValueError(f"{path} does not exist: run 05_analysis first")
    grid, differences, claims = (
        pd.read_csv(p, keep_default_na=False, na_values=[""]) for p in tables.values()
    )
    pictures = {name: results / "figures" / f"{name}.svg" for name in FIGURES}
    manifest = results / "manifest.json"
    decided = benchmark_decided_on(grid)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    keys = ["benchmark", "condition"]
    extra = differences.drop(columns=[c for c in differences if c.startswith("paper_standard")])
    cells = grid.merge(extra, on=keys, how="left", suffixes=("", "_of_difference"))
    main, others = claims[claims.benchmark == decided], claims[claims.benchmark != decided]
    return environment.get_template("report.html.jinja").render(
        name=output_dir.resolve().name,
        decided=decided,
        seeds=int(grid.seeds.max()),
        problems=int(grid[grid.benchmark == decided].problems.max()),
        conditions=grid.condition.nunique(),
        counts=[(SYMBOLS[v], v, int((main.verdict == v).sum())) for v in SYMBOLS],
        symbols=SYMBOLS,
        claims=main.to_dict("records"),
        others={name: part.to_dict("records") for name, part in others.groupby("benchmark", sort=False)},
        largest=differences[differences.benchmark == decided].minimum_detectable.max(),
        pictures={n: inline_svg(p, n) for n, p in pictures.items() if p.exists()},
        grid={name: part.to_dict("records") for name, part in cells.groupby("benchmark", sort=False)},
        paper="paper_difference" in cells,
        example=example_steps(output_dir),
        facts=facts(json.loads(manifest.read_text())) if manifest.exists() else [],
    )


def write_report(output_dir: str | Path) -> Path:
    """Write results/report.html below a run's folder, whole or not at all."""
    path = Path(output_dir) / "results" / "report.html"
    html = render(output_dir)
    partial = path.with_suffix(".partial")
    partial.write_text(html, encoding="utf-8")
    os.replace(partial, path)
    return path

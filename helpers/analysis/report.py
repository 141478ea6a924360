"""The report: one self-contained HTML file that explains a run in five minutes.

    write_report("outputs/laptop")     # from its results/: tables, claims.json, figures, manifest.json

Whatever comes from a model or a trace is escaped. Parts whose files are missing are left out: notebook 05
writes the report before there is a manifest, and the chain writes it again afterwards.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from helpers.analysis import style
from helpers.analysis.claims import FAILS, HOLDS, NOT_RUN, UNDECIDED, read_claims
from helpers.analysis.tables import read_csv, seed_counts
from helpers.conditions import MoreSeeds, parse, run_of, seeds_of
from helpers.data.traces import Trace, read_table, read_traces
from helpers.explorer import trace_view
from helpers.explorer.markup import templates
from helpers.explorer.page import page_of_run
from helpers.files import write_text
from helpers.perturbations.arms import perturb
from helpers.perturbations.metrics import consistency

SYMBOLS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", NOT_RUN: "–"}
FIGURES = ("accuracy_by_fraction", "difference_to_correct", "accuracy_by_consistency")
MORE_FIGURES = ("next_to_paper", "responses", "training_curves")
EXAMPLE = "shuffle-67"
# The question in three parts, and the claims that answer each: the report's first screen.
QUESTIONS = {
    "Does corrupted structure cost accuracy?": (
        ("shuffle-67-below-correct", "shuffling two thirds of the steps costs"),
        ("delete-67-below-correct", "deleting two thirds costs"),
        ("insert-67-below-correct", "foreign steps for two thirds cost"),
    ),
    "Is corrupted content harmless?": (
        ("wrong-equals-correct", "wrong answers are harmless"),
        ("digits-50-equals-correct", "random digits, half of them, are harmless"),
        ("names-50-equals-correct", "wrong names, half of them, are harmless"),
        ("verdicts-50-equals-correct", "wrong verdicts, half of them, are harmless"),
        ("keywords-100-equals-correct", "missing reflection keywords are harmless"),
    ),
    "Does structure cost more than content, on average?": (
        ("structure-over-content-33", "a third of the steps, than half of the content"),
        ("structure-over-content-67", "two thirds, than 70% of the content"),
        ("structure-over-content-100", "all steps, than all of the content"),
    ),
}


def number(value: float | None, form: str = ".1f") -> str:
    """A number for a table, with a true minus sign; a dash for None and nan."""
    return "–" if value is None or math.isnan(value) else format(value, form).replace("-", "−")


def p_number(value: float) -> str:
    """A p value for a table: three decimals, or "below 0.001"."""
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def needs(missing: str) -> str:
    """What a claim needs that was not run, briefly."""
    names = missing.split()
    return f"needs {' '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def answers(claims: list[dict]) -> list[dict]:
    """The parts of the question that a run's claims are about, each with a one-word answer and its claims.

    "Yes" and "no" need the same verdict on every claim that was run; anything else is "in part".
    """
    by_id, found = {c["id"]: c for c in claims}, []
    for question, asked in QUESTIONS.items():
        rows = [by_id[key] | {"short": short} for key, short in asked if key in by_id]
        if not rows:
            continue
        verdicts = {row["verdict"] for row in rows} - {NOT_RUN}
        words = {HOLDS: "Yes", FAILS: "No", UNDECIDED: "Undecided"}
        word = words[verdicts.pop()] if len(verdicts) == 1 else "In part" if verdicts else "Not run"
        found.append({"question": question, "word": word, "claims": rows})
    return found


def inline_svg(path: str | Path, prefix: str) -> Markup:
    """A figure for a page: in the page's own colours, with ids that clash with no other figure's.

    Its title becomes the text for screen readers, so that no tooltip covers the figure.
    """
    svg = Path(path).read_text(encoding="utf-8")
    title = re.search("<title>(.*?)</title>", svg, re.DOTALL)
    svg = re.sub("<title>.*?</title>|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    words = escape(unescape(title[1])) if title else prefix
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)
    for colour, variable in ((style.INK, "ink"), (style.LINE, "line"), (style.SURFACE, "surface")):
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)


def explored(results: Path) -> Markup | None:
    """The kept trace next to its shuffled version, as in the explorer; None if no trace is kept."""
    trace = example_trace(results.parent)
    return None if trace is None else Markup(trace_view.render(perturb(trace, EXAMPLE, 0, [trace]), EXAMPLE))


def facts(manifest: dict, path: str = "") -> list[tuple[str, str]]:
    """A manifest's entries as rows of names and values, without parameters and notebook times."""
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
    """The benchmark that claims are registered for, or the run's first if it lacks that one."""
    registered = read_claims()["benchmark"]
    return registered if registered in set(grid.benchmark) else grid.benchmark.iloc[0]


def render(output_dir: str | Path) -> str:
    """The report's HTML from what a run has written so far; ValueError if the tables are missing."""
    output_dir = Path(output_dir)
    results = output_dir / "results"
    for name in ("grid.csv", "differences.csv", "claims.json"):
        if not (results / name).exists():
            raise ValueError(f"{results / name} does not exist: run 05_analysis first")
    grid, differences = read_csv(results / "grid.csv"), read_csv(results / "differences.csv")
    claims = json.loads((results / "claims.json").read_text(encoding="utf-8"))
    manifest = {}
    if (results / "manifest.json").exists():
        manifest = json.loads((results / "manifest.json").read_text())
    pictures = {name: results / "figures" / f"{name}.svg" for name in (*FIGURES, *MORE_FIGURES)}
    decided = benchmark_decided_on(grid)
    seeds, more_seeds = seed_counts(grid, decided)
    environment = templates(Path(__file__).parent)
    environment.filters |= {"number": number, "p_number": p_number, "needs": needs}
    extra = differences.drop(columns="paper_error_of_difference", errors="ignore")
    cells = grid.merge(extra, on=["benchmark", "condition"], how="left", suffixes=("", "_of_difference"))
    main = [c for c in claims if c["benchmark"] == decided]
    others = dict.fromkeys(c["benchmark"] for c in claims if c["benchmark"] != decided)
    trained = differences[(differences.benchmark == decided) & (differences.condition != "base")]
    return environment.get_template("report.html.jinja").render(
        name=output_dir.resolve().name,
        decided=decided,
        seeds=seeds,
        more_seeds=more_seeds,
        run_seeds=" ".join(map(str, manifest.get("seeds", []))),
        ran_with_more_seeds=bool(manifest.get("parameters", {}).get("more_seeds")),
        problems=int(grid[grid.benchmark == decided].problems.max()),
        conditions=grid.condition.nunique(),
        answers=answers(main),
        counts=[(SYMBOLS[v], v, sum(c["verdict"] == v for c in main)) for v in SYMBOLS],
        symbols=SYMBOLS,
        claims=main,
        others={name: [c for c in claims if c["benchmark"] == name] for name in others},
        accuracy=grid[grid.benchmark == decided].set_index("condition")["accuracy"].to_dict(),
        detectable=(trained.minimum_detectable.median(), trained.minimum_detectable.max()),
        pictures={n: inline_svg(p, n) for n, p in pictures.items() if p.exists()},
        grid={name: part.to_dict("records") for name, part in cells.groupby("benchmark", sort=False)},
        paper="paper_difference" in cells,
        example=explored(results),
        explorer=(results / "explorer.html").exists(),
        arm=EXAMPLE,
        facts=facts(manifest),
    )


def write_report(output_dir: str | Path) -> Path:
    """Write results/report.html below a run's folder and, if it has traces, results/explorer.html."""
    results = Path(output_dir) / "results"
    if explorer := page_of_run(output_dir):
        write_text(results / "explorer.html", explorer)
    write_text(results / "report.html", render(output_dir))
    return results / "report.html"


POINTS = 40  # points of a training curve; each is a mean over its part of the steps


def consistencies(output_dir: str | Path, conditions: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Structural consistency of each condition's arm: one row per condition, mean over traces and seeds.

    Columns condition, traces and consistency (0 to 1, nan for an arm without neighbouring steps). Without the
    arms' files it is the table in results/.
    """
    rows = []
    for condition in conditions:
        paths = [
            Path(output_dir) / "arms" / f"{run_of(parse(condition).arm, seed)}.parquet" for seed in seeds
        ]
        shares = [share for path in paths if path.exists() for share in trace_consistencies(path)]
        if shares:
            mean = float(np.nanmean(shares)) if not np.isnan(shares).all() else np.nan
            rows.append({"condition": condition, "traces": len(shares), "consistency": mean})
    kept = Path(output_dir) / "results" / "arms.csv"
    if not rows and kept.exists():
        return read_csv(kept)
    return pd.DataFrame(rows, columns=["condition", "traces", "consistency"])


def trace_consistencies(path: str | Path) -> list[float]:
    """The consistency (see `metrics.metrics`) of each trace in an arm's file; nan without pairs."""
    table = read_table(path).select(["origin"]).to_pydict()
    return [consistency([(step["trace"], step["index"]) for step in steps]) for steps in table["origin"]]


def training_curves(
    output_dir: str | Path,
    conditions: Sequence[str],
    seeds: Sequence[int],
    more_seeds: MoreSeeds = None,
) -> pd.DataFrame:
    """Training losses (nats per token): condition, seed, step, loss, at most `POINTS` rows per run.

    Runs whose weights are not here any more are taken from the table in results/.
    """
    rows = []
    for condition in conditions:
        for seed in seeds_of(condition, seeds, more_seeds):
            path = Path(output_dir) / "adapters" / run_of(condition, seed) / "training.json"
            if path.exists():
                logged = pd.DataFrame(json.loads(path.read_text())["loss"], columns=["step", "loss"])
                part = np.arange(len(logged)) * POINTS // max(len(logged), POINTS)
                means = logged.groupby(part)[["step", "loss"]].mean()
                rows += [{"condition": condition, "seed": seed, **row} for row in means.to_dict("records")]
    made = pd.DataFrame(rows, columns=["condition", "seed", "step", "loss"])
    kept = Path(output_dir) / "results" / "training.csv"
    if not kept.exists():
        return made
    runs = [(c, seed) for c in conditions for seed in seeds_of(c, seeds, more_seeds)]
    both = (part for table in (read_csv(kept), made) for part in table.groupby(["condition", "seed"]))
    parts = {run: losses for run, losses in both if run in runs}
    return pd.concat([parts[run] for run in runs if run in parts], ignore_index=True) if parts else made


def example_trace(output_dir: str | Path, steps: int = 7) -> Trace | None:
    """The first correct trace with about `steps` steps; None without traces."""
    for path in ("traces/correct.parquet", "results/trace.parquet"):
        if (Path(output_dir) / path).exists():
            traces = read_traces(Path(output_dir) / path)
            return min(traces, key=lambda t: abs(len(t.steps) - steps), default=None)
    return None

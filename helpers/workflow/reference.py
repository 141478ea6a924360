"""Reference results: a run's tables and scores kept in git, and the pages that show them.

    python -m helpers.workflow.reference laptop            # from outputs/laptop/results
    python -m helpers.workflow.reference laptop --rebuild  # again, from what is kept

Both write the tables in the run's README, and the one in the project's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa

from helpers.analysis.claims import NOT_RUN
from helpers.analysis.report import number
from helpers.analysis.tables import read_csv, seed_counts
from helpers.data.traces import read_table, write_table
from helpers.files import write_text
from helpers.workflow.links import between
from helpers.workflow.recipe import runs

# What a run's results are made from, in addition to its scores.
SOURCES = ("arms.csv", "training.csv", "trace.parquet", "explorer.html", "manifest.json")
THEIRS = "paper, to `correct` |"
# The students in the project's README by recipe, and its arms, content first.
STUDENTS = {"laptop": "0.8M", "smollm2": "SmolLM2, 135M"}
HEADLINE = {
    "base": "none",
    "correct": "as they are",
    "wrong": "wrong answers, and the slips that lead to them",
    "digits-50": "half of the digits random",
    "keywords-100": "no reflection keywords",
    "shuffle-67": "two thirds of the steps shuffled",
    "delete-67": "two thirds of the steps deleted",
    "insert-67": "two thirds of the steps from other traces",
}


def keep(recipe: str, root: Path = Path()) -> Path:
    """Copy a finished run's tables, claims, figures and manifest to `outputs/reference`; returns that folder.

    `scores.parquet` is added, one row per response, from which all of them can be made again.
    """
    source, kept = root / "outputs" / recipe / "results", root / "outputs" / "reference" / recipe
    if not (source / "manifest.json").exists():
        raise ValueError(f"{source} holds no finished run: run `make reproduce RECIPE={recipe}` first")
    ran = runs(json.loads((source / "manifest.json").read_text())["parameters"])
    scores = [read_table(source.parent / "scores" / f"{run}.parquet") for run in ran]
    for path in kept.glob("*"):
        if path.name not in ("README.md", "notebooks"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(source, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("report.html", "*.png"))
    write_table(pa.concat_tables(scores), kept / "scores.parquet")
    return kept


def rebuild(kept: Path) -> Path:
    """Make a kept run's tables, claims, figures and report again, from its scores; returns the report's path.

    Notebook 05 does it, as in a run. Call it from the repository's root.
    """
    with TemporaryDirectory() as folder:
        run = Path(folder) / kept.name
        analyse(kept, run)
        shutil.copytree(run / "results", kept, dirs_exist_ok=True)
    return kept / "report.html"


def analyse(kept: Path, run: Path) -> Path:
    """Run notebook 05 on a kept run's scores, in the folder `run`; returns the executed notebook."""
    given = json.loads((kept / "manifest.json").read_text())["parameters"]
    parameters = {name: given[name] for name in ("conditions", "seeds", "more_seeds")} | given["05_analysis"]
    (run / "results").mkdir(parents=True)
    shutil.copy(kept / "scores.parquet", run)
    for name in SOURCES:
        if (kept / name).exists():
            shutil.copy(kept / name, run / "results")
    return execute("05_analysis", run, parameters | {"output_dir": os.path.relpath(run, "notebooks")})


def execute(stem: str, folder: Path, parameters: dict[str, Any]) -> Path:
    """Run a notebook where it is and write it to a folder; returns its path there."""
    import papermill  # imported late: only this needs it

    made, source = folder / f"{stem}.ipynb", f"notebooks/{stem}.ipynb"
    papermill.execute_notebook(
        source, str(made), parameters, kernel_name="python3", cwd="notebooks", progress_bar=False
    )
    return made


def interval(row: pd.Series, value: str, form: str = ".1f") -> str:
    """A value with its 95% interval, in points; empty without a value."""
    if pd.isna(row[value]):
        return ""
    return f"{number(row[value], form)} [{number(row.low, form)}, {number(row.high, form)}]"


def results(folder: Path) -> str:
    """The run's page: one row per condition with the first two benchmarks and the paper, then the claims."""
    grid = read_csv(folder / "grid.csv").set_index(["benchmark", "condition"])
    differences = read_csv(folder / "differences.csv").set_index(["benchmark", "condition"])
    claims = read_csv(folder / "claims.csv")
    usual, *others = grid.index.get_level_values(0).unique()[:2]
    problems = ", ".join(f"{int(grid.loc[b].problems.iloc[0])} of `{b}`" for b in (usual, *others))
    seeds, more = seed_counts(grid.reset_index(), usual)
    further = "; ".join(f"{n} of {', '.join(f'`{c}`' for c in names)}" for n, names in more.items())
    worst = differences.loc[usual].drop(index="base", errors="ignore").minimum_detectable.max()
    lines = [
        f"Accuracy in percent with 95% interval; training seeds: {seeds}{further and f' ({further})'}; "
        f"problems: {problems}. A difference to `correct` of {number(worst)} points or more on `{usual}` is "
        "detected with 80% power in every comparison of trained conditions.",
        "",
        " | ".join(["| condition", usual, "to `correct`", *others, "finished %", "tokens", THEIRS]),
        "|---" * (6 + len(others)) + "|",
    ]
    for condition, row in grid.loc[usual].iterrows():
        key = (usual, condition)
        against = interval(differences.loc[key], "difference", "+.1f") if key in differences.index else ""
        paper = number(differences.loc[key].paper_difference, "+.1f") if key in differences.index else ""
        lines.append(
            f"| `{condition}` | {interval(row, 'accuracy')} | {against} | "
            + "".join(f"{interval(grid.loc[(b, condition)], 'accuracy')} | " for b in others)
            + f"{number(row.finished)} | {number(row.tokens, '.0f')} | {paper} |"
        )
    lines += [
        "",
        "![Difference to correct](figures/difference_to_correct.svg)",
        "",
        f"The claims on `{usual}`, by rules fixed beforehand in `helpers/analysis/claims.yaml` († later), "
        "and by the same rules the paper's tables, with binomial intervals for its single greedy runs:",
        "",
        "| claim | verdict | difference | the paper | difference |",
        "|---|---|---|---|---|",
    ]
    for _, row in claims[(claims.benchmark == usual) & (claims.verdict != NOT_RUN)].iterrows():
        later = " †" if isinstance(row.added, str) and row.added else ""
        theirs = row.rename({"low": "", "high": "", "paper_low": "low", "paper_high": "high"})
        lines.append(
            f"| {row.sentence}{later} | {row.verdict} | {interval(row, 'difference', '+.1f')} | "
            f"{row.paper_verdict} | {interval(theirs, 'paper_difference', '+.1f')} |"
        )
    return "\n".join(lines)


def headline(reference: Path) -> str:
    """The project's README: what six arms cost each student, and the paper's, on the first benchmark."""
    students, columns = [], []
    for recipe, student in STUDENTS.items():
        if (reference / recipe).is_dir():
            grid, differences = (read_csv(reference / recipe / f"{n}.csv") for n in ("grid", "differences"))
            problems, seeds = int(grid.problems.iloc[0]), int(differences.seeds.min())
            students.append(f"{student} ({problems} problems, {seeds} seed{'s' if seeds > 1 else ''})")
            columns.append(column(grid, differences))
    columns.append(paper_column(grid, differences))  # the same in every run that has these arms
    lines = [
        "Accuracy in percent, then the points that perturbed traces cost, with 95% intervals:",
        "",
        f"| demonstrations | arm | {' | '.join(students)} | the paper's 32B |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for arm, words in HEADLINE.items():
        lines.append(f"| {words} | `{arm}` | {' | '.join(cells[arm] for cells in columns)} |")
    return "\n".join(lines)


def paper_column(grid: pd.DataFrame, differences: pd.DataFrame) -> dict[str, str]:
    """The paper's cells by condition, as in `column`."""
    reached = grid.set_index("condition").paper_accuracy
    costs = differences.set_index("condition").paper_difference.drop("base")
    cells = {arm: number(value, "+.1f") for arm, value in costs.items()}
    return cells | {arm: number(value) for arm, value in reached[["base", "correct"]].items()}


def column(grid: pd.DataFrame, differences: pd.DataFrame) -> dict[str, str]:
    """A student's cells by condition: the accuracies of `base` and `correct`, else the difference."""
    usual = grid.benchmark.iloc[0]
    reached = grid[grid.benchmark == usual].set_index("condition")
    costs = differences[differences.benchmark == usual].set_index("condition")
    cells = {arm: interval(row, "difference", "+.1f") for arm, row in costs.iterrows()}
    return cells | {arm: interval(reached.loc[arm], "accuracy") for arm in ("base", "correct")}


def write_pages(folder: Path, readme: Path) -> None:
    """Put a reference folder's results between the marks of its own README and of the project's."""
    for path, block in ((folder / "README.md", results(folder)), (readme, headline(folder.parent))):
        write_text(path, between(path.read_text(), "results", block))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m helpers.workflow.reference", description="Keep a run in git."
    )
    parser.add_argument("recipe")
    parser.add_argument("--rebuild", action="store_true", help="from what is kept, not from a run")
    asked = parser.parse_args()
    folder = Path("outputs", "reference", asked.recipe)
    try:
        if not asked.rebuild:
            keep(asked.recipe)
        print("report:", rebuild(folder))
        write_pages(folder, Path("README.md"))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))

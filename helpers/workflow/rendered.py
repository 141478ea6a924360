"""The executed notebooks of a reference run, kept in git so that a reader on the web sees them with results.

    python -m helpers.workflow.rendered laptop    # after `make reproduce`; about two minutes

01 to 04 are those of a finished run, the batch of `correct` for 03 and 04. 05 is run on the committed scores
and the run's models and responses, 07 on all committed scores, 08 on the run's models, 10 on its responses;
00 and 06 are run as they are; 09 is that of a finished recipe `reinforcement`, or the copy stays. Only a
run whose scores agree with the committed ones is taken, and 05 has to make the committed tables.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from helpers.data.traces import read_table
from helpers.files import write_text
from helpers.workflow import links, recipe
from helpers.workflow.reference import analyse, execute

WIDGET = "application/vnd.jupyter.widget-view+json"
TOLERANCE = 0.05  # share of responses with another verdict
# Where 07 looks for runs, so that it takes the committed ones, and writes its verdicts and figures.
WHY = {"outputs": "../outputs/reference", "output_dir": "../outputs/reference/why_content_costs"}
REINFORCED = "outputs/reinforcement/notebooks"
PUBLISHED = Path("outputs", "published")  # the authors' responses; downloaded if there are none


def jobs_shown(found: dict[str, Any]) -> dict[str, str]:
    """The executed notebook of a run that shows each of 01 to 04: those of `correct` with the first seed."""
    seed = found["seeds"][0]
    batches = recipe.batches(found).items()
    batch = next(name for name, (conditions, s) in batches if "correct" in conditions and s == seed)
    ends = {"01": "", "02": f".s{seed}", "03": f".{batch}", "04": f".{batch}"}
    return {name: f"{name}{ends[name[:2]]}" for name in recipe.NOTEBOOKS[:4]}


def check_scores(out: Path, kept: Path, found: dict[str, Any]) -> None:
    """ValueError unless a finished run is the committed one, up to what another processor rounds differently.

    The verdicts of the untouched model have to be the same. Of a trained one 5% may differ, or half as many
    as between two training seeds: arms that train unevenly differ most, between two machines (7.5% for
    `shuffle-100`) and between two seeds (21%).
    """
    committed = read_table(kept / "scores.parquet").to_pandas()
    for run in recipe.runs(found):
        path = out / "scores" / f"{run}.parquet"
        if not path.exists():
            raise ValueError(f"{path} does not exist: run `make reproduce RECIPE={found['recipe']}` first")
        here = read_table(path).to_pandas()
        rows = committed[committed.condition == here.condition.iloc[0]]
        same, others = rows[rows.seed == here.seed.iloc[0]], rows[rows.seed != here.seed.iloc[0]]
        differ, common = differing(here, same)
        between, _ = differing(same, others[others.seed == others.seed.min()])
        allowed = 0 if run.startswith("base.") else max(TOLERANCE * len(here), between / 2)
        if common != len(here) or differ > allowed:
            raise ValueError(
                f"{path}: {differ} of {len(here)} verdicts (of {common} in common) differ from the "
                "committed ones, so this run is not the reference run"
            )


def differing(one: pd.DataFrame, other: pd.DataFrame) -> tuple[int, int]:
    """How many verdicts differ between two runs, and how many problems they have in common."""
    both = one.merge(other, on=["benchmark", "problem_id"])
    return int((both.correct_x != both.correct_y).sum()), len(both)


def without_widget(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """An output of a cell, or a line in the place of controls; None for progress bars and warnings."""
    if output.get("name") == "stderr":
        return None
    if WIDGET not in output.get("data", {}):
        return output
    if not output.data.get("text/plain", "").startswith("VBox("):
        return None
    words = {"text/plain": "Controls, which need a running kernel."}
    return nbformat.from_dict(output | {"data": words})


def tidy(path: Path) -> nbformat.NotebookNode:
    """An executed notebook with its outputs and links for its new place, without times and warnings.

    Controls and progress bars are left out too: without a kernel they do nothing, and GitHub refuses some
    notebooks with them.
    """
    notebook = nbformat.read(path, as_version=4)
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for cell in notebook.cells:
        cell.metadata = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "given"
        if cell.cell_type == "code":
            cell.outputs = [seen for output in cell.outputs if (seen := without_widget(output))]
        else:
            cell.source = re.sub(r"\]\((A\d_\w+\.ipynb)\)", r"](../../../../notebooks/\1)", cell.source)
    return notebook


def same_ids(text: str) -> str:
    """A notebook without addresses and with its tables numbered, so that a second one is the same."""
    text = re.sub(r" at 0x[0-9a-f]+>", ">", text)
    drawn = dict.fromkeys(re.findall(r"\bT_[0-9a-f]{5}(?=_|\\\"| )", text))
    for number, table in enumerate(drawn):
        text = text.replace(table, f"T_{number}")
    return text


def render(name: str) -> Path:
    """Write the executed notebooks of a reference run; returns their folder. Call it from the root."""
    out, kept = Path("outputs", name), Path("outputs", "reference", name)
    found = json.loads((out / "results" / "manifest.json").read_text())["parameters"]
    check_scores(out, kept, found)
    made = {stem: out / "notebooks" / f"{job}.ipynb" for stem, job in jobs_shown(found).items()}
    folder = out.with_name(f"{name}_rendered")  # the run's models and responses with the committed scores
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in ("traces", "adapters", "generations", "scores"):
        (folder / part).symlink_to(Path("..", name, part))
    published = {"folder": f"../{PUBLISHED}", "download": not any(PUBLISHED.glob("*/*.jsonl"))}
    made["00_start_here"] = execute("00_start_here", folder, {})
    made["05_analysis"] = analyse(kept, folder)
    made["06_published_outputs"] = execute("06_published_outputs", folder, published)
    made["07_why_content_costs"] = execute("07_why_content_costs", folder, WHY)
    made["08_inference_scaling"] = execute("08_inference_scaling", folder, {"run": f"../{out}"})
    if trained := sorted(Path(REINFORCED).glob("09_reinforcement.*.s0.ipynb")):
        made["09_reinforcement"] = trained[0]
    made["10_stickers"] = execute("10_stickers", folder, {})
    for table in ("grid.csv", "differences.csv", "claims.csv"):
        if (folder / "results" / table).read_bytes() != (kept / table).read_bytes():
            raise ValueError(f"notebook 05 made another {table} than {kept / table}: run `make report` first")
    for stem, path in sorted(made.items()):
        to = kept / "notebooks" / f"{stem}.ipynb"
        write_text(to, same_ids(nbformat.writes(tidy(path)) + "\n"))
        links.write_notebook(to, links.address(), executed=True)
    return kept / "notebooks"


if __name__ == "__main__":
    try:
        print("notebooks:", render(*sys.argv[1:]))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))

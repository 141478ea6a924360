"""The executed notebooks in git: complete, of the committed results, and of the notebooks as they are now."""

import html
import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from helpers.analysis import tables
from helpers.data.traces import read_table, write_table
from helpers.workflow import links, recipe, rendered, site

ROOT = Path(__file__).resolve().parents[2]
LAPTOP = ROOT / "outputs" / "reference" / "laptop"
EXECUTED = sorted((LAPTOP / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home|tmp|Users|opt)/")

each = pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def shown(path: Path) -> str:
    """Everything that a reader sees of a notebook's outputs, as text."""
    data = [output.get("data", {}) | {"stream": output.get("text", "")} for cell in cells(path, "code")
            for output in cell.outputs]  # fmt: skip
    parts = [part for made in data for kind, part in made.items() if kind.startswith(("text", "stream"))]
    return html.unescape(re.sub(r"<[^>]+>", " ", "\n".join("".join(part) for part in parts)))


def test_all_of_them_are_there_and_small():
    assert [path.stem for path in EXECUTED] == [name for name in links.ABOUT if name[0].isdigit()]
    assert sum(path.stat().st_size for path in EXECUTED) < 6_000_000


@each
def test_an_executed_notebook_has_the_code_of_its_source(path):
    ran = [c.source for c in cells(path, "code") if "injected-parameters" not in c.metadata.get("tags", [])]
    assert ran == [c.source for c in cells(ROOT / "notebooks" / path.name, "code")], "run `make notebooks`"


@each
def test_it_was_run_from_top_to_bottom_without_an_error_and_names_no_machine(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    assert outputs and not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert MACHINE.findall(path.read_text()) == []
    assert "widget" not in path.read_text().replace("helpers.explorer.widgets", "")  # GitHub may refuse those


@each
def test_links_of_an_executed_notebook_lead_to_files(path):
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    found = [link for link in re.findall(r"\]\(([^)\s#]+)\)", text) if "//" not in link]
    assert [link for link in found if not (path.parent / link).exists()] == []


def test_the_analysis_shows_the_committed_verdicts_and_accuracies():
    text = " ".join(shown(LAPTOP / "notebooks" / "05_analysis.ipynb").split())
    claims = tables.read_csv(LAPTOP / "claims.csv").query("benchmark == 'countdown'")
    for _, claim in claims.iterrows():
        value = "–" if pd.isna(claim.difference) else f"{claim.difference:.1f}"
        assert re.search(
            rf"{re.escape(claim.sentence)} {claim.verdict} .{{1,60}} {re.escape(value)} ", text
        ), claim
    for _, row in tables.read_csv(LAPTOP / "grid.csv").iterrows():
        assert f"{row.benchmark} {row.condition} " in text and f" {row.accuracy:.1f} " in text


def test_the_evaluation_shows_the_committed_scores_of_seed_0():
    """But for what another processor rounds differently, as `rendered.check_scores` has it."""
    text = " ".join(shown(LAPTOP / "notebooks" / "04_evaluation.ipynb").split())
    scores = read_table(LAPTOP / "scores.parquet").to_pandas().query("seed == 0")
    accuracies = scores.groupby(["benchmark", "condition"]).correct.mean()
    for name in ("correct", "wrong", "digits-20", "digits-50"):
        for benchmark in ("countdown", "countdown-hard"):
            there = float(re.search(rf"{benchmark} {name} (\d\.\d+)", text)[1])
            assert abs(there - accuracies[benchmark, name]) < 0.025


def test_the_readme_s_numbers_about_inference_are_those_of_the_executed_notebook():
    readme = (ROOT / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith(("| best-of-N", "| [T1]"))]
    stated = [number for row in rows for number in re.findall(r"(?<= )[0-9]+\.[0-9]", row.split("|")[3])]
    text = shown(LAPTOP / "notebooks" / "08_inference_scaling.ipynb")
    assert len(stated) == 7 and [number for number in stated if number not in text] == []


@pytest.mark.parametrize(
    ("output", "left"),
    [
        ({"output_type": "stream", "name": "stderr", "text": "a warning"}, None),
        ({"output_type": "stream", "name": "stdout", "text": "said"}, "said"),
        ({"data": {"text/plain": "1"}}, "1"),
        ({"data": {rendered.WIDGET: {}, "text/plain": "Loading weights:   0%|"}}, None),
        ({"data": {rendered.WIDGET: {}, "text/plain": "VBox(children=())"}}, "Controls, which"),
        ({"data": {rendered.WIDGET: {}}}, None),
    ],
)
def test_progress_bars_go_and_controls_leave_a_line(output, left):
    seen = rendered.without_widget(nbformat.from_dict(output))
    assert (seen is None) == (left is None) and (left or "") in str(seen) and rendered.WIDGET not in str(seen)


def test_ids_that_are_drawn_are_numbered():
    drawn = '"T_0c1f9_level0 <a id=\\"T_0c1f9\\"> T_99999 <Styler at 0x7f0c>"'
    assert rendered.same_ids(drawn) == '"T_0_level0 <a id=\\"T_0\\"> T_1 <Styler>"'


def test_only_a_run_with_the_committed_scores_is_taken(tmp_path):
    found = recipe.load("smoke", ROOT / "notebooks") | {"conditions": ["base"]}
    kept, out = tmp_path / "kept", tmp_path / "out"
    rows = read_table(LAPTOP / "scores.parquet").to_pandas().query("condition == 'base'")
    table = read_table(LAPTOP / "scores.parquet")
    base = table.take(rows.index.to_list())
    write_table(base, kept / "scores.parquet")
    with pytest.raises(ValueError, match="make reproduce RECIPE=smoke"):
        rendered.check_scores(out, kept, found)
    write_table(base, out / "scores" / "base.s0.parquet")
    rendered.check_scores(out, kept, found)
    correct = [not right for right in base["correct"].to_pylist()]
    changed = base.set_column(base.schema.get_field_index("correct"), "correct", [correct])
    write_table(changed, out / "scores" / "base.s0.parquet")
    with pytest.raises(ValueError, match="600 of 600|1100 of 1100 verdicts .* not the reference run"):
        rendered.check_scores(out, kept, found)


def test_the_site_s_links_lead_to_its_pages_or_to_the_repository(tmp_path, monkeypatch):
    for name in ("README.md", "pyproject.toml", "tests", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    small = tmp_path / "outputs" / "reference" / "laptop"
    shutil.copytree(LAPTOP, small, ignore=shutil.ignore_patterns("0[1-6]*.ipynb", "*.parquet"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / site.write_site()
    page = (folder / "index.html").read_text()
    found = re.findall(r'href="((?![a-z]+:|#)[^"]+)"', page)
    assert found and all((folder / link).is_file() for link in found)
    assert "outputs/reference/laptop/notebooks/00_start_here.html" in found
    assert f'{links.address()}/blob/main/notebooks/00_start_here.ipynb"' in page
    assert (folder / "outputs/reference/laptop/notebooks/00_start_here.html").stat().st_size > 50_000
    sources = re.findall(r'<img[^>]* src="((?!https:|data:)[^"]+)"', page)
    assert sources and all((folder / source).is_file() for source in sources)
    assert json.loads((folder / "outputs/reference/laptop/claims.json").read_text())

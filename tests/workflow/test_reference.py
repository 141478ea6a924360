"""Reference results: the pages show the committed tables, and a run is kept whole or refused."""

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from helpers.analysis import claims, report, tables
from helpers.analysis.paper import paper_cells
from helpers.data.traces import read_table
from helpers.workflow import recipe, reference

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "helpers" / "analysis" / "paper_tables.json"
LAPTOP = ROOT / "outputs" / "reference" / "laptop"


@pytest.mark.parametrize("folder", sorted(LAPTOP.parent.glob("*/grid.csv")), ids=lambda p: p.parent.name)
def test_a_kept_run_has_its_page(folder):
    assert reference.results(folder.parent) in (folder.parent / "README.md").read_text()
    rows = read_table(folder.parent / "scores.parquet").to_pandas()
    table = tables.grid(rows, tables.solved(rows)).set_index(["benchmark", "condition"])
    kept = tables.read_csv(folder).set_index(["benchmark", "condition"])
    assert (table.accuracy - kept.accuracy).abs().max() < 0.011 and len(table) == len(kept)


@pytest.fixture
def kept() -> Path:
    assert LAPTOP.is_dir(), "outputs/reference/laptop is committed with the project"
    return LAPTOP.relative_to(Path.cwd())


def test_the_pages_show_the_committed_results(kept):
    assert reference.results(kept) in (kept / "README.md").read_text()
    assert reference.headline(kept.parent) in (ROOT / "README.md").read_text()


def test_the_readme_s_numbers_about_explanations_are_the_verdicts(kept):
    table = tables.read_csv(kept.parent / "why_content_costs" / "verdicts.csv").dropna(subset="difference")
    intervals = {reference.interval(row, "difference", "+.1f") for _, row in table.iterrows()}
    text = " ".join((ROOT / "README.md").read_text().split())
    part = text[text.index("tests five explanations") : text.index("The [reference run]")]
    stated = set(re.findall(r"[+−][0-9.]+ \[[^]]+\]", part))
    assert stated and stated <= intervals


def test_numbers_about_reinforcement_are_those_of_its_run(kept):
    run = kept.parent / "reinforcement"
    verdicts = tables.read_csv(run / "claims.csv").dropna(subset="difference")
    intervals = {reference.interval(row, "difference", "+.1f") for _, row in verdicts.iterrows()}
    text = (ROOT / "README.md").read_text()
    stated = set(re.findall(r"[+−][0-9.]+ \[[^]]+\]", text[text.index("## Beside the paper") :]))
    assert len(stated) >= 4 and stated <= intervals
    accuracy = tables.read_csv(kept / "grid.csv").set_index(["benchmark", "condition"]).accuracy["countdown"]
    assert f"| `correct.n20` | {accuracy['correct.n20']:.1f}; all 2,000: {accuracy['correct']:.1f} |" in text

    text = " ".join((run / "README.md").read_text().split())
    grid = tables.read_csv(run / "grid.csv").set_index(["benchmark", "condition"])
    both, conditions = ("countdown", "countdown-greedy"), grid.loc["countdown"].index
    ends = {c: [f"{grid.finished[b, c]:.0f}%" for b in both] for c in conditions}
    assert "`shuffle-67` ends {} of its responses sampled and {} greedy".format(*ends["shuffle-67"]) in text
    assert "`digits-50` ends {} and {}.".format(*ends["digits-50"]) in text
    assert "`shuffle-67.rl` ends {} and {})".format(*ends["shuffle-67.rl"]) in text
    tokens = grid.loc["countdown"].tokens
    assert f"{tokens['shuffle-67.t1']:.0f} tokens on average instead of {tokens['shuffle-67']:.0f}" in text


def test_a_run_on_one_benchmark_has_a_page_without_the_other(kept, tmp_path):
    for name in ("grid", "differences", "claims"):
        table = tables.read_csv(kept / f"{name}.csv")
        tables.write_csv(table[table.benchmark == "countdown"], tmp_path / f"{name}.csv")
    lines = reference.results(tmp_path).splitlines()
    both = reference.results(kept).splitlines()
    assert "hard" not in lines[0] + lines[2] and "600 of `countdown`." in lines[0]
    assert len(lines) == len(both) and {len(line.split("|")) for line in lines[2:26]} == {8}
    assert {len(line.split("|")) for line in both[2:26]} == {9}


def test_what_the_page_says_of_seeds_follows_from_the_committed_scores(kept):
    text = " ".join((kept / "README.md").read_text().split())
    everything = tables.read_csv(kept / "differences.csv")
    hard = everything.query("benchmark == 'countdown-hard'").minimum_detectable.max()
    assert f"on `countdown-hard` it is at most {hard:.1f}" in text
    differences = everything.query("benchmark == 'countdown'")
    detectable = differences.minimum_detectable
    assert len(detectable) == 21 and detectable.max() <= 6
    assert f"at most 6 points for all 21 conditions, a median of {detectable.median():.1f}" in text

    scores = read_table(kept / "scores.parquet").to_pandas().query("benchmark == 'countdown'")
    reached = 100 * scores.groupby(["condition", "seed"]).correct.mean()
    digits, keywords = reached["digits-20"], reached["keywords-100"].sort_values()
    assert f"range from {digits.min():.0f} to {digits.max():.0f}%" in text
    odd, (others, best) = keywords.index[0], keywords.iloc[[1, -1]]
    assert f"(seed {odd}) reached {keywords[odd]:.0f}%, the others {others:.0f} to {best:.0f}%" in text
    without = scores[(scores.seed != odd) & scores.condition.isin(["correct", "keywords-100"])]
    d = tables.contrast(tables.solved(without)["countdown"], {"keywords-100": 1, "correct": -1})
    row = pd.Series([d.estimate, *d.interval()], ["difference", "low", "high"])
    stated = reference.interval(row, "difference", "+.1f")
    assert f"over the other {len(keywords) - 1} seeds the difference to `correct` is {stated}" in text

    losses = tables.read_csv(kept / "training.csv").query("condition == 'keywords-100'")
    last = losses.groupby("seed").loss.last()
    rest = last.drop(odd)
    assert f"ended at {last[odd]:.2f} instead of {rest.min():.3f} to {rest.max():.3f}" in text
    cost = -differences.set_index("condition").difference
    assert f"`digits-20` {cost['digits-20']:.0f} points" in text
    assert f"Wrong traces cost {cost['wrong']:.0f} points" in text


def test_the_committed_manifest_and_recipe_say_what_was_run(kept):
    manifest = json.loads((kept / "manifest.json").read_text())
    found = recipe.load(str(kept / "recipe.yaml"))
    assert found == {"conditions_per_job": 1} | manifest["parameters"]
    hours = manifest["total_seconds"] / manifest["machine"]["cores"] / 3600
    assert f"in about {hours:.0f} hours on two cores" in " ".join((kept / "README.md").read_text().split())
    assert found | {"seeds": [0], "more_seeds": {}, "conditions_per_job": 4} == recipe.load("laptop")
    rows = read_table(kept / "scores.parquet").to_pandas()
    assert set(recipe.runs(found)) == set(rows.condition + ".s" + rows.seed.astype(str))


def test_the_committed_tables_follow_from_the_committed_scores(kept, tmp_path):
    scores, paper = read_table(kept / "scores.parquet").to_pandas(), paper_cells(PAPER)
    registered, solved = claims.read_claims(), tables.solved(scores)
    margin, benchmarks = registered["margin"], list(scores.benchmark.unique())
    consistency = tables.read_csv(kept / "arms.csv").set_index("condition").consistency.dropna()
    judged = claims.judge(registered["claims"], solved, benchmarks, margin, paper, consistency)
    for name, table in {
        "grid": tables.grid(scores, solved, paper),
        "differences": tables.differences(solved, margin, paper),
        "claims": judged,
    }.items():
        tables.write_csv(table, tmp_path / "made.csv")
        assert (tmp_path / "made.csv").read_text() == (kept / f"{name}.csv").read_text()
    claims.write_json(judged, tmp_path / "made.json")
    assert (tmp_path / "made.json").read_text() == (kept / "claims.json").read_text()


def test_the_committed_run_has_its_report(kept, tmp_path):
    copy = tmp_path / "laptop" / "results"
    shutil.copytree(kept, copy)
    html = unescape(report.render(copy.parent))
    verdicts = [c for c in json.loads((kept / "claims.json").read_text()) if c["benchmark"] == "countdown"]
    assert all(claim["sentence"] in html for claim in verdicts)
    assert html.count("<svg") >= 5 and "make reproduce RECIPE=recipe.yaml" in html


@pytest.mark.slow  # a kernel, and all figures: a minute
def test_a_kept_run_is_rebuilt_to_the_same_bytes(kept, tmp_path):
    copy = tmp_path / "laptop"
    shutil.copytree(kept, copy)
    for made in (copy / "grid.csv", copy / "claims.json", copy / "figures" / "next_to_paper.svg"):
        made.unlink()
    assert reference.rebuild(copy).exists()
    for path in kept.rglob("*"):
        if path.suffix in (".csv", ".json", ".svg"):
            assert (copy / path.relative_to(kept)).read_bytes() == path.read_bytes(), path


def test_a_changed_result_is_noticed(kept, tmp_path):
    copy = tmp_path / "laptop"
    shutil.copytree(kept, copy)
    grid = (copy / "grid.csv").read_text().splitlines()
    cells = grid[1].split(",")
    cells[4] = "99.99"
    (copy / "grid.csv").write_text("\n".join([grid[0], ",".join(cells), *grid[2:]]) + "\n")
    assert reference.results(copy) not in (kept / "README.md").read_text()


def test_an_unfinished_run_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="make reproduce RECIPE=nothing"):
        reference.keep("nothing", tmp_path)


def test_a_run_that_lacks_a_file_of_scores_leaves_what_is_kept(tmp_path):
    results, old = tmp_path / "outputs" / "small" / "results", tmp_path / "outputs" / "reference" / "small"
    results.mkdir(parents=True)
    shutil.copy(LAPTOP / "manifest.json", results)
    old.mkdir(parents=True)
    (old / "grid.csv").write_text("kept")
    with pytest.raises(ValueError, match="base.s0.parquet"):
        reference.keep("small", tmp_path)
    assert (old / "grid.csv").read_text() == "kept"

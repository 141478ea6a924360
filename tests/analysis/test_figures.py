"""The figures' bytes and contents, and the report made from them."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from helpers.analysis import claims, figures, report, style, tables
from helpers.analysis.paper import paper_cells, paper_lengths
from helpers.data.traces import Trace, write_traces
from tests.analysis.test_claims import AS_THE_PAPER, CONSISTENCY
from tests.analysis.test_tables import PAPER, read, write_scores

HOSTILE = (
    "<script>alert('step')</script> <img src=x onerror=alert(2)> </pre></div></main> "
    "[x](javascript:alert(3)) & \\boxed{1}"
)


def write_results(out: Path, levels: dict[str, float], seeds: int = 1) -> None:
    """What 05_analysis writes, from synthetic scores."""
    write_scores(out, levels, seeds)
    scores, paper = read(out, levels, seeds), paper_cells(PAPER)
    registered, solved = claims.read_claims(), tables.solved(scores)
    grid, differences = tables.grid(scores, solved, paper), tables.differences(solved, 5, paper)
    consistency = pd.Series({c: CONSISTENCY[c] for c in levels if c in CONSISTENCY}, dtype=float)
    fit = tables.fitted_line(solved["countdown"], consistency)
    judged = (registered["claims"], solved, ["countdown", "countdown-hard"], 5, paper, consistency)
    verdicts = claims.judge(*judged)
    curves = pd.DataFrame(
        [(c, s, k, 2 / (k + 1)) for c in levels for s in range(seeds) for k in range(5)],
        columns=["condition", "seed", "step", "loss"],
    )
    for name, table in {"grid": grid, "differences": differences, "claims": verdicts}.items():
        tables.write_csv(table, out / "results" / f"{name}.csv")
    claims.write_json(verdicts, out / "results" / "claims.json")
    for name, figure in {
        "accuracy_by_fraction": figures.accuracy_by_fraction(grid, "countdown"),
        "difference_to_correct": figures.difference_to_correct(differences, "countdown", 5),
        "accuracy_by_consistency": figures.accuracy_by_consistency(grid, consistency, fit, "countdown"),
        "next_to_paper": figures.next_to_paper(differences, "countdown"),
        "responses": figures.responses(grid, "countdown", paper_lengths(PAPER)),
        "training_curves": figures.training_curves(curves),
    }.items():
        style.save(figure, out / "results" / "figures" / name)


def write_trace(out: Path) -> None:
    steps = ("Let me make 11.", HOSTILE, "19-5=14. Wait, no.", "5*19=95. No 11.", "Yes, 5+6=11.")
    trace = Trace("t0", f"Use 5 and 19 to make <b>11</b>. {HOSTILE}", steps, HOSTILE, "11", "puzzles")
    write_traces([trace], out / "results" / "trace.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("outputs") / "laptop"
    write_results(out, AS_THE_PAPER, seeds=3)
    return out


def test_figures_are_the_same_bytes_twice_and_name_every_condition(run, tmp_path):
    write_results(tmp_path, AS_THE_PAPER, seeds=3)
    for name in (*report.FIGURES, *report.MORE_FIGURES):
        for kind in ("svg", "png"):
            first, second = (out / "results" / "figures" / f"{name}.{kind}" for out in (run, tmp_path))
            assert first.read_bytes() == second.read_bytes()
            assert b"Matplotlib v" not in first.read_bytes() and b"dc:date" not in first.read_bytes()
    words = " ".join(ElementTree.parse(second.with_name("difference_to_correct.svg")).getroot().itertext())
    assert all(condition in words for condition in AS_THE_PAPER)


def test_figures_read_without_colour():
    looks = [(style.look(c)["marker"], style.look(c)["markerfacecolor"] == style.SURFACE) for c in
             ("wrong", "digits-20", "keywords-20", "shuffle-33", "delete-33", "insert-33")]  # fmt: skip
    assert len(set(looks)) == len(looks)


def test_conditions_are_grouped():
    names = style.ordered(["shuffle-100", "base", "digits-100", "shuffle-33", "digits-20", "wrong"])
    content, structure = ["wrong", "digits-20", "digits-100"], ["shuffle-33", "shuffle-100"]
    assert names == ["# content", *content, "# structure", *structure, "# other", "base"]


def test_nothing_to_compare_still_gives_figures(tmp_path):
    write_results(tmp_path, {"base": 0.2})
    assert "needs correct" in report.render(tmp_path)


class Page(HTMLParser):
    """Tags, ids, addresses, and the other attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.attributes += attributes
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href")]


def test_the_report_stands_alone(run):
    html = report.write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags.count("svg") == 6 and "link" not in page.tags and "img" not in page.tags
    assert all(address.startswith("#") for address in page.addresses)
    assert len(set(page.ids)) == len(page.ids)
    assert {a.removeprefix("#") for a in page.addresses} <= set(page.ids)
    alt = [value for name, value in page.attributes if name == "aria-label"]
    assert len(alt) == 6 and all(re.search(r"shuffle-67 -?[0-9]", text) for text in alt)
    assert not re.search(r"\bnan\b|NaN|None", html)
    assert "make reproduce RECIPE=laptop" in html and "no manifest" in html
    for claim in claims.read_claims()["claims"]:
        assert claim["sentence"] in unescape(html)


def test_the_reports_verdicts_and_numbers_are_those_of_the_tables(run):
    html = report.render(run)
    rows = [
        r for r in json.loads((run / "results" / "claims.json").read_text()) if r["benchmark"] == "countdown"
    ]
    shown = re.search(r"<h2>Verdicts</h2>.*?</table>", html, re.DOTALL)[0]
    found = re.findall(r'<span class="verdict [a-z-]+">. ([a-z ]+)</span>', shown)
    counts, found = found[:4], found[4:]
    assert counts == list(report.SYMBOLS)
    assert found == [v for r in rows for v in (r["verdict"], r["paper_verdict"])]
    for row in rows:
        assert row["difference"] is None or report.number(row["difference"], "+.1f") in shown
    table = re.search(r"<h2>The table</h2>.*?</table>", html, re.DOTALL)[0]
    for _, row in tables.read_csv(run / "results" / "grid.csv").query("benchmark == 'countdown'").iterrows():
        line = re.search(rf"<tr>\s*<td><code>{re.escape(row.condition)}</code>.*?</tr>", table, re.DOTALL)[0]
        for value in (row.accuracy, row.low, row.high, row.finished, row.keywords):
            assert report.number(value) in line


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        (("holds", "holds", "holds"), "Yes"),
        (("does not hold", "does not hold", "not run"), "No"),
        (("holds", "does not hold", "holds"), "In part"),
        (("holds", "inconclusive", "holds"), "In part"),
        (("inconclusive", "not run", "not run"), "Undecided"),
        (("not run", "not run", "not run"), "Not run"),
    ],
)
def test_the_answer_says_no_more_than_the_verdicts(verdicts, word):
    asked = next(iter(report.QUESTIONS.values()))
    rows = [{"id": key, "verdict": v} for (key, _), v in zip(asked, verdicts, strict=True)]
    assert report.answers(rows)[0]["word"] == word


def test_every_claim_that_answers_is_registered():
    read = claims.read_claims()
    registered = {claim["id"] for claim in [*read["claims"], *read["islanders"]]}
    assert {key for asked in report.QUESTIONS.values() for key, _ in asked} <= registered


def test_the_report_escapes_what_models_and_traces_say(run, tmp_path):
    shutil.copytree(run / "results", tmp_path / "results")
    write_trace(tmp_path)
    manifest = {
        "commit": "<i>3f2a</i>",
        "seeds": [0, 2],
        "machine": {"memory_gb": 8},
        "parameters": {"secret": 1},
    }
    (tmp_path / "results" / "manifest.json").write_text(json.dumps(manifest))
    html = report.render(tmp_path)
    page = Page(html)
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [a for a in page.addresses if "javascript" in a]
    assert "<script>alert" not in html and "<img src=x" not in html
    assert "&lt;script&gt;alert" in html and "&lt;i&gt;3f2a" in html and "machine memory gb" in html
    assert "secret" not in html and "moved" in html
    assert 'SEEDS="0 2"' in html


def test_the_report_says_which_conditions_have_more_seeds(run, tmp_path):
    shutil.copytree(run / "results", tmp_path / "results")
    grid = tables.read_csv(tmp_path / "results" / "grid.csv")
    grid.loc[grid.condition.isin(["correct", "digits-50"]), "seeds"] = 9
    grid.loc[grid.condition == "shuffle-67", "seeds"] = 5
    tables.write_csv(grid, tmp_path / "results" / "grid.csv")
    words = (
        "3 training seeds (9 of <code>correct</code>, <code>digits-50</code>; 5 of <code>shuffle-67</code>), "
    )
    assert words in report.render(tmp_path) and " training seeds (" not in report.render(run)


def test_a_run_without_tables_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"grid\.csv does not exist: run 05_analysis"):
        report.render(tmp_path)


@pytest.mark.parametrize(("value", "shown"), [(-3.25, "−3.2"), (float("nan"), "–"), (12.0, "12.0")])
def test_numbers(value, shown):
    assert report.number(value) == shown

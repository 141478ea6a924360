"""The notebooks that no recipe runs, from top to bottom with their defaults."""

import json
from pathlib import Path

import matplotlib
import pytest
from transformers import PreTrainedTokenizerFast

from tests.support.notebooks import run_here
from tests.support.real import REAL, needs_real

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "outputs" / "reference"


@pytest.fixture(autouse=True)
def no_window():
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("name", ["00_start_here", "A2_traces_of_your_own"])
def test_a_notebook_runs_with_its_defaults(name):
    run_here(name)


def test_traces_of_your_own_are_written_where_notebook_02_reads_them(tmp_path):
    thought = "<think>\nI add. Wait, again.\n\nSo it is {n}.\n</think>\n\nIt is \\boxed{{{n}}}."
    rows = [{"problem": f"What is {i}+3?", "response": thought.format(n=i + 3)} for i in range(9)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_here("A2_traces_of_your_own", output_dir=str(tmp_path), source=str(tmp_path / "mine.jsonl"),
                     steps_by="paragraphs")  # fmt: skip
    assert found["card"]["rows"] == 9 and not found["card"]["set aside"]
    run_here("02_perturbations", output_dir=str(tmp_path), arms=["shuffle-100"], measured=9)
    assert (tmp_path / "arms" / "shuffle-100.s0.parquet").exists()


@pytest.mark.parametrize(
    ("family", "before", "after"), [("countdown", "", "second"), ("islanders", "start ", "second third")]
)
def test_a_base_model_is_made_and_goes_on_from_where_it_was(family, before, after, tmp_path):
    small = {"family": family, "width": 32, "layers": 1, "tokens": 2048, "exam_documents": 1}
    small |= {"start_steps": 2, "second_steps": 2, "third_steps": 2}
    first, second = tmp_path / "first", tmp_path / "second"
    run_here("A1_base_model", output_dir=str(first), steps=3, schedule=3, **small)
    found = run_here("A1_base_model", output_dir=str(second), start_from=str(first), **small)
    phases = " ".join(phase["phase"] for phase in found["phases"])
    assert phases == f"{before}first {after} {after}"
    old, new = (PreTrainedTokenizerFast.from_pretrained(f).get_vocab() for f in (first, second))
    assert old == new and "| second | 2 |" in (second / "README.md").read_text()


@needs_real
def test_the_published_outputs_are_graded_again():
    found = run_here(
        "06_published_outputs", folder=str(REAL / "published"), download=False, checkpoints=False
    )
    assert len(found["graded"]) == 1955


def test_the_explanations_are_judged_on_the_committed_runs(tmp_path):
    outputs = REFERENCE.relative_to(ROOT)
    found = run_here("07_why_content_costs", outputs=f"../{outputs}", output_dir=str(tmp_path))
    assert list(found["scores"]) == [name for name in found["recipes"] if (REFERENCE / name).is_dir()]
    kept = REFERENCE / "why_content_costs"
    assert (tmp_path / "verdicts.csv").read_text() == (kept / "verdicts.csv").read_text()
    drawn = sorted(path.name for path in (tmp_path / "figures").glob("*.svg"))
    assert drawn and drawn == sorted(path.name for path in (kept / "figures").glob("*.svg"))

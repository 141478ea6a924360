"""The authors' outputs: reading, grading again, causes, comparisons; on their own files where they are."""

import http.server
import json
import threading
from pathlib import Path

import pytest

from helpers.analysis import intervals, published
from tests.support.audit import audit
from tests.support.real import REAL, needs_real

ROOT = Path(__file__).parents[2]
PAPER = json.loads((ROOT / "helpers" / "analysis" / "paper_tables.json").read_text())


def line(idx, gold, response, their_answer, theirs, **more):
    row = {"idx": idx, "question": "?", "gt": gold, "code": [response], "pred": [their_answer]}
    return row | {"report": [None], "score": [theirs]} | more


FILE = [
    line(0, "3,4", "so $\\boxed{3,4}$.", "34", False),
    line(1, "102018", "so \\boxed{102019}.", "102019", True),
    line(2, "9", "there are 9 divisors.", "9", True),
    line(3, "9", "so the 9th is (x - 9", "9", True),
    line(4, "", "so \\boxed{\\text{east}}.", "", True, answer="\\text{east}"),
    line(5, "27", "so \\boxed{27}.", "27", True, answer=27.0),
]


@pytest.fixture
def folder(tmp_path):
    for model in ("Qwen2.5-32B-digits-50", "Qwen2.5-32B-keywords-100"):
        (tmp_path / model).mkdir()
        rows = "".join(json.dumps(row) + "\n" for row in FILE)
        (tmp_path / model / "aime24.jsonl").write_text(rows)
        (tmp_path / model / "aime24.metrics.json").write_text(json.dumps({"acc": 83.3}))
    return tmp_path


def test_readings_and_causes(folder):
    graded = published.regrade(published.read(folder))
    one = graded[graded.model == "Qwen2.5-32B-digits-50"]
    assert one.strict.tolist() == [True, False, False, False, True, True]
    assert one.lenient.tolist() == [True, False, True, True, True, True]
    assert one.cause.tolist() == ["cleaned", "compared", "no box", "no box", "", ""]
    assert one.status.tolist() == ["ok", "wrong", "unparsed", "truncated", "ok", "ok"]
    assert set(one.cause) - {""} <= set(published.CAUSES)


def test_cells_stand_beside_the_paper_s(folder):
    graded = published.regrade(published.read(folder))
    cells = published.accuracies(graded, PAPER)
    assert cells.paper.tolist() == [36.7, 33.3] and cells.reported.tolist() == [83.3, 83.3]
    assert cells.strict.tolist() == [50.0, 50.0] and (cells.low < 50).all() and (cells.high > 50).all()
    assert published.unboxed(graded).counted_right.tolist() == [2, 2]
    listed = published.differences(graded)
    assert listed.problem_id.tolist() == [0, 1, 0, 1] and set(listed.right) == {"not judged"}
    pairs = published.contrasts(graded)
    assert pairs.difference.tolist() == [0.0] and pairs.p.tolist() == [1.0]


def test_a_damaged_file_is_named(folder):
    path = folder / "Qwen2.5-32B-digits-50" / "aime24.jsonl"
    path.write_text(path.read_text() + '{"idx": 7}\n')
    with pytest.raises(ValueError, match=r"digits-50/aime24.jsonl, line 7: not a generation"):
        published.read(folder)
    with pytest.raises(ValueError, match="holds no MODEL/BENCHMARK.jsonl"):
        published.read(folder / "nowhere")


def test_files_are_fetched_once_and_what_is_absent_is_named(tmp_path):
    """From a server on this machine that has one file of one benchmark."""
    where, prompt = published.PUBLISHED["Qwen2.5-32B-digits-50"]
    stem = tmp_path / "web" / where / "aime24_eval" / "aime24" / f"test_{prompt}_-1_seed0_t0.0_s0_e-1"
    stem.parent.mkdir(parents=True)
    Path(f"{stem}.jsonl").write_text(json.dumps(FILE[0]) + "\n")
    Path(f"{stem}_{prompt}_metrics.json").write_text('{"acc": 0.0}')
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "web"))

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}"
        for _ in range(2):
            absent = published.download(tmp_path / "here", ["Qwen2.5-32B-digits-50"], source)
        server.shutdown()
    assert sorted(absent) == [f"Qwen2.5-32B-digits-50/{b}" for b in ("amc23", "math500", "olympiadbench")]
    assert len(published.read(tmp_path / "here")) == 1
    assert sum("aime24" in path for path in asked) == 2
    with pytest.raises(ValueError, match="no generations of 'x'"):
        published.download(tmp_path, ["x"])


def test_without_a_network_the_message_says_what_to_do(tmp_path):
    with pytest.raises(OSError, match=r"cannot be reached .*set download = False"):
        published.download(tmp_path, ["Qwen2.5-32B-digits-50"], "http://127.0.0.1:9")


@needs_real
@pytest.mark.parametrize("model", ["Qwen2.5-32B-digits-50", "Qwen2.5-32B-keywords-100"])
def test_the_paper_s_cells_are_found_again(model, tmp_path):
    (tmp_path / model).symlink_to(REAL / "published" / model)
    graded = published.regrade(published.read(tmp_path))
    cells = published.accuracies(graded, PAPER)
    assert (cells.reported == cells.paper).all()
    assert (cells.lenient.round(1) == cells.reported).all()
    assert len(published.differences(graded)) == 0
    boxed = graded[graded.answer.notna()]
    second = [audit(*pair) for pair in zip(boxed.gold, boxed.answer, strict=True)]
    assert sum(said is not None for said in second) > 0.7 * len(boxed)
    assert all(said in (None, "ok" if ok else "wrong") for said, ok in zip(second, boxed.strict, strict=True))


@needs_real
def test_every_published_file_is_read():
    rows = published.read(REAL / "published")
    assert len(rows) == 1955 and rows.gold.map(str.strip).ne("").all()
    reported = rows.groupby(["model", "benchmark"]).agg(ours=("theirs", "mean"), theirs=("reported", "first"))
    assert ((100 * reported.ours).round(1) == reported.theirs).all()


def test_judgements_name_a_side_and_a_reason():
    import pandas as pd

    judged = pd.read_csv(published.JUDGED)
    assert judged.right.isin(["ours", "theirs", "open"]).all() and judged.why.str.len().gt(10).all()
    assert not judged.duplicated(["model", "benchmark", "problem_id"]).any()


def test_checkpoints_are_compared_with_the_printed_one_and_the_best_is_looked_at_elsewhere(tmp_path):
    right = {21: {0, 1}, 133: {0, 1, 2, 3}, 140: {2, 3}}
    for step, solved in right.items():
        folder = tmp_path / f"Qwen2.5-32B-correct@{step}"
        folder.mkdir()
        rows = [line(i, "5", f"so \\boxed{{{5 if i in solved else 6}}}.", "5", i in solved) for i in range(6)]
        (folder / "aime24.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    graded = published.regrade(published.read(tmp_path))
    assert published.is_checkpoint(graded.model).sum() == 12
    table, choice = published.checkpoints(graded, resamples=300)
    assert table.model.str.partition("@")[2].tolist() == ["21", "133", "140"]
    assert table.difference.round(1).tolist()[0] == table.difference.round(1).tolist()[2] == -33.3
    assert (table["from"] <= table.difference)[[0, 2]].all() and table.p.isna().tolist() == [
        False,
        True,
        False,
    ]
    assert choice["mean"] == 44.4 and choice["chosen"] > choice["others"]


def test_the_best_of_equals_is_best_by_luck():
    rng = intervals.generator("equals")
    answers = (rng.random((11, 30)) < 0.33).astype(float)
    inside, outside = intervals.best_of(answers, 500, rng)
    assert inside.mean() > answers.mean() + 0.05 and abs(outside.mean() - answers.mean()) < 0.06

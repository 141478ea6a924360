"""Benchmarks from local files in their true columns, prompts, LiveCodeBench without a pickle."""

import base64
import json
import os
import pickle
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.evaluation import benchmarks

# The private tests of a problem as LiveCodeBench packs them, from issue 33 of its repository.
PACKED = (
    "eJxrYJmaz8gABhEZQEZ0tVJmXkFpiZKVgpJhTF5iUnJMnpKOglJ+aQlUNNI1GCJUklpcUlJZkAoSLC5JycxTqtVRQNJuDNWOILAYhCCI"
    "MdI0Ji85MQloWjKQSE5KjMlLSgSam5SciG64nz+y2WACJESMJWYY7ibFG8T5KnaKHgAcinnp"
)
LCB = {
    "question_title": "A. Short Sort",
    "question_content": "There are three cards with letters a, b, c ...",
    "platform": "codeforces",
    "question_id": "1873_A",
    "contest_id": "1873",
    "contest_date": "2023-08-21T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([{"input": "6\nabc\n", "output": "YES\n", "testtype": "stdin"}]),
    "private_test_cases": PACKED,
    "metadata": "{}",
}
LEETCODE = LCB | {
    "question_id": "2777",
    "contest_date": "2023-09-02T00:00:00",
    "starter_code": "class Solution:\n    def pick(self, n: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "3", "output": "4", "testtype": "functional"}]),
    "private_test_cases": json.dumps([{"input": "5", "output": "6", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "pick"}),
}
ROWS = {
    "math500": {
        "problem": "Convert the point",
        "solution": "We have",
        "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
        "subject": "Precalculus",
        "level": 2,
        "unique_id": "test/precalculus/807.json",
    },
    "aime24": {
        "id": 60,
        "problem": "Every morning",
        "solution": "s",
        "answer": "204",
        "url": "https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1",
    },
    "aime25": {"question": "Find the sum of all integer bases", "answer": "70"},
    "amc23": {
        "id": 0,
        "problem": "Cities $A$ and $B$",
        "answer": 27.0,
        "url": "https://artofproblemsolving.com/wiki/index.php/2023_AMC_12A_Problems/Problem_1",
    },
    "olympiadbench": {
        "id": 1606,
        "question": "Xenia and Sergey",
        "solution": ["s"],
        "final_answer": ["2"],
        "context": None,
        "is_multiple_answer": False,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
    },
    "gsm8k": {"question": "Janet's ducks", "answer": "She sells 9 eggs.\nShe makes 18.\n#### 1,018"},
    "livecodebench": LCB,
}


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", benchmarks.HUB)
def test_every_benchmark_is_read_in_its_own_columns(name, tmp_path):
    table = benchmarks.load(name, write(tmp_path / "rows.jsonl", ROWS[name], ROWS[name]))
    assert table.schema == benchmarks.COLUMNS and len(table) == 2
    assert len(set(table["id"].to_pylist())) == 2
    pq.write_table(pa.Table.from_pylist([ROWS[name]]), tmp_path / "rows.parquet")
    assert benchmarks.load(name, tmp_path / "rows.parquet")["answer"] == table.slice(0, 1)["answer"]


def test_answers_are_taken_out_of_their_rows(tmp_path):
    answers = {
        name: benchmarks.load(name, write(tmp_path / "rows.jsonl", row))["answer"][0].as_py()
        for name, row in ROWS.items()
        if name != "livecodebench"
    }
    assert answers == {
        "math500": "\\left( 3, \\frac{\\pi}{2} \\right)",
        "aime24": "204",
        "aime25": "70",
        "amc23": "27",
        "olympiadbench": "2",
        "gsm8k": "1,018",
    }


def test_olympiadbench_keeps_context_percent_and_tolerance(tmp_path):
    row = ROWS["olympiadbench"]
    several = row | {"final_answer": "['$69$,$84$']", "context": "Let $ABC$ be a triangle."}
    percent = row | {"id": 2, "final_answer": ["4.2"], "unit": "%", "error": "1e-1"}
    found = benchmarks.load("olympiadbench", write(tmp_path / "rows.jsonl", several, percent)).to_pylist()
    assert found[0]["answer"] == "$69$,$84$" and found[0]["problem"].startswith("Let $ABC$")
    assert (found[1]["answer"], found[1]["tolerance"]) == ("4.2\\%", 0.1)


def test_other_years_are_left_out(tmp_path):
    other = ROWS["aime24"] | {"id": 1, "url": "https://x/index.php/2022_AIME_I_Problems/Problem_1"}
    table = benchmarks.load("aime24", write(tmp_path / "rows.jsonl", other, ROWS["aime24"]))
    assert table["id"].to_pylist() == ["60"]


@pytest.mark.parametrize(
    ("start", "end", "ids"),
    [
        ("", "9999", ["1873_A", "2777"]),
        ("2023-08-21", "2023-08-21", ["1873_A"]),
        ("2023-08-22", "9999", ["2777"]),
        ("", "2023-09-01", ["1873_A"]),
    ],
)
def test_livecodebench_by_date(start, end, ids, tmp_path):
    path = write(tmp_path / "rows.jsonl", LCB, LEETCODE)
    assert benchmarks.load("livecodebench", path, start, end)["id"].to_pylist() == ids


def test_livecodebench_tests_and_entry(tmp_path):
    table = benchmarks.load("livecodebench", write(tmp_path / "rows.jsonl", LCB, LEETCODE))
    first, second = (json.loads(answer) for answer in table["answer"].to_pylist())
    assert first["entry"] is None and len(first["tests"]) == 5
    assert first["tests"][1] == {"input": "1\nabc\n", "output": "YES\n"}
    assert second == {
        "entry": "pick",
        "tests": [{"input": "3", "output": "4"}, {"input": "5", "output": "6"}],
    }
    assert "class Solution:" in table["problem"][1].as_py()


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/a-pickle-was-loaded",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("value", [Hostile(), ["[]", Hostile()], {"a": 1}, b"[]", 5, ("[]", "[]")])
def test_a_pickle_that_is_more_than_a_text_is_refused_and_never_executed(value, protocol, tmp_path):
    packed = base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()
    with pytest.raises(ValueError, match="private tests cannot be read"):
        benchmarks.tests_of(packed)
    assert not Path("/tmp/a-pickle-was-loaded").exists()


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_a_pickled_text_is_read_without_pickle(protocol):
    for text in ("[]", "[" + '{"input": "é", "output": "\\n"}, ' * 500 + '{"input": "", "output": ""}]'):
        assert benchmarks.unpickled_text(pickle.dumps(text, protocol)) == text


@pytest.mark.parametrize("text", ["", "no", "AAAA", "eJxr", "{}", "[1]", base64.b64encode(b"x").decode()])
def test_private_tests_that_are_something_else_are_refused(text):
    with pytest.raises(ValueError):
        benchmarks.tests_of(text)


def test_a_bomb_in_the_private_tests_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(benchmarks, "LARGEST", 1 << 20)
    packed = base64.b64encode(zlib.compress(pickle.dumps("x" * (1 << 22)))).decode()
    with pytest.raises(ValueError, match="larger than"):
        benchmarks.tests_of(packed)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'math500'"):
        benchmarks.load("math50")
    with pytest.raises(ValueError, match="does not exist"):
        benchmarks.load("math500", tmp_path / "nothing.jsonl")
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS["math500"]) + "\nhalf a {line\n")
    with pytest.raises(ValueError, match="line 2: not JSON"):
        benchmarks.load("math500", path)
    with pytest.raises(ValueError, match="row 0: not a problem of gsm8k"):
        benchmarks.load("gsm8k", write(path, {"question": "x"}))
    with pytest.raises(ValueError, match="no problem of aime24"):
        benchmarks.load("aime24", write(path, {"url": "2020_AIME"}))


def test_revisions_are_commits():
    for hub_id, revision, *_ in benchmarks.HUB.values():
        assert "/" in hub_id and len(revision) == 40 and set(revision) <= set("0123456789abcdef")


def test_prompts_are_the_paper_s():
    assert benchmarks.prompt("math500", "1+1?") == "Return your final response within \\boxed{}. 1+1?"
    assert benchmarks.prompt("amc23", "{x}").endswith("{x}")
    assert benchmarks.prompt("countdown-hard", "Use 1, 2 and 3 to make 6.") == "Use 1, 2 and 3 to make 6."
    assert "take stdin as input" in benchmarks.prompt("livecodebench", "p")
    assert "without invoking it" in benchmarks.prompt("livecodebench", "p", "pick")


def test_a_byte_order_mark_and_blank_lines_are_nothing(tmp_path):
    row = json.dumps({"problem": "What is 2+3?", "answer": 5, "id": "a"}).encode()
    (tmp_path / "m.jsonl").write_bytes(b"\xef\xbb\xbf" + row + b"\n\n  \n")
    assert benchmarks.load("math500", tmp_path / "m.jsonl")["answer"].to_pylist() == ["5"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("math500", {"problem": "p", "answer": None}),
        ("math500", {"problem": "p", "answer": " "}),
        ("math500", {"problem": "p", "answer": float("nan")}),
        ("gsm8k", {"question": "p", "answer": "so it is\n#### "}),
        ("olympiadbench", {"id": 1, "question": "p", "final_answer": [None]}),
        ("olympiadbench", {"id": 1, "question": "p", "final_answer": []}),
    ],
)
def test_a_problem_without_an_answer_is_named(name, row, tmp_path):
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=r"m.jsonl, row 0: .*the answer is empty"):
        benchmarks.load(name, tmp_path / "m.jsonl")

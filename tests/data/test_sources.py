import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.data.collection import collect
from helpers.data.sources import (
    HUB,
    PROMPT,
    HubSource,
    file_rows,
    hub_rows,
    hub_source,
    open_source,
    read_conversation,
    read_human,
    read_local,
    read_numina,
    read_openr1,
    resolved,
    with_tags,
)
from helpers.data.traces import FRAMES, parse, render

LONG = render(["Let me add 2 and 3.", "Wait, that is 5."], "It is \\boxed{5}.", frame=FRAMES["sky-t1"])
R1 = render(["Let me add 2 and 3.", "Wait, that is 5."], "It is \\boxed{5}.")
SYSTEM = "Your role as an assistant involves thoroughly exploring questions."


def conversation(response, problem="What is 2+3?"):
    turns = [{"from": "user", "value": PROMPT + problem}, {"from": "assistant", "value": response}]
    return {"system": SYSTEM, "conversations": turns}


OPENR1 = {
    "problem": "What is 2+3?",
    "solution": "It is 5.",
    "answer": "5",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "source": "olympiads",
    "uuid": "0c1",
    "is_reasoning_complete": [True, True, False, True],
    "generations": [R1, R1.replace("5", "6"), R1, R1],
    "correctness_math_verify": [True, False, True, False],
    "correctness_llama": [None, None, None, True],
    "finish_reasons": ["stop", "stop", "length", "stop"],
    "correctness_count": 2,
    "messages": [{"role": "user", "content": "What is 2+3?"}, {"role": "assistant", "content": R1}],
}
NUMINA = {
    "source": "cn_k12",
    "problem": "What is 2+3?",
    "solution": "Adding gives \\boxed{5}.",
    "messages": [{"role": "user", "content": "What is 2+3?"}],
}
HUMAN = {
    "problem": "What is 2+3?",
    "solution": "I add.\n\nWait, let me check that.\n\nIt is \\boxed{5}.",
    "solution_type": "human_stage1",
    "expected_answer": "5",
}
ROWS = {  # a row of each data set in its true columns
    "sky-t1": conversation(LONG),
    "bespoke-stratos": conversation(LONG),
    "openr1-math": OPENR1,
    "numina-cot": NUMINA,
    "human-reasoning": HUMAN,
}
FORMATS = {"sky-t1": "json", "human-reasoning": "jsonl"}  # the others are Parquet on the hub
KINDS = {"openr1-math": ["correct", "wrong", "correct"], "numina-cot": ["short"], "human-reasoning": [None]}


@pytest.mark.parametrize("name", HUB)
def test_a_hub_data_set_is_read_in_its_true_schema(name, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "repository"
    folder.mkdir()
    suffix = FORMATS.get(name, "parquet")
    rows = [ROWS[name]] * 3
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet")
    else:
        text = json.dumps(rows) if suffix == "json" else "".join(json.dumps(r) + "\n" for r in rows)
        (folder / f"train.{suffix}").write_text(text)
    source = HubSource(str(folder), "0" * 40, HUB[name].read, "", "")
    numbered = list(hub_rows(source, resolved(source)))
    assert [n for n, _ in numbered] == [0, 1, 2]
    for _, row in numbered:
        candidates = source.read(row)
        assert [c.kind for c in candidates] == KINDS.get(name, ["correct"])
        assert {c.problem for c in candidates} == {"What is 2+3?"}
        assert candidates[0].answer == "5"


def test_every_pinned_revision_is_a_commit_and_the_other_is_looked_up(monkeypatch):
    pinned = {name: s.revision for name, s in HUB.items() if s.revision}
    assert set(HUB) - set(pinned) == {"human-reasoning"}
    assert all(len(r) == 40 and set(r) <= set("0123456789abcdef") for r in pinned.values())
    assert all(resolved(HUB[name]) == revision for name, revision in pinned.items())

    class Api:
        def dataset_info(self, name):
            assert name == HUB["human-reasoning"].id
            return type("Info", (), {"sha": "f" * 40})

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert resolved(HUB["human-reasoning"]) == "f" * 40


def test_a_source_is_opened_by_its_name_or_as_a_file(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"problem": "p"}\n')
    rows, read, label, name = open_source(str(tmp_path / "mine.jsonl"))
    assert (list(rows), read, label, name) == ([(0, {"problem": "p"})], read_local, "mine.jsonl", "mine")
    _, read, label, name = open_source("openr1-math")
    assert read is read_openr1 and name == "openr1-math"
    assert label == f"open-r1/OpenR1-Math-220k@{HUB['openr1-math'].revision}"


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ValueError, match="no source 'openr1': did you mean 'openr1-math'"):
        hub_source("openr1")


def test_generations_that_were_not_judged_or_broke_off_are_no_candidates():
    with pytest.raises(ValueError, match="no generation that is complete and judged"):
        read_openr1(OPENR1 | {"correctness_math_verify": None, "correctness_llama": None})
    only_llama = OPENR1 | {"correctness_math_verify": None, "correctness_llama": [True, False, None, None]}
    assert [c.kind for c in read_openr1(only_llama)] == ["correct", "wrong"]


@pytest.mark.parametrize(
    "read, row, reason",
    [
        (read_conversation, {}, "missing field: conversations"),
        (read_conversation, {"conversations": "no"}, "wrong type: conversations is str, not list"),
        (read_conversation, {"conversations": ["no"]}, "wrong type: a turn"),
        (read_conversation, {"conversations": []}, "missing field: a turn of the user"),
        (read_conversation, {"conversations": [{"from": "user", "value": 3}]}, "wrong type: value is int"),
        (read_openr1, OPENR1 | {"generations": None}, "missing field: generations"),
        (read_openr1, OPENR1 | {"correctness_math_verify": [True]}, "wrong type: as many verdicts"),
        (read_openr1, OPENR1 | {"answer": 5}, "wrong type: answer is int, not str"),
        (read_numina, {"problem": "p"}, "missing field: solution"),
        (read_human, {"solution": "s"}, "missing field: problem"),
        (read_local, {"problem": "p"}, "missing field: response"),
        (read_local, {"problem": "p", "response": "r", "kind": "good"}, "unknown kind: use correct"),
    ],
)
def test_a_bad_row_says_what_is_wrong_with_it(read, row, reason):
    with pytest.raises(ValueError, match=reason):
        read(row)


def test_rows_of_ones_own():
    assert read_local({"problem": "p", "response": R1})[0].kind == "correct"
    given = read_local({"problem": PROMPT + "p", "solution": "\\boxed{5}", "answer": 5})[0]
    assert (given.problem, given.answer, given.kind) == ("p", "5", None)
    assert read_local({"problem": "p", "response": "x\n\n\\boxed{5}", "kind": "short"})[0].response[0] == "x"
    assert read_local(conversation(LONG))[0].response == LONG


def test_an_untagged_response_is_cut_before_its_last_boxed_paragraph():
    parsed = parse(with_tags(HUMAN["solution"]))
    assert (parsed.thought, parsed.solution) == ("I add.\n\nWait, let me check that.", "It is \\boxed{5}.")
    for same in (LONG, R1, "no box\n\nat all", "\\boxed{5} in one paragraph", "tail</think>\n\n\\boxed{5}"):
        assert with_tags(same) == same


def test_files_are_read_row_by_row(tmp_path):
    lines = [
        b'{"problem": "p"}',
        b"not json",
        b"[1]",
        b'{"problem": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 10**5,
        b"",
    ]
    (tmp_path / "mine.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    rows = list(file_rows(tmp_path / "mine.jsonl"))
    assert [n for n, _ in rows] == list(range(7))
    assert rows[0][1] == {"problem": "p"} and rows[3][1] == {"problem": "\ud800"}
    assert [str(rows[i][1]) for i in (1, 4, 5, 6)] == ["no JSON"] * 4
    assert str(rows[2][1]) == "wrong type: the row is no object"
    pq.write_table(pa.table({"problem": ["p"] * 600}), tmp_path / "mine.parquet")
    assert [n for n, _ in file_rows(tmp_path / "mine.parquet")] == list(range(600))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.jsonl does not exist: give the path"):
        file_rows(tmp_path / "gone.jsonl")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(ValueError, match=r"a\.csv is no \.jsonl or \.parquet"):
        file_rows(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(ValueError, match=r"a\.parquet is not a complete Parquet file"):
        list(file_rows(tmp_path / "a.parquet"))


LAYOUTS = {
    "openr1-math": {
        "problem": "What is 2+3?", "answer": "5", "generations": ["<think>\nI add.\n</think>\n\n\\boxed{5}"],
        "correctness_math_verify": [True], "is_reasoning_complete": [True],
    },
    "sky-t1": {
        "conversations": [
            {"from": "user", "value": "What is 2+3?"},
            {"from": "assistant", "value": "I add.\n\nIt is \\boxed{5}."},
        ]
    },
    "human-reasoning": {
        "problem": "What is 2+3?", "solution": "I add.\n\nIt is \\boxed{5}.", "expected_answer": "5",
    },
    "numina-cot": {"source": "x", "problem": "What is 2+3?", "solution": "It is \\boxed{5}.", "messages": []},
    None: {"problem": "What is 2+3?", "solution": "I add.\n\nIt is \\boxed{5}."},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_local_file_is_read_in_the_layout_that_its_columns_have(layout, kind, tmp_path):
    path = tmp_path / f"mine.{kind}"
    if kind == "jsonl":
        path.write_text(json.dumps(LAYOUTS[layout]) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([LAYOUTS[layout]]), path)
    rows, read, label, name = open_source(str(path))
    collected = collect(rows, read, label, name, min_steps=1)
    (trace,) = [t for made in collected.traces.values() for t in made]
    assert trace.answer == "5" and trace.kind == ("short" if layout == "numina-cot" else "correct")
    assert trace.steps == (() if layout == "numina-cot" else ("I add.",))
    assert label == (f"mine.{kind} (columns of {layout})" if layout else f"mine.{kind}")


@pytest.mark.parametrize(
    "response",
    [
        "<|im_start|>think\nI add.\n<|im_start|>answer\nIt is \\boxed{5}.",
        "<|im_start|>think\nI add.\n\n<|im_start|>answer\nIt is \\boxed{5}.<|im_end|>",
        "I add.\n\nIt is \\boxed {5}.",
        "I add.\n\nIt is \\fbox{5}.",
    ],
)
def test_s1_s_markers_and_other_boxes_part_the_thought_from_the_solution(response):
    parsed = parse(read_local({"problem": "What is 2+3?", "response": response})[0].response)
    assert parsed.thought == "I add." and parsed.solution.startswith("It is") and "<|" not in parsed.solution


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    (tmp_path / "mine.jsonl").write_bytes(b'\xef\xbb\xbf{"problem": "p"}\n')
    assert [row for _, row in file_rows(tmp_path / "mine.jsonl")] == [{"problem": "p"}]

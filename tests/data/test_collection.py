import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers.equality import same_answer
from helpers.data.collection import card, collect, write_collected
from helpers.data.filters import blocks, leak, letters_by_script, read_problems
from helpers.data.sources import file_rows, read_local
from helpers.data.traces import FRAMES, KINDS, parse, read_traces, render, thought
from helpers.perturbations.arm_files import write_arms
from helpers.perturbations.arms import ARMS, UNTOUCHED
from helpers.workflow.provenance import traces_from

STEPS = ["I add two and three, which are small numbers. ", "Wait, let me check it. It is five."]


def row(i, **changes):
    return {
        "problem": f"Question {i}: what is 2+3?",
        "response": render(STEPS, "It is \\boxed{5}."),
    } | changes


BAD = {  # a row, and the reason for which it is set aside
    "missing field": {"problem": "p"},
    "wrong type": row(0, response=17),
    "no JSON": ValueError("no JSON"),
    "empty problem": row(0, problem="  "),
    "empty thought": row(0, response="<think>\n\n</think>\n\n\\boxed{5}"),
    "no solution": row(0, response="<think>\nI add and add"),
    "no boxed answer": row(0, response=render(STEPS, "It is 5.")),
    "one step": row(0, response=render(["It is five."], "\\boxed{5}")),
    "too long": row(0, response=render(["Wait, no. " * 10**6], "\\boxed{5}")),
    "mixed scripts": row(0, response=render([*STEPS, "Wait, 答えは五です。検算します。"], "\\boxed{5}")),
    "lone surrogate": row(0, problem="What \ud800 is it?"),
    "answer not comparable": row(0, answer="6", response=render(STEPS, "It is \\boxed{5 \\heartsuit}.")),
    "no tags": row(0, response="It is 5, I think.\n\nIt is \\boxed{5}.".replace("\n\n", " ")),
    "no tags and no boxed answer": row(0, response="It is five, I think."),
    "duplicate": row(1),
    "leak": row(0, problem="Tell me, how many of the ten green bottles are left on the wall?"),
    "unknown kind": row(0, kind="fine"),
}
BOTTLES = {"bottles": ["How many of the ten green bottles are left on the wall?"]}


def test_bad_rows_are_set_aside_with_their_reason_and_number_and_the_run_goes_on():
    rows = [row(1), *BAD.values(), row(2)]
    collected = collect(enumerate(rows), read_local, "mine", benchmarks=BOTTLES)
    assert [t.id for t in collected.traces["correct"]] == ["trace-0", f"trace-{len(rows) - 1}"]
    assert [(a.row, a.reason) for a in collected.aside] == list(enumerate(BAD, 1))
    assert collected.rows == len(rows)
    shown = card(collected)
    assert shown["set aside"] == dict.fromkeys(BAD, 1)
    assert shown["rows"] == len(rows) and shown["kinds"]["correct"]["traces"] == 2


@given(st.lists(st.sampled_from([*BAD.values(), *(row(i) for i in range(5))]), max_size=12))
def test_every_candidate_is_a_trace_or_set_aside(rows):
    collected = collect(enumerate(rows), read_local, "mine", judge=lambda pairs: ["unparsed"] * len(pairs))
    made = sum(map(len, collected.traces.values()))
    unreadable = sum(1 for a in collected.aside) + made - collected.candidates
    assert made + len(collected.aside) == len(rows) and 0 <= unreadable <= len(rows)


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_no_row_whatever_stops_the_run(value):
    rows = [
        {"problem": value, "response": value},
        {"conversations": value},
        {"problem": "p", "response": value},
    ]
    collected = collect(enumerate(rows), read_local, "mine")
    assert len(collected.aside) + sum(map(len, collected.traces.values())) == 3


def test_a_trace_is_its_response_and_says_where_it_is_from():
    response = render(STEPS, "It is \\boxed{5}.", frame=FRAMES["sky-t1"]).replace(
        "\n\n<|end_of_t", " \n<|end_of_t"
    )
    trace = collect([(7, row(1, response=response))], read_local, "mine@1", "mine").traces["correct"][0]
    assert render(trace.steps, trace.solution, trace.kind, trace.frame) == response
    assert (trace.id, trace.source, trace.answer) == ("mine-7", "mine@1", "5")
    other = collect([(7, row(1, response=response))], read_local, "m", frame=FRAMES["think"]).traces[
        "correct"
    ][0]
    assert render(other.steps, other.solution, "correct", other.frame) == render(STEPS, "It is \\boxed{5}.")


def test_answers_decide_between_correct_and_wrong():
    rows = [row(1, answer="5.0"), row(2, answer="6"), row(3, answer="x"), row(4, answer="6", kind="correct")]
    collected = collect(enumerate(rows), read_local, "mine")
    assert {k: [t.id for t in v] for k, v in collected.traces.items()} == {
        "correct": ["trace-0", "trace-3"],
        "wrong": ["trace-1", "trace-2"],
        "short": [],
    }
    strict = collect(
        enumerate(rows[:1]),
        read_local,
        "mine",
        judge=lambda pairs: ["ok" if a == b else "wrong" for a, b in pairs],
    )
    assert len(strict.traces["wrong"]) == 1


def test_answers_that_need_algebra_are_judged_by_the_grader():
    answers = [
        ("\\$18", "18"),
        ("9 \\text{ minutes}", "9"),
        ("1{,}800", "1800"),
        ("\\pi + x", "x+\\pi"),
        ("x", "2x"),
    ]
    rows = [
        row(i, response=render(STEPS, f"It is \\boxed{{{found}}}."), answer=expected)
        for i, (found, expected) in enumerate(answers)
    ]
    collected = collect(enumerate(rows), read_local, "mine")
    assert [t.id for t in collected.traces["correct"]] == [f"trace-{i}" for i in range(4)]
    assert [t.id for t in collected.traces["wrong"]] == ["trace-4"] and not collected.aside


def test_a_source_of_which_nothing_becomes_a_trace_says_why(tmp_path):
    collected = collect(enumerate([{"problem": "p"}] * 3), read_local, "mine.jsonl")
    with pytest.raises(ValueError, match="mine.jsonl: none of 3 rows became a trace, 3 of them for 'missing"):
        write_collected(collected, tmp_path)
    assert len((tmp_path / "aside.jsonl").read_text().splitlines()) == 3


def test_what_follows_the_solution_s_tag_is_dropped_and_counted():
    text = render(STEPS, "It is \\boxed{5}.", "correct", FRAMES["sky-t1"]) + "\n\nUser: what is 7+8?"
    collected = collect(enumerate([row(1, response=text)]), read_local, "mine")
    (trace,) = collected.traces["correct"]
    assert render(trace.steps, trace.solution, "correct", trace.frame).endswith("<|end_of_solution|>")
    assert collected.irregularities["text after the solution"] == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("What is 2+3?", "What is 2-3?", False),
        ("Solve $x^2-5x+6=0$.", "Solve $x^2+5x-6=0$.", False),
        ("Is $a<b$?", "Is $a>b$?", False),
        ("Is $a \\le b$?", "Is $a < b$?", False),
        ("Compute $a(b+c)$.", "Compute $ab+c$.", False),
        ("What is 3.5 times 2?", "What is 35 times 2?", False),
        ("What is 3.5 times 2?", "What is 3 5 times 2?", False),
        ("What is $5!$?", "What is $5$?", False),
        ("What is $2^{x+1}$?", "What is $2^x+1$?", False),
        ("What is $|x|$?", "What is $x$?", False),
        ("What is 5% of 80?", "What is 5 of 80?", False),
        ("Find $f'(2)$.", "Find $f(2)$.", False),
        ("The ratio is 3:4.", "The ratio is 34.", False),
        ("What is $\\frac{1}{23}$?", "What is $\\frac{12}{3}$?", False),
        ("What is 2 + 3 ?", "what is $2+3$", True),
        ("What is 2 − 3?", "What is 2-3?", True),
        ("Find $\\dfrac12$ of it.", "Find \\(\\frac{1}{2}\\) of it!", True),
        ("Is $a \\leq b$?", "Is a ≤ b?", True),
        ("A three-digit number is 1,000.", "A three digit number is 1000", True),
        ("Compute $\\left(x^2\\right)$.", "Compute $(x^{2})$", True),
        ("What is $2 \\times 3$?", "What is 2 × 3?", True),
    ],
)
def test_signs_are_part_of_a_problem_and_typesetting_is_not(first, second, same):
    rows = [row(0, problem=first), row(1, problem=second)]
    collected = collect(enumerate(rows), read_local, "mine")
    assert (len(collected.traces["correct"]) == 1) is same
    assert (leak(first, blocks({"b": [second]})) == "b") is same


def test_as_many_of_each_kind_as_asked_for():
    rows = [row(i, kind=kind) for i in range(5) for kind in ("correct", "wrong")]
    collected = collect(enumerate(rows), read_local, "mine", n=2)
    assert {k: len(v) for k, v in collected.traces.items()} == {"correct": 2, "wrong": 2, "short": 0}
    assert card(collected)["set aside"] == {"more than were asked for": 6}


def test_what_is_written_is_read_back_and_made_into_arms(tmp_path):
    rows = [row(i, kind=kind) for i in range(5) for kind in ("correct", "wrong")]
    collected = collect(enumerate([*rows, *BAD.values()]), read_local, "mine", benchmarks=BOTTLES)
    write_collected(collected, tmp_path)
    read = {kind: read_traces(tmp_path / f"{kind}.parquet") for kind in KINDS}
    assert read["correct"] == collected.traces["correct"] and read["wrong"] == collected.traces["wrong"]
    assert [t.solution for t in read["short"]] == [t.solution for t in read["correct"]]
    assert json.loads((tmp_path / "card.json").read_text()) == card(collected)
    lines = [json.loads(line) for line in (tmp_path / "aside.jsonl").read_text().splitlines()]
    assert Counter(line["reason"] for line in lines) == card(collected)["set aside"]
    arms = [arm for arm in ARMS if not arm.startswith("digits")]  # these thoughts have none
    assert set(write_arms(read, arms, 0, tmp_path / "arms").values()) == {5}
    assert not list(tmp_path.glob(".*"))


def test_the_manifest_says_where_traces_came_from(tmp_path):
    assert traces_from(tmp_path) == "unknown"
    write_collected(collect([(0, row(1))], read_local, "some/set@0123"), tmp_path / "traces")
    assert traces_from(tmp_path) == "some/set@0123"


def test_irregularities_of_refused_responses_are_counted_too():
    rows = [row(1, response="<think>\nI add"), row(2, response="It is 5."), row(3)]
    assert collect(enumerate(rows), read_local, "mine").irregularities == {
        "thought never closed": 1,
        "no solution": 1,
        "no tags": 1,
        "no boxed answer": 1,
    }


def test_leaks_are_ten_words_in_a_row_or_the_whole_problem():
    known = blocks(BOTTLES | {"short": ["What is $2+3$?"]})
    assert leak("How many of the ten GREEN bottles, are left on the wall, Tom?", known) == "bottles"
    assert leak("How many of the nine green bottles are left on the wall?", known) is None
    assert leak("what is 2 + 3", known) == "short" and leak("What is 2+3 and 4?", known) is None
    assert leak("anything", {}) is None


def test_a_benchmarks_problems_are_read_from_either_column(tmp_path):
    lines = ['{"problem": "a"}', '{"question": "b"}', "broken", '{"other": 1}']
    (tmp_path / "b.jsonl").write_text("\n".join(lines))
    assert read_problems(tmp_path / "b.jsonl") == ["a", "b"]


@pytest.mark.parametrize(
    "text, scripts",
    [
        ("plain", {"latin"}),
        ("ℝ αβγ naïve ∑ x²", {"latin"}),
        ("答え", {"east asian"}),
        ("да yes", {"cyrillic", "latin"}),
    ],
)
def test_scripts_are_told_apart_and_mathematics_is_none(text, scripts):
    assert set(letters_by_script(text)) == scripts


@pytest.mark.parametrize(
    "found, expected, same",
    [
        ("5", "5", True),
        ("\\frac{1}{2}", "0.5", True),
        ("\\dfrac{1}{2}", "\\frac12", True),
        ("-\\frac{1}{2}", "-1/2", True),
        ("1,234", "1234", True),
        ("\\text{(A)}", "A", True),
        ("(A)", "(B)", False),
        ("$5$.", "5", True),
        ("90^\\circ", "90", True),
        ("5", "6", False),
        ("1/0", "5", None),
        ("x+1", "1+x", None),
        ("9" * 10**6, "5", None),
        ("2**9**9**9", "5", None),
    ],
)
def test_answers_are_the_same_different_or_not_comparable(found, expected, same):
    assert same_answer(found, expected) is same


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(a, b):
    assert same_answer(a, b) in (True, False, None) and same_answer(a, a) is True


REAL = Path(os.environ.get("REAL_TRACES", Path(__file__).parents[3] / "shared" / "real"))


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real generations (REAL_TRACES names one)")
def test_real_generations_become_traces_and_every_arm(tmp_path):
    rows = []
    for path in sorted(REAL.glob("published/gemma*/*.jsonl")):
        for _, line in file_rows(path):
            rows.append({"problem": line["question"], "response": line["code"][0], "answer": line["gt"]})
    collected = collect(enumerate(rows), read_local, "real", max_characters=200_000)
    made = [t for traces in collected.traces.values() for t in traces]
    assert len(made) + len(collected.aside) == len(rows) and len(made) > 200
    for trace in made:
        response = rows[int(trace.id.split("-")[1])]["response"]
        if parse(response).format == "sky-t1":
            assert render(trace.steps, trace.solution, trace.kind, trace.frame) == response
        assert thought(trace.steps) == "".join(trace.steps)
    traces = {
        "correct": collected.traces["correct"][:40],
        "wrong": collected.traces["wrong"][:5],
        "short": [],
    }
    arms = [a for a in ARMS if a not in UNTOUCHED]
    assert set(write_arms(traces, arms, 0, tmp_path).values()) == {40}

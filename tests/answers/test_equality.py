"""Answers compared: hand-written pairs, real answers and responses, hostile answers, workers that die."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers import equality, forms, latex, workers
from helpers.answers.boxed import final_answer
from helpers.data.filters import blocks, leak, plain_words
from helpers.evaluation import benchmarks, grading
from helpers.puzzles import expressions
from tests.support.audit import audit
from tests.support.real import REAL, needs_real

ROOT = Path(__file__).parents[2]
PAIRS = [
    line.split("\t")
    for line in (Path(__file__).with_name("answer_pairs.tsv")).read_text().splitlines()
    if not line.startswith("#")
]


@pytest.fixture(scope="module")
def verdicts():
    """The verdicts on the hand-written pairs, all graded at once."""
    return grading.grade([(gold, answer) for _, gold, answer, _ in PAIRS], seconds=3)


def test_the_hand_written_pairs_get_the_verdicts_that_a_reader_gives(verdicts):
    assert len(PAIRS) >= 120
    wrong = [(pair, got) for pair, got in zip(PAIRS, verdicts, strict=True) if pair[0] != got]
    assert wrong == []


def test_the_audit_contradicts_no_hand_written_pair():
    said = [(audit(gold, answer), expected) for expected, gold, answer, _ in PAIRS]
    assert [pair for pair in said if pair[0] is not None and pair[0] != pair[1]] == []
    assert sum(first is not None for first, _ in said) >= 90


def test_a_megabyte_of_brackets_is_unparsed_at_once():
    for answer in (
        "(" * 10**6,
        "{" * 10**6 + "}" * 10**6,
        "\\frac{" * 10**5,
        "(" * 60 + ")" * 60,
        "9" * 10**6,
        "\\boxed{" * 10**5,
        "\\boxed{5}" * 10**5,
    ):
        begun = time.process_time()
        assert equality.quick("5", answer) == "unparsed"
        assert final_answer(f"so \\boxed{{{answer}") in (None, "5")
        assert audit("5", answer) is None
        assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so $\\boxed{5}$.", "5"),
        ("first \\boxed{4}, no, wait: \\boxed{5}", "5"),
        ("\\boxed{\\frac{1}{\\sqrt{3}}}", "\\frac{1}{\\sqrt{3}}"),
        ("the roots are $\\boxed{1}$ and $\\boxed{-2}$.", "1, -2"),
        ("$\\boxed{1}$, $\\boxed{2}$, $\\boxed{3}$", "1, 2, 3"),
        ("**Final Answer**\n\\[ \\boxed{5} \\]\n\n<|end_of_thought|> ... \\boxed{5}", "5"),
        ("no answer", None),
        ("cut in the box \\boxed{5", None),
        ("\\boxed{5} and then cut in the box \\boxed{6", None),
        ("\\boxed{}", ""),
        ("", None),
        ("Hence $\\boxed {5}$.", "5"),
        ("Hence $\\boxed 5$ and no more", "5"),
        ("it is \\boxed\\frac12.", "\\frac12"),
        ("first \\boxed{4}, then \\fbox{42}.", "42"),
        ("first \\boxed{4}, then \\boxed -3.5, and so on", "-3.5"),
        ("first \\boxed{4}, in \\boxed notation", "4"),
        ("the first \\boxed{\\boxed{5}}", "5"),
        ("$\\boxed{ 5 }$\n\n$\\boxed{5}$", "5"),
        ("$x=\\boxed{3}$ or $x=\\boxed{-1}$", "3, -1"),
        ("\\boxed{(2,2)} \\quad \\text{and} \\quad \\boxed{(6,2)}", "(2,2), (6,2)"),
        ("\\boxed{3} apples, and so \\boxed{4}", "4"),
        (
            "\\boxed{f=\\left\\{\\begin{array}{l}x\\\\-x\\end{array}\\right.}",
            "f=\\left\\{\\begin{array}{l}x\\\\-x\\end{array}\\right.",
        ),
        ("so \\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{5}. As asked, in \\boxed{}.", "5"),
        ("\\boxed{5}, in the form \\boxed{...}", "5"),
        ("\\boxed{5} goes where \\boxed{\\text{your answer}} is", "5"),
        ("\\boxed{...}", ""),
        ("\\boxed{?}", ""),
    ],
)
def test_the_final_answer_is_in_the_last_box_or_boxes(response, answer):
    assert final_answer(response) == answer


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_exception(text):
    final_answer(text)
    equality.quick("5", text)
    latex.clean(text)
    forms.words(text)
    audit("5", text)
    audit(text, "5")


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_the_audit_is_exact_on_fractions(a, b):
    written = f"\\frac{{{a.numerator}}}{{{a.denominator}}}"
    assert audit(written, f"{b.numerator}/{b.denominator}") == ("ok" if a == b else "wrong")


def test_plain_numbers_need_no_process(monkeypatch):
    monkeypatch.setattr(workers.subprocess, "Popen", None)
    assert grading.grade([("204", "204"), ("204", "205"), ("204", None)]) == ["ok", "wrong", "unparsed"]


def test_workers_that_are_killed_at_random_lose_nothing(monkeypatch):
    """Every worker is killed once, at its start, in the middle or idle; the replies stay the same."""
    requests = [{"gold": f"\\sqrt{{{n}}}", "answer": f"{n}^{{1/2}}"} for n in range(2, 42)]
    started, start = [], workers._start

    def start_and_remember():
        started.append(start())
        return started[-1]

    monkeypatch.setattr(workers, "_start", start_and_remember)
    done = threading.Event()

    def kill():
        killed = set()
        while not done.wait(0.3) and len(killed) < 4:
            for worker in started:
                if worker.pid not in killed and worker.poll() is None:
                    killed.add(worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
                    break

    killer = threading.Thread(target=kill)
    killer.start()
    replies = workers.replies(requests, workers=2)
    done.set()
    killer.join()
    assert replies == ["ok"] * len(requests)
    assert len(started) > 2


def test_no_worker_is_left_behind():
    workers.replies([{"gold": "\\sqrt{2}", "answer": "2^{1/2}"}])
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True).stdout
    assert [
        line for line in listed.splitlines() if line.split()[0] == str(os.getpid()) and "workers" in line
    ] == []


@needs_real
@pytest.mark.parametrize("name", ["aime24", "amc23", "math500", "olympiadbench"])
def test_every_gold_answer_is_right(name):
    """As a model would give it, in a box; and spelt otherwise, so that algebra has to decide."""
    golds = benchmarks.load(name, REAL / "benchmarks" / f"{name}.jsonl")["answer"].to_pylist()
    boxed = [(gold, final_answer(f"Therefore $\\boxed{{{gold}}}$.")) for gold in golds]
    assert grading.grade(boxed) == ["ok"] * len(golds)
    hard = sorted({gold for gold in golds if len(gold) > 4})[:60]
    respelt = [(gold, gold.replace("\\frac", "\\dfrac ")) for gold in hard]
    assert grading.grade(respelt) == ["ok"] * len(hard)


def mutated(gold: str, rng: random.Random) -> Iterator[str]:
    """The gold with one digit, sign, or word changed."""
    for digit in re.finditer(r"\d", gold):
        other = str((int(digit[0]) + rng.randint(1, 8)) % 10)
        yield gold[: digit.start()] + other + gold[digit.end() :]
    for sign in re.finditer(r"(?<![a-zA-Z\\])[+-]", gold):
        yield gold[: sign.start()] + {"+": "-", "-": "+"}[sign[0]] + gold[sign.end() :]
    for text in re.finditer(r"\\(?:text|mbox)\s*\{[^}]*?([a-zA-Z]{2,})[^a-zA-Z}]*\}", gold):
        yield gold[: text.start(1)] + "purple" + gold[text.end(1) :]


@needs_real
def test_a_gold_with_one_thing_changed_is_never_right():
    """1,000 mutations of real golds that are no plain numbers, either side being the gold."""
    rng = random.Random(0)
    names = ("math500", "olympiadbench")
    tables = [benchmarks.load(name, REAL / "benchmarks" / f"{name}.jsonl")["answer"] for name in names]
    golds = {gold for table in tables for gold in table.to_pylist() if re.search(r"[^-\d., ]", gold)}
    pairs = [(gold, changed) for gold in sorted(golds) for changed in mutated(gold, rng) if changed != gold]
    chosen = [pair[:: rng.choice((1, -1))] for pair in rng.sample(pairs, 1000)]
    verdicts = grading.grade(chosen)
    assert [pair for pair, verdict in zip(chosen, verdicts, strict=True) if verdict == "ok"] == []


def test_a_hand_written_answer_with_a_digit_changed_is_never_right():
    rng = random.Random(1)
    pairs = [
        (gold, changed)
        for expected, gold, answer, kind in PAIRS
        if expected == "ok" and "boxed twice" not in kind and gold == answer
        for changed in mutated(answer, rng)
    ]
    assert "ok" not in grading.grade(pairs)


@given(st.text(alphabet="1a .,(){}[]\\^_=<|:%$½²", max_size=200), st.sampled_from(["5", "x=1, 2", "(1,2]"]))
def test_odd_typesetting_is_compared_without_an_exception(text, gold):
    assert equality.quick(gold, text) in ("ok", "wrong", "unparsed", None)
    assert equality.quick(text, gold) in ("ok", "wrong", "unparsed", None)


@needs_real
def test_real_responses_get_the_reported_verdicts():
    """Two arms of the paper on AIME24 and AMC23: every verdict on an answer in a box is the reported one."""
    rows = [
        json.loads(line)
        for path in sorted((REAL / "published").glob("*32B*/*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert len(rows) == 140
    answers = [final_answer(row["code"][0]) for row in rows]
    verdicts = grading.grade([(str(row["gt"]), a) for row, a in zip(rows, answers, strict=True)])
    differ = [
        row["idx"]
        for row, answer, verdict in zip(rows, answers, verdicts, strict=True)
        if answer is not None and (verdict == "ok") != row["score"][0]
    ]
    assert differ == []


CASES = ROOT.parent / "shared" / "cases" / "public_reports.jsonl"


@pytest.mark.skipif(not CASES.exists(), reason="the cases from public reports are not beside the checkout")
def test_public_reports_of_other_packages_are_right_here():
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    graded = [case for case in cases if case["check"] == "grade"]
    verdicts = grading.grade([(case["gold"], final_answer(case["response"])) for case in graded])
    found = [(case, verdict) for case, verdict in zip(graded, verdicts, strict=True)]
    for case in cases:
        if case["check"] == "status":
            check = expressions.is_correct
            found.append((case, grading.status(case["response"], True, case["problem"], check)))
        elif case["check"] == "same_answer":
            found.append((case, equality.same_answer(case["found"], case["gold"])))
        elif case["check"] == "duplicate":
            found.append((case, plain_words(case["first"]) == plain_words(case["second"])))
        elif case["check"] == "leak":
            found.append((case, bool(leak(case["problem"], blocks({"b": [case["benchmark"]]})))))
        elif case["check"] == "code":
            answer = json.dumps({"entry": case["entry"], "tests": case["tests"]})
            found.append((case, grading.code_status(case | {"answer": answer, "finished": True})))
    assert len(found) == len(cases) == 46
    assert [(case["kind"], got) for case, got in found if not is_expected(got, case["expected"])] == []


def is_expected(got, expected) -> bool:
    if expected == "not unparsed":
        return got != "unparsed"
    return got in expected if isinstance(expected, list) else got == expected

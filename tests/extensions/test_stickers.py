"""SIFT with a scripted engine for each way through its stages; killed, in any order, with hostile text."""

import json
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.evaluation import benchmarks, journal
from helpers.evaluation.journal import Request, Response
from helpers.extensions import stickers
from helpers.puzzles import countdown

ROOT = Path(__file__).parents[2]
FACTS = "Sure:\n\n**Conditions:**\n1. draft {}\n\n**Question:** How many?\n\nThe answer is \\boxed{{77}}."
CALLS = {1: 4, 2: 7, 3: 11, 0: 11}  # by the stage at which predictions agree
ROUNDS = {1: 2, 2: 4, 3: 7, 0: 7}


def asked(*wanted: tuple[str, str], benchmark: str = "gsm8k", answer: str = "5") -> list[Request]:
    """The requests for direct answers to problems, given by id and text."""
    rows = [{"id": i, "problem": text, "answer": answer, "tolerance": 0.0} for i, text in wanted]
    table = pa.Table.from_pylist(rows, schema=benchmarks.COLUMNS)
    return journal.requests("base", 0, benchmark, table, 50, "scripted")


def operation(request: Request) -> str:
    """Which operation a prompt is for; a prediction is `alone` unless it sees the problem."""
    starts = {"Do not solve this problem. List": "sticker", "Do not solve this problem. Compare": "forward"}
    starts["Below is a solution"] = "inverse"
    said = next((name for start, name in starts.items() if request.prompt.startswith(start)), "")
    draft = re.search(r"1\. draft", request.prompt)
    return said or ("direct" if not draft else "both" if request.problem in request.prompt else "alone")


def reply(request: Request) -> str:
    """Predictions agree, on 5, from the draft on that the problem's id names; the direct answer is 4."""
    name = operation(request)
    if name in ("sticker", "inverse"):
        return FACTS.format({"sticker": 1, "inverse": "again"}[name])
    if name == "forward":
        return FACTS.format(3 if "draft again" in request.prompt else 2)
    if name == "direct":
        return "It is \\boxed{4}."
    draft, agrees = int(re.search(r"draft (\d)", request.prompt)[1]), int(request.problem_id[-1])
    return "So \\boxed{5}." if name == "both" or 0 < agrees <= draft else f"So \\boxed{{{90 + draft}}}."


def engine(requests, log, answer=reply, stop=10**9, order=iter):
    """A scripted engine that writes down what it is asked, and breaks after a number of responses."""
    for i in order(range(len(requests))):
        if len(log) >= stop:
            raise ConnectionError("the engine is gone")
        log.append(requests[i])
        text = answer(requests[i])
        yield i, Response(text, len(text), True)


def sift(todo, folder, **scripted):
    """Problems through the stages by a scripted engine and the journal; what came out, and what was asked."""
    log = scripted.pop("log", [])
    found = stickers.sift(
        todo, partial(journal.complete, engine=partial(engine, log=log, **scripted), folder=folder)
    )
    return found, log


@pytest.mark.parametrize("stage", CALLS)
def test_a_problem_ends_where_its_predictions_agree(tmp_path, stage):
    rounds = []
    todo = asked((f"p{stage}", "Add 2 and 3."))

    def ask(batch):
        rounds.append([operation(r) for r in batch])
        return journal.complete(batch, partial(engine, log=[]), tmp_path)

    (found,) = stickers.sift(todo, ask)
    pair = ["alone", "both"]
    whole = [["direct", "sticker"], pair, ["forward"], pair, ["inverse"], ["forward"], pair]
    assert found.stage == stage and rounds[: ROUNDS[stage]] == whole[: ROUNDS[stage]]
    assert not any(rounds[ROUNDS[stage] :]) and len(found.steps) == CALLS[stage]
    assert [s.operation for s in found.steps] == sum(whole[: ROUNDS[stage]], [])


@pytest.mark.parametrize("stage", CALLS)
def test_what_counts_after_each_stage_and_what_it_took(tmp_path, stage):
    todo = asked((f"p{stage}", "Add 2 and 3."))
    (found,), log = sift(todo, tmp_path)
    table = stickers.scored(todo, [found]).to_pylist()
    reached = [bool(stage) and after >= stage for after in range(4)]
    assert [row["status"] for row in table] == ["ok" if there else "wrong" for there in reached]
    assert [row["ended"] for row in table] == [stage if there else 0 for there in reached]
    most = CALLS[stage]
    assert [row["calls"] for row in table] == [1, min(4, most), min(7, most), most]
    assert table[-1]["tokens"] == sum(len(reply(r)) for r in log) and table[0]["tokens"] == 16
    assert len(log) == most


def test_only_problems_whose_predictions_differ_go_on_and_all_go_together(tmp_path):
    todo = asked(*((f"{n}-{k}", f"Add {n} and {k}.") for n in range(3) for k in CALLS))
    sizes = []

    def ask(batch):
        sizes.append(len(batch))
        return journal.complete(batch, partial(engine, log=[]), tmp_path)

    found = stickers.sift(todo, ask)
    assert [f.stage for f in found] == list(CALLS) * 3
    assert sizes == [24, 24, 9, 18, 6, 6, 12] and sum(sizes) == 3 * sum(CALLS.values())


def test_prompts_hold_what_the_paper_s_algorithm_gives_them(tmp_path):
    (found,), _ = sift(asked(("p0", "Add 2 and 3.")), tmp_path)
    seen = [(s.operation, s.prompt) for s in found.steps]
    sees = {"problem": "Add 2 and 3.", "example": "A baker", "prediction": "So \\boxed{5}."}
    holds = [(name, {what for what, text in sees.items() if text in prompt}) for name, prompt in seen]
    assert holds == [
        ("direct", {"problem"}), ("sticker", {"problem", "example"}), ("alone", set()), ("both", {"problem"}),
        ("forward", {"problem"}), ("alone", set()), ("both", {"problem"}), ("inverse", {"prediction"}),
        ("forward", {"problem"}), ("alone", set()), ("both", {"problem"}),
    ]  # fmt: skip
    drafts = [re.findall(r"draft (\w+)", prompt) for _, prompt in seen]
    assert drafts == [[], [], ["1"], ["1"], ["1"], ["2"], ["2"], [], ["again"], ["3"], ["3"]]
    assert not any("77" in prompt or "Sure" in prompt for _, prompt in seen), "a list ends with its question"


@pytest.mark.parametrize("stop", [0, 1, 5, 17, 30, 31])
def test_after_an_engine_that_breaks_only_what_is_missing_is_asked(tmp_path, stop):
    todo = asked(*((f"p{k}", f"Add 2 and {k}.") for k in CALLS))
    whole, _ = sift(todo, tmp_path / "whole")
    log = []
    with pytest.raises(ConnectionError):
        sift(todo, tmp_path, log=log, stop=stop)
    found, again = sift(todo, tmp_path)
    assert found == whole and len(log) == stop and len(again) == sum(CALLS.values()) - stop
    assert not {r.key for r in log} & {r.key for r in again}
    assert sift(todo, tmp_path)[1] == []


KILLED = """
import json, os, signal, sys
from functools import partial
from helpers.evaluation import journal
from helpers.extensions import stickers
from tests.extensions.test_stickers import CALLS, asked, engine, reply, sift

def answer(request):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return reply(request)

left = [int(sys.argv[2])]
todo = asked(*((f"p{k}", f"Add 2 and {k}.") for k in CALLS))
found, _ = sift(todo, sys.argv[1], answer=answer)
print(json.dumps([[f.stage, [s.response.text for s in f.steps]] for f in found]))
"""


def test_a_process_that_is_killed_again_and_again_loses_and_repeats_nothing(tmp_path):
    def run(name, responses):
        command = [sys.executable, "-c", KILLED, str(tmp_path / name), str(responses)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    whole = run("whole", 10**9)
    assert whole.returncode == 0, whole.stderr
    for _ in range(3):
        assert run("broken", 9).returncode == -signal.SIGKILL
    with (tmp_path / "broken" / "base.s0.jsonl").open("a") as file:
        file.write('{"key": "cut in ha')
    assert run("broken", 10**9).stdout == whole.stdout
    lines = (tmp_path / "broken" / "base.s0.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines if line.endswith("}")]
    assert len(keys) == len(set(keys)) == sum(CALLS.values()) and len(lines) == len(keys) + 1


@given(st.permutations(range(8)), st.permutations(range(8)), st.booleans())
def test_neither_the_problems_order_nor_the_engine_s_changes_anything(tmp_path_factory, order, part, turned):
    folder = tmp_path_factory.mktemp("journal")
    problems = [(f"{n}-{n % 4}", f"Add {n} and 1.") for n in range(8)]
    usual = dict(zip(problems, sift(asked(*problems), folder / "a")[0], strict=True))
    shuffled = [problems[i] for i in order]
    found, _ = sift(asked(*shuffled), folder / "b", order=reversed if turned else iter)
    assert dict(zip(shuffled, found, strict=True)) == usual
    few = [problems[i] for i in part[:3]]
    assert sift(asked(*few), folder / "c")[0] == [usual[problem] for problem in few]


def test_a_sticker_that_is_not_changed_is_not_predicted_from_again(tmp_path):
    todo = asked(("p", "Add 2 and 3."))

    def stubborn(request):
        return f"\\boxed{{{len(operation(request))}}}" if "Return your" in request.prompt else FACTS.format(1)

    (found,), log = sift(todo, tmp_path, answer=stubborn)
    assert found.stage == 0 and len(found.steps) == 11 and len(log) == 6
    assert [row["calls"] for row in stickers.scored(todo, [found]).to_pylist()] == [1, 4, 5, 6]


@pytest.mark.parametrize(
    ("alone", "both", "agree"),
    [
        ("\\boxed{1/2}", "\\boxed{0.5}", True),
        ("\\boxed{0.5}", "\\boxed{\\frac{1}{2}}", True),
        ("\\boxed{\\$5}", "\\boxed{5 \\text{ dollars}}", True),
        ("\\boxed{5}", "\\boxed{5.0}", True),
        ("\\boxed{\\$9{,}500}", "\\boxed{9500}", True),
        ("\\boxed{8,000}", "\\boxed{8000}", True),
        ("\\boxed{-3}", "\\boxed{3}", False),
        ("\\boxed{5}", "\\boxed{6}", False),
        ("", "", False),
        ("5", "5", False),
        ("\\boxed{}", "\\boxed{}", False),
        ("\\boxed{5}", "", False),
        ("\\boxed{5", "\\boxed{5}", False),
        ("\\boxed{2**30**5}", "\\boxed{2**30**6}", False),
        ("\\boxed{__import__('os').abort()}", "\\boxed{5}", False),
    ],
)
def test_answers_are_equal_as_the_grader_says_in_either_order(tmp_path, alone, both, agree):
    for k, said in enumerate(({"alone": alone, "both": both}, {"alone": both, "both": alone})):
        (found,), _ = sift(
            asked(("p1", "Add.")),
            tmp_path / str(k),
            answer=lambda r, said=said: said.get(operation(r)) or ("" if operation(r) in said else reply(r)),
        )
        assert (found.stage > 0) == agree


HOSTILE = [
    "{", "}", "{0}", "{problem}", "{form} {sticker} {prediction}", "{problem.__class__.__mro__}", "%s %(x)d",
    "\\boxed{9}", "\\boxed{", "**Conditions:** **Question:**", "</think>", "```", "\\",
    "\x00\u2028\ud7ff", "🧮", "Do not solve this problem. List what it says",
    "Return your final response within \\boxed{}.",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_of_problems_and_models_goes_through_as_it_is(tmp_path, text):
    todo = asked(("a", text), ("b", f"Add {text} and 1."))
    found, log = sift(todo, tmp_path, answer=lambda request: text)
    assert all(len({s.prompt for s in f.steps}) == stickers.scored(todo, found).to_pylist()[k]["calls"]
               for k, f in zip((3, 7), found, strict=True))  # fmt: skip
    assert all(request.problem in s.prompt for f, request in zip(found, todo, strict=True)
               for s in f.steps if s.operation in ("direct", "sticker", "forward", "both"))  # fmt: skip
    assert len({(r.problem_id, r.prompt) for r in log}) == len(log) == len({r.key for r in log})


@given(st.text(), st.sampled_from(["sticker", "forward", "inverse", "both"]))
def test_a_list_is_a_part_of_its_response(text, name):
    step = stickers.Step(1, name, "", Response(text, 1, True))
    assert step.text in text


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (FACTS.format(1), "**Conditions:**\n1. draft 1\n\n**Question:** How many?"),
        ("<think>\n**Conditions:** 9\n</think>\n\nConditions:\n1. a\nQuestion:\nWhy?\nB",
         "Conditions:\n1. a\nQuestion:\nWhy?"),
        ("<think>\nThe list: **Conditions:**\n1. Wait, no", ""),
        ("<think>\na\n</think>\nConditions:\n1. b\n<think>c", "Conditions:\n1. b"),
        ("**Conditions:**\n1. cut in the mid", "**Conditions:**\n1. cut in the mid"),
        ("No list, sorry. ", "No list, sorry."),
        ("", ""),
    ],
)  # fmt: skip
def test_a_list_begins_with_its_heading_and_ends_with_its_question(response, text):
    assert stickers.Step(1, "sticker", "", Response(response, 1, True)).text == text


UNITS = [
    "*",
    "conditions:",
    "**Conditions:**\n",
    "question:",
    "\n",
    "**",
    "</think>",
    "question:\n\n",
    "<think>",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("start", ["", "Conditions:", "Conditions:\nquestion:"])
def test_long_hostile_responses_take_no_time(start, unit):
    begun = time.process_time()
    assert stickers.Step(1, "sticker", "", Response(start + unit * 20_000, 1, False)).text is not None
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("benchmark", ["countdown", "islanders-hard", "livecodebench"])
def test_puzzles_and_programs_are_refused(tmp_path, benchmark):
    todo = [r for r in asked(("p", "Add.")) for r in [Request(**vars(r) | {"benchmark": benchmark})]]
    with pytest.raises(ValueError, match=f"{benchmark}: answers are compared as mathematics"):
        sift(todo, tmp_path)


def test_braces_in_a_prompt_are_kept(monkeypatch):
    monkeypatch.setitem(stickers.PROMPTS, "inverse", "{'a': 1} or \\boxed{} {0} {x}, {form}: {prediction}")
    monkeypatch.setitem(stickers.PROMPTS, "form", "F")
    said = stickers.filled("inverse", prediction="{form} \\1 {")
    assert said == "{'a': 1} or \\boxed{} {0} {x}, F: {form} \\1 {"


def test_another_limit_or_model_is_asked_again(tmp_path):
    todo = asked(("p1", "Add 2 and 3."))
    sift(todo, tmp_path)
    for change in ({"max_new_tokens": 60}, {"model": "another"}):
        given = {"max_new_tokens": 50, "model": "scripted"} | change
        table = pa.table({"id": ["p1"], "problem": ["Add 2 and 3."], "answer": ["5"]})
        assert len(sift(journal.requests("base", 0, "gsm8k", table, **given), tmp_path)[1]) == 4


def test_no_problem_is_nothing_to_ask(tmp_path):
    assert sift([], tmp_path) == ([], [])


@given(st.tuples(*[st.integers(1, 99)] * 3), st.integers(1, 99), st.integers(1, 99))
def test_an_opening_is_right_if_it_has_the_puzzle_s_numbers(numbers, target, other):
    problem = countdown.problem_text(numbers, target)
    assert stickers.quoted(problem, f"<think>\n{countdown.opening(numbers, target)} 1+1=2.") == "right"
    assert stickers.quoted(problem, "<think>\n1+1=2. No.") == "absent"
    changed = countdown.opening(numbers, other)
    assert stickers.quoted(problem, changed) == ("right" if other == target else "misquoted")

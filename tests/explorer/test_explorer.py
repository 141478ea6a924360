import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.traces import Trace, short_traces, write_table
from helpers.explorer import responses, widgets
from helpers.explorer.dangling import dangling
from helpers.explorer.markup import difference, mark
from helpers.explorer.trace_view import aligned, render
from helpers.explorer.widgets import compare, explore
from helpers.perturbations.arms import PERTURBATIONS, Perturbed, perturb
from helpers.perturbations.metrics import metrics
from helpers.perturbations.steps import Step
from helpers.puzzles import countdown
from tests.explorer.test_browser import ATTACKS

POOL = countdown.correct_traces("train", 60, seed=0)
LONG = next(t for t in POOL if len(t.steps) > 6)
ARMS = [f"{name}-50" for name in PERTURBATIONS]
HOSTILE = st.lists(
    st.sampled_from([*ATTACKS, "<", ">", "&", '"', "'", "a", "1", " ", "\n", "]]>"]), max_size=5
).map("".join)
TAGS = {"style", "p", "div", "b", "small", "ins", "del", "mark", "span", "ul", "li", "svg", "path", "table"}
TAGS |= {"thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "viewbox", "preserveaspectratio", "role", "aria-label", "d", "title", "style"}


class Reader(HTMLParser):
    """The tags of a page, whether they close in order, and its text outside <style>."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""

    def only_ours(self):
        """Whether nothing but the explorer's own markup is there."""
        return (
            self.open == []
            and {tag for tag, _ in self.tags} <= TAGS
            and {name for _, attributes in self.tags for name in attributes} <= ATTRIBUTES
        )


def cells(page):
    """The classes of the steps' cells, in the order of the page."""
    return [a["class"] for t, a in page.tags if t == "td" and "trace-step" in a.get("class", "")]


@pytest.mark.parametrize("arm", ARMS)
def test_every_step_is_shown_word_for_word(arm):
    result = perturb(LONG, arm, 0, POOL)
    page = Reader(render(result, arm))
    assert page.only_ours()
    for text in (*LONG.steps, *(s.text for s in result.steps), LONG.problem, LONG.solution, arm):
        assert text in page.text


@pytest.mark.parametrize("arm", ARMS)
def test_what_happened_is_told_in_words_and_by_class(arm):
    result = perturb(LONG, arm, 0, POOL)
    page = Reader(render(result, arm))
    for place, step in enumerate(result.steps):
        assert f"{place} {step.change}" in page.text
        if step.change == "moved":
            way = "↗" if place < step.index else "↘"
            assert f"{place} moved {way} from {step.index}" in page.text
            assert f"{step.index} moved {way} to {place}" in page.text
        if step.change == "foreign":
            assert f"from {step.trace} step {step.index}" in page.text
    gone = set(range(len(LONG.steps))) - {s.index for s in result.steps if s.change != "foreign"}
    assert all(f"{i} deleted" in page.text for i in gone)
    assert len(cells(page)) == len(LONG.steps) + len(result.steps) + 2


@pytest.mark.parametrize("arm", ARMS)
def test_kept_steps_stand_beside_their_original(arm):
    result = perturb(LONG, arm, 0, POOL)
    rows = aligned(result.steps, len(LONG.steps))
    assert [i for i, _ in rows if i is not None] == list(range(len(LONG.steps)))
    assert [p for _, p in rows if p is not None] == list(range(len(result.steps)))
    kept = {p: s.index for p, s in enumerate(result.steps) if s.change in ("kept", "edited")}
    assert {p: i for i, p in rows if p in kept} == kept


def test_a_step_that_is_said_twice_is_shown_twice():
    steps = [Step(text, LONG.id, i) for i, text in enumerate(LONG.steps)]
    page = Reader(render(Perturbed(LONG, (steps[0], steps[0], *steps[1:]))))
    assert "0 kept, again at 1" in page.text and "1 kept, was 0" in page.text
    assert len(cells(page)) == 2 * len(LONG.steps) + 3


def test_an_emptied_thought_is_said_to_be_empty_and_a_missing_one_to_be_missing():
    assert "an empty thought" in render(perturb(LONG, "delete-100", 0, POOL))
    short = short_traces([LONG])[0]
    assert "no thought" in render(perturb(short, "short", 0, []))


def test_the_numbers_are_those_of_the_metrics():
    result = perturb(LONG, "shuffle-67", 0, POOL)
    page = Reader(render(result, "shuffle-67", tokens=len))
    found = metrics(LONG.steps, result.steps)
    assert f"structural consistency {100 * found['consistency']:.0f}%" in page.text
    assert f"kept word for word {100 * found['kept']:.0f}%" in page.text
    assert f"tokens {len(perturb(LONG, 'correct', 0, POOL).response)} → {len(result.response)}" in page.text


def test_the_picture_has_a_line_for_each_step_and_none_for_what_is_gone():
    page = Reader(render(perturb(LONG, "shuffle-100", 0, POOL)))
    lines = {a["class"]: a["d"].count("M") for t, a in page.tags if t == "path"}
    assert sum(lines.values()) == len(LONG.steps)
    page = Reader(render(perturb(LONG, "delete-100", 0, POOL)))
    assert [a["class"] for t, a in page.tags if t == "path"] == ["map-deleted"]


@given(HOSTILE, HOSTILE)
def test_both_sides_of_a_difference_are_the_texts(old, new):
    before, after = difference(old, new)
    assert "".join(t for t, _ in before) == old and "".join(t for t, _ in after) == new
    same = ["".join(t for t, changed in side if not changed) for side in (before, after)]
    assert same[0] == same[1]
    assert (old == new) == (not any(changed for _, changed in (*before, *after)))


def test_a_changed_digit_is_marked_and_its_neighbours_are_not():
    assert difference("5+19=24.", "5+17=24.") == (
        [("5+1", False), ("9", True), ("=24.", False)],
        [("5+1", False), ("7", True), ("=24.", False)],
    )
    before, after = difference("Wait. 5+8=13.", "5+8=13.")
    assert [t for t, changed in before if changed] == ["Wait. "] and after == [("5+8=13.", False)]


@given(st.lists(st.tuples(HOSTILE, st.booleans()), max_size=5), st.sampled_from(["a", "1", "<", "a1", "&"]))
def test_what_is_found_is_marked_across_pieces_and_no_text_is_lost(pieces, find):
    page = Reader(str(mark(pieces, re.compile(re.escape(find)), "ins")))
    assert page.text == "".join(text for text, _ in pieces)
    assert page.open == [] and {tag for tag, _ in page.tags} <= {"ins", "mark"}
    assert ("mark" in {tag for tag, _ in page.tags}) == (find in page.text)


def test_hits_are_counted_on_either_side():
    trace = Trace("t", "wait", ("Wait 1.", "No. wait, WAIT", "b"), "s", "1", "x")
    page = Reader(render(Perturbed(trace, (Step("b", "t", 2),)), find="wait"))
    assert "“wait” found 3 times in the original, 0 times in the result" in page.text
    assert [tag for tag, _ in page.tags].count("mark") == 4  # the problem's too


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_of_a_trace_becomes_markup(one, two, three):
    trace = Trace(one, two, (one, two, three), three, one, two, three)
    steps = (
        Step(two + "7", one, 0, "edited"),
        Step(three, one, 2, "moved"),
        Step(one, two + three, 4, "foreign"),
    )
    page = Reader(render(Perturbed(trace, steps, one), two, find=three))
    assert page.only_ours()
    for text in (one, two, three):
        assert text in page.text


def test_rendering_is_self_contained():
    page = render(perturb(LONG, "insert-50", 0, POOL))
    assert "http" not in page and "url(" not in page and "@import" not in page and "<script" not in page


def test_a_changed_solution_is_shown_as_such():
    result = perturb(LONG, "numbers-100", 0, POOL)
    page = Reader(render(result, "numbers-100"))
    assert result.solution in page.text and LONG.solution in page.text
    assert page.text.count("solution, edited") == 2 and "as it was" not in page.text


def test_a_long_step_is_compared_as_a_whole():
    trace = Trace("t", "p", ("ab " * 10_000, "b"), "s", "1", "x")
    page = Reader(render(perturb(trace, "filler-100", 0, [])))
    assert page.text.count("ab " * 10_000) == 1


# The controls.


def parts(widget):
    """The controls of an explorer by their description, and what it shows."""
    rows = [row.children if hasattr(row, "children") else (row,) for row in widget.children]
    return {control.description or "shown": control for row in rows for control in row}


def test_the_widget_shows_what_its_controls_say():
    found = parts(explore(POOL, tokenizer=""))
    found["trace"].value, found["arm"].value, found["per cent"].value, found["seed"].value = (
        3,
        "insert",
        33,
        5,
    )
    assert found["shown"].value == render(perturb(POOL[3], "insert-33", 5, POOL), "insert-33")


def test_a_state_copied_as_code_comes_back():
    found = parts(explore(POOL))
    found["trace"].value, found["arm"].value, found["seed"].value = 7, "delete", 2
    found["find"].value = 'it\'s "20"'
    assert found["as code"].value.startswith('explore(traces, trace=7, arm="delete-67", seed=2, find=')
    again = parts(eval(found["as code"].value, {"explore": explore, "traces": POOL}))
    assert again["shown"].value == found["shown"].value and again["as code"].value == found["as code"].value


def test_tokens_are_those_of_the_base_model():
    page = Reader(parts(explore([LONG], arm="delete-100"))["shown"].value)
    count = widgets.counter(widgets.BASE)
    assert f"tokens {count(perturb(LONG, 'correct', 0, []).response)} → " in page.text


def test_previous_and_next_walk_and_with_a_text_to_traces_that_have_it():
    found = parts(explore(POOL))
    found["next ▶"].click()
    found["next ▶"].click()
    found["◀ previous"].click()
    assert found["trace"].value == 1
    found["find"].value = POOL[40].problem
    found["next ▶"].click()
    assert found["trace"].value == 40
    found["next ▶"].click()
    assert found["trace"].value == 40
    found["find"].value = ""
    found["trace"].value = 59
    found["next ▶"].click()
    assert found["trace"].value == 59


def test_arms_of_other_kinds_of_traces_have_their_own_traces():
    traces = {"correct": POOL, "wrong": countdown.wrong_traces("train", 5, 0), "short": []}
    found = parts(explore(traces, trace=50, arm="shuffle-50"))
    assert "wrong" in found["arm"].options and "short" not in found["arm"].options
    found["arm"].value = "wrong"
    assert found["trace"].value == 4 and found["per cent"].disabled
    assert found["as code"].value == 'explore(traces, trace=4, arm="wrong", seed=0)'
    found["arm"].value = "delete"
    assert not found["per cent"].disabled and found["trace"].max == 59


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trace": 60}, "there is no trace 60: choose 0 to 59, or an id like 'countdown-train-0'"),
        ({"trace": "x"}, "there is no trace 'x'"),
        ({"arm": "shufle-67"}, "did you mean 'shuffle-67'"),
        ({"arm": "wrong"}, "needs wrong traces"),
    ],
)
def test_a_state_that_cannot_be_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore(POOL, **arguments)
    with pytest.raises(ValueError, match="run notebook 01"):
        explore({"correct": []})


def test_a_trace_can_be_chosen_by_its_id():
    assert parts(explore(POOL, trace=POOL[8].id))["trace"].value == 8


def test_an_arm_that_a_trace_cannot_have_is_told():
    found = parts(explore([Trace("<b>", "p", ("a", "b"), "s", "1", "x")] * 2))
    found["arm"].value = "propagated"
    assert "&lt;b&gt;: step 0 is no step of a Countdown puzzle" in found["shown"].value


def test_only_what_both_versions_of_ipywidgets_have_is_used():
    common = {
        "Text": {"value", "description", "placeholder", "layout"},
        "HTML": set(),
        "HBox": set(),
        "VBox": set(),
        "Button": {"description", "layout"},
        "Dropdown": {"options", "value", "description", "layout"},
        "IntSlider": {"value", "min", "max", "description", "continuous_update"},
        "BoundedIntText": {"value", "min", "max", "description", "layout"},
        "Layout": {"width"},
    }
    used = 0
    for path in (Path(widgets.__file__),):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ipywidgets":
                assert node.attr in common or node.attr == "Widget"
            if (
                isinstance(node, ast.Call)
                and getattr(getattr(node.func, "value", None), "id", "") == "ipywidgets"
            ):
                assert {k.arg for k in node.keywords} <= common[node.func.attr]
                used += 1
    assert used > 10 and all(hasattr(ipywidgets, name) for name in common)


# Two models, one problem.

PROBLEM = "Use 5, 19 and 20 to make 6."


def test_a_sound_search_refers_to_nothing_that_is_not_there():
    assert [dangling(t.problem, perturb(t, "correct", 0, []).response) for t in POOL] == [[]] * len(POOL)


@pytest.mark.parametrize(
    ("response", "unknown"),
    [
        ("5+19=24. With 20: 44, 4, 480. No 6.\n\n19-8=11. 11+5=16", ["8"]),
        ("Let me make 7 from 5, 17 and 20.", ["7", "17"]),
        ("3+9=12. With 4: 16, 8. No 6. 12-8=4.", ["3", "9", "4"]),
        ("Yes, 20-14=6.", ["14"]),
        ("6+5=11. The answer is \\boxed{(20 - 6) × 5}.", ["6", "6"]),
        ("=" * 50 + "٣ <b>", []),
    ],
)
def test_numbers_that_nothing_gave_are_found(response, unknown):
    assert [response[a:b] for a, b in dangling(PROBLEM, response)] == unknown


@pytest.mark.parametrize(
    ("response", "unknown"),
    [
        ("Step 1: add. By step 1 and step 2 we are done.", ["step 2"]),
        ("**Case 1.** x > 0. In case 1, and case (3), fine.", ["case (3"]),
        ("1. add\n2) go on\n\nas in step 2, not step 3", ["step 3"]),
        ("Step 4 is next. In step 4 no more. 8-5=3", []),
    ],
)
def test_steps_that_nothing_numbered_are_found_in_any_other_text(response, unknown):
    assert [response[a:b] for a, b in dangling("Prove it.", response)] == unknown


@given(HOSTILE, HOSTILE)
def test_any_text_is_compared(problem, response):
    spans = dangling(problem, response) + dangling(PROBLEM, response)
    assert all(0 <= a < b <= len(response) for a, b in spans)


def row(response, **changes):
    base = {"problem": PROBLEM, "answer": "6", "tokens": 9, "finished": True, "status": "ok"}
    return base | {"response": response} | changes


def test_two_responses_are_shown_with_verdicts_and_marks():
    left = row("5+19=24. No 6.\n\nWait. 20-14=6.")
    right = row("5+19=24. No 6.\n\n3+4=7.", status="truncated")
    page = Reader(responses.render([("correct.s0", left), ("shuffle-67.s0", right)]))
    assert "✓ right 9 tokens, 1 keywords, 1 references to nothing" in page.text
    assert "✂ cut off before its end 9 tokens, 0 keywords, 2 references" in page.text
    assert page.text.count("= 0 the same") == 2 and page.only_ours()
    classes = [a.get("class") for tag, a in page.tags if tag == "span"]
    assert classes.count("keyword") == 2 and classes.count("missing") == 4  # one of each in the legend


@given(HOSTILE, HOSTILE, st.sampled_from([PROBLEM, *ATTACKS]))
def test_no_text_of_a_response_becomes_markup(one, two, problem):
    rows = [(name, row(name, problem=problem, answer=one, status=two)) for name in (one, two)]
    page = Reader(responses.render(rows))
    assert page.only_ours()
    for text in (one, two):
        for line in text.splitlines():
            assert line.rstrip() in page.text


def write_run(folder, run, responses, statuses):
    keys = {"benchmark": ["countdown"] * 3 + ["countdown-hard"], "problem_id": ["a", "b", "c", "d"]}
    texts = {"problem": [PROBLEM] * 4, "answer": ["6"] * 4, "response": responses}
    more = {"tokens": [1] * 4, "finished": [True] * 4}
    for name, columns in {"generations": texts | more, "scores": {"status": statuses}}.items():
        (folder / name).mkdir(exist_ok=True)
        extra = {"correct": [s == "ok" for s in statuses]} if name == "scores" else {}
        write_table(pa.table(keys | columns | extra), folder / name / f"{run}.parquet")


def test_the_comparison_walks_to_the_problems_asked_for(tmp_path):
    write_run(tmp_path, "correct.s0", ["Aw", "Ax", "Ay", "Az"], ["ok", "ok", "ok", "wrong"])
    write_run(tmp_path, "shuffle-67.s0", ["Bw", "Bx", "By", "Bz"], ["ok", "ok", "wrong", "ok"])
    found = parts(compare(tmp_path, "correct.s0", "shuffle-67.s0"))
    assert "Aw" in found["shown"].value and "Bw" in found["shown"].value
    found["show"].value = "verdicts differ"
    found["next ▶"].click()
    assert found["problem"].value == 2 and "By" in found["shown"].value
    again = parts(eval(found["as code"].value, {"compare": compare}))
    assert again["shown"].value == found["shown"].value
    found["benchmark"].value = "countdown-hard"
    assert found["problem"].value == 0 and "Az" in found["shown"].value
    with pytest.raises(ValueError, match="no responses and scores of 'wrong.s0'"):
        compare(tmp_path, "correct.s0", "wrong.s0")
    with pytest.raises(ValueError, match="no responses to 'aime', but to countdown, countdown-hard"):
        compare(tmp_path, "correct.s0", "shuffle-67.s0", "aime")

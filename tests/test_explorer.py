from html.parser import HTMLParser

import pytest

from helpers import puzzles
from helpers.explorer import render
from helpers.explorer_widget import explore
from helpers.perturbations import PERTURBATIONS, Perturbed, Step, perturb
from helpers.traces import Trace

POOL = puzzles.correct_traces("train", 60, seed=0)
LONG = next(t for t in POOL if len(t.steps) > 6)
ARMS = [f"{name}-50" for name in PERTURBATIONS]


class Reader(HTMLParser):
    """The tags of a page, whether they close in order, and its text outside <style>."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""


@pytest.mark.parametrize("arm", ARMS)
def test_every_step_is_shown_word_for_word(arm):
    result = perturb(LONG, arm, 0, POOL)
    page = Reader(render(result, arm))
    assert page.open == []
    for text in (*LONG.steps, *(s.text for s in result.steps), LONG.problem, LONG.solution, arm):
        assert text in page.text


@pytest.mark.parametrize("arm", ARMS)
def test_what_happened_is_told_in_words_and_by_class(arm):
    result = perturb(LONG, arm, 0, POOL)
    page = Reader(render(result, arm))
    classes = [a["class"] for t, a in page.tags if "trace-step" in a.get("class", "")]
    assert classes[-len(result.steps) - 1 : -1] == [f"trace-step trace-{s.change}" for s in result.steps]
    for place, step in enumerate(result.steps):
        assert f"{place} {step.change}" in page.text
        if step.change == "moved":
            assert f"{place} moved from {step.index}" in page.text
            assert f"{step.index} moved to {place}" in page.text
        if step.change == "foreign":
            assert f"from {step.trace} step {step.index}" in page.text
    gone = set(range(len(LONG.steps))) - {s.index for s in result.steps if s.change != "foreign"}
    assert all(f"{i} deleted" in page.text for i in gone)


def test_an_emptied_thought_is_said_to_be_empty():
    assert "an empty thought" in render(perturb(LONG, "delete-100", 0, POOL))


def test_no_text_of_a_trace_becomes_markup():
    attack = "</style></div><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\"'"
    trace = Trace(attack, attack, (attack, attack + "1", attack + "2"), attack, attack, attack, attack)
    steps = (
        Step(attack + "7", attack, 1, "edited"),
        Step(attack, attack, 0, "moved"),
        Step(attack, attack + "u", 4, "foreign"),
    )
    page = Reader(render(Perturbed(trace, steps), attack))
    assert page.open == [] and page.text.count("<script>") > 8
    assert {tag for tag, _ in page.tags} <= {"style", "p", "div", "b", "small", "ins", "del"}
    assert all(set(attributes) <= {"class"} for _, attributes in page.tags)


def test_rendering_is_self_contained():
    page = render(perturb(LONG, "insert-50", 0, POOL))
    assert "http" not in page and "url(" not in page and "@import" not in page


def test_the_widget_shows_what_its_controls_say():
    widget = explore(POOL)
    trace, arm, percent, seed = (control for row in widget.children[:2] for control in row.children)
    trace.value, arm.value, percent.value, seed.value = 3, "insert", 33, 5
    assert widget.children[2].value == render(perturb(POOL[3], "insert-33", 5, POOL), "insert-33")


def test_a_changed_solution_is_shown_as_such():
    result = perturb(LONG, "numbers-100", 0, POOL)
    page = Reader(render(result, "numbers-100"))
    assert result.solution in page.text and LONG.solution in page.text
    assert page.text.count("solution, edited") == 2 and "as it was" not in page.text


def test_a_long_step_is_compared_as_a_whole():
    trace = Trace("t", "p", ("ab " * 10_000, "b"), "s", "1", "x")
    page = Reader(render(perturb(trace, "filler-100", 0, [])))
    assert page.text.count("ab " * 10_000) == 1


def test_an_arm_that_a_trace_cannot_have_is_told():
    widget = explore([Trace("<b>", "p", ("a", "b"), "s", "1", "x")] * 2)
    widget.children[0].children[1].value = "propagated"
    assert "&lt;b&gt;: step 0 is no step of a puzzle" in widget.children[2].value

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.segmentation import (
    OPENING,
    WINDOW,
    boundaries,
    boundary_f1,
    numbers_named,
    opens,
    paragraphs,
    segment,
    segment_with_model,
    units,
    window_diff,
)
from helpers.data.traces import thought
from helpers.puzzles import countdown

PARTS = (
    "So 3+5=8. ",
    "Wait, no. ",
    "Alternatively, I can add 5 and 7 and see where that leads to.",
    "Let me check: 2.5 is\n",
    "\n\n",
    "But this seems wrong!",
    " ",
    "検算します。",
    "### Step 2: more\r\n",
    "\ud800",
    "Hmm",
)
texts = st.one_of(st.text(), st.lists(st.sampled_from(PARTS), max_size=30).map("".join))


@given(texts)
def test_steps_joined_are_the_thought_whatever_the_text(text):
    for steps in (segment(text), paragraphs(text), units(text)):
        assert "".join(steps) == text
        assert all(steps)


@given(texts)
def test_steps_that_were_cut_join_as_a_thought_too(text):
    assert thought(segment(text)) == text


@given(texts)
def test_a_step_begins_where_a_unit_does(text):
    assert set(boundaries(segment(text))) <= set(boundaries(units(text)))


@pytest.mark.parametrize(
    "opening",
    [
        "Wait, that is not it.",
        "But wait, 7 is left.",
        "Hmm, no.",
        "Alternatively, I use 7.",
        "Maybe there's a better way.",
        "Let me double-check that.",
        "But just to be sure, I add.",
        "This is getting complicated.",
        "However, 3 is odd.",
        "Another approach is to add.",
        "### Step 2: Add",
        "**Case 1:** n is even",
        "Let’s verify this.",
        "Is there another way to do it?",
        "What if n is odd?",
    ],
)
@pytest.mark.parametrize("gap", [" ", "\n", "\n\n"])
def test_a_step_begins_where_a_sentence_or_paragraph_opens_so(opening, gap):
    before = f"The sum of three and five is eight, which is even.{gap}"
    assert segment(before + opening) == (before, opening)


@pytest.mark.parametrize(
    "line",
    [
        "So the sum is 8.",
        "I can wait for the second term.",
        "The waiter, however, pays.",
        "Let me try to solve these equations step by step.",
        "Let me denote the number by n.",
        "But the sum is 8.",
        "Therefore, we check nothing.",
    ],
)
def test_a_line_that_goes_on_begins_no_step(line):
    assert len(segment(f"The sum of three and five is eight, which is even. {line}")) == 1


def test_openings_that_follow_at_once_are_one_step():
    text = "The sum of three and five is eight, which is even. Wait. Hmm, no. Actually, it is seven."
    assert len(segment(text)) == 2


def test_nothing_has_no_step_and_ten_megabytes_end():
    assert segment("") == paragraphs("") == ()
    for text in ("\n" * 10**7, ". " * 3 * 10**5, "." * 10**7, " " * 10**7, "Wait, no.\n\n" * 9 * 10**5):
        assert "".join(segment(text)) == text


def test_puzzle_traces_are_cut_where_the_solver_reflects():
    trace = next(t for t in countdown.correct_traces("train", 50, 0) if len(t.steps) == 9)
    text = thought(trace.steps)
    cut = segment(text)
    openings = (*countdown.REFLECTIONS[:2], "However", countdown.NEW_PAIR)
    found = [step for step in trace.steps if step.startswith(openings)]
    assert [step.strip() for step in cut][-1].endswith(trace.steps[-1])
    assert sum(step.startswith(openings) for step in cut) == len(found)


LINES = "One is here. Two is here. Three is here. Four is here."


def test_a_model_only_names_boundaries():
    shown = []

    def ask(prompt):
        shown.append(prompt)
        return "<think>3? 4?</think> 1, 3 and 99, 0, -7. Four is forged."

    steps, invented = segment_with_model(LINES, ask)
    assert steps == ("One is here. Two is here. ", "Three is here. Four is here.")
    assert invented == 3
    assert "[4] Four is here." in shown[0] and "[5]" not in shown[0]


@given(texts, st.text())
def test_whatever_a_model_answers_the_steps_are_the_thought(text, answer):
    assert "".join(segment_with_model(text, lambda prompt: answer)[0]) == text


def test_a_long_thought_is_shown_in_windows():
    text = "".join(f"Sentence {i}. " for i in range(2 * WINDOW + 5))
    answers = iter([f"{WINDOW}", f"{WINDOW}, {WINDOW + 2}", "1"])
    steps, invented = segment_with_model(text, lambda prompt: next(answers))
    assert len(steps) == 3 and invented == 2


@given(texts)
def test_a_segmentation_agrees_with_itself(text):
    assert boundary_f1(segment(text), segment(text)) == 1
    assert window_diff(segment(text), segment(text)) == 0


@given(texts, st.integers(0, 100))
def test_agreement_is_a_share_and_f1_symmetric(text, seed):
    rng = random.Random(seed)
    other, parts = [], units(text)
    for part in parts:
        if other and rng.random() < 0.6:
            other[-1] += part
        else:
            other.append(part)
    assert 0 <= boundary_f1(segment(text), other) == boundary_f1(other, segment(text)) <= 1
    assert 0 <= window_diff(segment(text), other) <= 1


def test_known_agreements():
    a = ["One. Two. Three. ", "Four. Five. Six."]
    near = ["One. Two. ", "Three. Four. Five. Six."]
    far = ["One. ", "Two. Three. Four. Five. Six."]
    assert boundary_f1(a, near) == boundary_f1(a, far) == 0
    assert boundary_f1(a, ["One. ", "Two. Three. ", "Four. Five. Six."]) == 2 / 3
    assert window_diff(a, ["".join(a)]) == pytest.approx(2 / 4)  # a window of two of five places
    assert window_diff(a, near) < window_diff(a, far)
    with pytest.raises(ValueError, match="not of the same text"):
        window_diff(a, ["One."])


REAL = Path(os.environ.get("REAL_TRACES", Path(__file__).parents[3] / "shared" / "real"))


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real generations (REAL_TRACES names one)")
def test_every_real_response_is_cut_without_loss():
    import json

    from helpers.data.traces import parse

    lines = [line for path in sorted(REAL.glob("published/*/*.jsonl")) for line in path.open()]
    assert len(lines) > 1000
    missed = []
    for line in lines:
        response = json.loads(line)["code"][0]
        parsed = parse(response)
        whole = parsed.frame[0] + parsed.thought + parsed.frame[1] + parsed.solution + parsed.frame[2]
        assert whole == response
        missed += [u for u in units(response[:20_000]) if OPENING.match(u) and not opens(u)]
        for text in (parsed.thought, response):
            assert "".join(segment(text)) == thought(segment(text)) == text
    assert missed == []  # the first word is told in advance, and no opening is lost by that


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        ("3, 5", {2, 4}),
        ("I found 2 steps: 3 and 5", {2, 4}),
        ("I found 2 steps: 3 and 5.", {2, 4}),
        ("[3], [5], [7]", {2, 4, 6}),
        ("There are 3 of them.\n3\n5\n7\n", {2, 4, 6}),
        ("<think>Sentence 3, 4, 5 and 6 might", set()),
        ("<think>3, 4, 5 and 6?</think>\n\n3, 5", {2, 4}),
        ("1 step begins, at 4", {3}),
        ("None of them.", set()),
        ("", set()),
    ],
)
def test_numbers_are_those_of_the_list_that_a_model_gives(reply, named):
    assert numbers_named(reply) == named


OPENS = [
    "Let me redo the calculation.", "Let me see another way.", "Let me revisit the first part.",
    "Oops, I think I made a mistake.", "Another sanity check: 5*4=20.", "But to be absolutely sure, add.",
    "let me see if there is another.", "Let me read it again carefully.", "Let me go through it again.",
    "Let me think if there's another way to read it.", "Just to be extra safe, I add.", "Is that right?",
    "But the problem says 10% of it.", "Maybe the problem is meant otherwise.", "As a quick check, 2+3=5.",
    "**1. Find r:**\n", "2. **Add them up**\n", "### Second part\n", "3. Wait, that is not so.",
]  # fmt: skip
GOES_ON = [
    "However, the next day he sold more.", "But then, when he came home, she slept.",
    "But the problem also gives a time.", "First, let me make sure I understand it.", "2. Add the two.",
    "**bold** words in a line.", "Let me compute that.", "Check", "15.",
]  # fmt: skip


@pytest.mark.parametrize("sentence", OPENS)
def test_clear_openings_begin_a_step(sentence):
    first = "I add the numbers that are given, one by one. "
    assert segment(first + sentence) == (first, sentence)
    assert segment(first + "\n\n" + sentence) == (first + "\n\n", sentence)


@pytest.mark.parametrize("sentence", GOES_ON[:7])
def test_what_only_goes_on_begins_none(sentence):
    assert len(segment("I add the numbers that are given, one by one. " + sentence)) == 1


def test_a_list_s_number_stays_with_its_item():
    text = "These are given:\n1. The first.\n2. The second is 5. It is odd.\n**3. The last:**\n(4) x\n"
    assert units(text)[1:] == [
        "1. The first.\n", "2. The second is 5. ", "It is odd.\n", "**3. The last:**\n", "(4) x\n",
    ]  # fmt: skip

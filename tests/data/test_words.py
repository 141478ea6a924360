"""Numbers in words, and how often a text says its numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.traces import short_traces
from helpers.data.words import in_words, number_in_words, numbers_said
from helpers.puzzles import countdown

POOL = countdown.correct_traces("train", 60, seed=0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"), (13, "thirteen"), (20, "twenty"), (34, "thirty-four"), (100, "one hundred"),
        (280, "two hundred and eighty"), (1000, "one thousand"), (1019, "one thousand nineteen"),
        (999_999, "nine hundred and ninety-nine thousand nine hundred and ninety-nine"),
    ],
)  # fmt: skip
def test_numbers_are_said_in_english(number, words):
    assert number_in_words(number) == words


@given(st.sets(st.integers(0, 999_999), min_size=2, max_size=2))
def test_two_numbers_are_never_said_alike(pair):
    assert len({number_in_words(n) for n in pair}) == 2


def test_results_and_named_numbers_are_said_again_and_operands_are_not():
    assert in_words("19-5=14. With 20: 34, 6. No 280.") == (
        "19-5=14 (fourteen). With 20 (twenty): 34 (thirty-four), 6 (six). No 280 (two hundred and eighty)."
    )


@given(st.sampled_from(POOL))
def test_without_its_brackets_a_trace_is_what_it_was(trace):
    for step in trace.steps:
        assert re.sub(r" \([a-z -]+\)", "", in_words(step)) == step and in_words(step) != step


def test_a_trace_said_in_words_keeps_its_answer_and_is_no_longer_taken_for_a_plain_puzzle():
    said = countdown.said_in_words(POOL[0])
    assert said.solution == POOL[0].solution and said.source != POOL[0].source
    assert said.steps == tuple(map(in_words, POOL[0].steps))
    assert not countdown.said_in_words(short_traces(POOL)[0]).steps


def test_smaller_numbers_make_puzzles_of_such_numbers_alone():
    for numbers, target in countdown.problems("train", 200, 0, highest=12):
        assert max(numbers) <= 12 and countdown.depth(numbers, target)
    with pytest.raises(ValueError, match="up to 12, has 107 problems"):
        countdown.problems("validation", 108, 0, highest=12)


def test_numbers_are_counted_by_how_often_they_are_said():
    found = numbers_said("19-5=14. With 20: 34, 280. So 14, and 34 again; 5 is short.")
    assert found["once"] == 3 / 5 and found["times"] == 7 / 5  # 19, 20 and 280 of 19, 14, 20, 34 and 280
    assert found["digits"] == 17 / 59
    assert math.isnan(numbers_said("no 1 says 2")["once"]) and numbers_said("")["digits"] == 0


@given(st.sampled_from(POOL))
def test_a_number_in_words_is_no_further_mention_in_digits(trace):
    plain, said = (numbers_said("".join(t.steps)) for t in (trace, countdown.said_in_words(trace)))
    assert plain["once"] == said["once"] and plain["times"] == said["times"]
    assert said["digits"] < plain["digits"]

"""Numbers in words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data import puzzles
from helpers.data.words import in_words, number_in_words

POOL = puzzles.correct_traces("train", 60, seed=0)


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

import random
import re
import time
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers.boxed import final_answer
from helpers.data.traces import short_traces
from helpers.puzzles import countdown
from helpers.puzzles.expressions import is_correct, numbers_and_target, value

CORRECT = countdown.correct_traces("train", 400, seed=0)
WRONG = countdown.wrong_traces("train", 400, seed=0)
OPERATIONS = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}

three_numbers = st.lists(st.integers(2, 22), min_size=3, max_size=3)


def claims(step):
    """A step's arithmetic as written: its try with `first` and `results` as shown, and its verdict."""
    x, op, y, first, z, results = re.search(
        r"(\d+)([-+*])(\d+)=(\d+)\. With (\d+): ([\d, ]+)\.", step
    ).groups()
    return int(x), op, int(y), int(first), int(z), [int(r) for r in results.split(", ")], "Yes" in step


def slip_count(trace):
    """How many numbers of a thought differ from what their step's own arithmetic gives."""
    count = 0
    for x, op, y, first, z, results, _ in map(claims, trace.steps[1:]):
        expected = countdown.second_results(first, op, z)
        count += first != countdown.combine(x, op, y)
        count += sum(a != b for a, b in zip(results, expected, strict=True))
    return count


@pytest.mark.parametrize("trace", CORRECT[:50], ids=lambda t: t.id)
def test_a_correct_trace_is_right_in_every_number(trace):
    assert is_correct(trace.solution, trace.problem)
    assert slip_count(trace) == 0


def test_all_correct_answers_check():
    assert all(is_correct(t.solution, t.problem) for t in CORRECT)


def test_a_search_stops_at_its_first_hit_and_not_before():
    for trace in CORRECT:
        numbers, target = numbers_and_target(trace.problem)
        verdicts = [target in results for *_, results, _ in map(claims, trace.steps[1:])]
        assert verdicts == [False] * (len(verdicts) - 1) + [True]
        assert len(verdicts) == countdown.depth(numbers, target)


def test_wrong_traces_end_wrong_and_stay_coherent():
    for trace in WRONG:
        numbers, target = numbers_and_target(trace.problem)
        shown = [claims(step) for step in trace.steps[1:]]
        assert value(final_answer(trace.solution), numbers) not in (None, target)
        assert slip_count(trace) >= 1
        # the verdict is what the shown results say, and the last try alone believes that it hits
        assert [said for *_, said in shown] == [target in results for *_, results, _ in shown]
        assert [said for *_, said in shown] == [False] * (len(shown) - 1) + [True]
        assert trace.steps[-1].endswith(f"={target}.")


def test_wrong_traces_make_the_tries_of_the_systematic_search():
    for trace in WRONG:
        numbers, _ = numbers_and_target(trace.problem)
        made = [(x, op, y, z) for x, op, y, _, z, *_ in map(claims, trace.steps[1:])]
        assert made == [(t.x, t.op, t.y, t.z) for t in countdown.tries(numbers)][: len(made)]


def test_short_traces_are_the_same_problems_without_a_thought():
    short = short_traces(CORRECT)
    assert [(t.id, t.problem, t.solution) for t in short] == [(t.id, t.problem, t.solution) for t in CORRECT]
    assert {t.steps for t in short} == {()} and {t.kind for t in short} == {"short"}


def test_splits_share_no_set_of_numbers():
    sets = {split: set(countdown.number_sets(split)) for split in countdown.SPLITS}
    assert all(sets.values())
    assert len(set.union(*sets.values())) == sum(map(len, sets.values())) == 1330  # 21 choose 3


@pytest.mark.parametrize("made", [CORRECT, WRONG], ids=["correct", "wrong"])
def test_depth_is_about_uniform(made):
    depths = Counter(len(t.steps) - 1 for t in made)
    assert set(depths) == set(range(1, countdown.MAX_DEPTH + 1))
    assert max(depths.values()) <= 1.5 * min(depths.values())


def test_problems_are_distinct_exclusive_and_as_deep_as_asked():
    usual = countdown.problems("test", 500, seed=0)
    hard = countdown.problems("test", 500, seed=0, depths=countdown.HARD_DEPTHS, exclude=usual)
    assert len(set(usual)) == len(set(hard)) == 500
    assert not set(usual) & set(hard)
    assert {countdown.depth(*p) for p in hard} <= set(countdown.HARD_DEPTHS)
    assert {countdown.split_of(numbers) for numbers, _ in usual + hard} == {"test"}


def test_asking_for_more_than_there_is_says_how_many_there_are():
    with pytest.raises(ValueError, match=r"validation split, up to 22, has 695 problems"):
        countdown.problems("validation", 10**6, seed=0)
    with pytest.raises(ValueError, match="choose one of train"):
        countdown.problems("tset", 1, seed=0)


def test_a_benchmark_names_problem_answer_and_depth():
    chosen = countdown.problems("test", 20, seed=3)
    rows = countdown.benchmark("countdown", chosen).to_pylist()
    assert [numbers_and_target(r["problem"]) for r in rows] == chosen
    assert [(int(r["answer"]), r["depth"]) for r in rows] == [(t, countdown.depth(n, t)) for n, t in chosen]
    assert len({r["id"] for r in rows}) == 20


@given(three_numbers, st.permutations(range(3)), st.tuples(*[st.sampled_from("+-*/")] * 2), st.booleans())
def test_any_expression_of_the_numbers_has_its_exact_value(numbers, order, ops, left):
    a, b, c = (Fraction(numbers[i]) for i in order)
    f, g = (OPERATIONS[op] for op in ops)
    try:
        expected = g(f(a, b), c) if left else f(a, g(b, c))
    except ZeroDivisionError:
        expected = None
    text = f"({a}{ops[0]}{b}){ops[1]}{c}" if left else f"{a} {ops[0]} ( {b} {ops[1]} {c} )"
    assert value(text, tuple(numbers)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "19-(3+5)",
        "19-3-5",
        "-3-5+19",
        "((19))-((3)+(5))",
        "19 − (3 + 5)",
        "19-(3+5)=11",
        "-(3+5-19)",
    ],
)
def test_equivalent_expressions_are_correct(text):
    assert is_correct(f"So \\boxed{{{text}}}.", "Use 3, 5 and 19 to make 11.")


def test_typeset_operations_are_read():
    assert value("(4 \\times 10) \\div 8", (4, 8, 10)) == value("4·10÷8", (4, 8, 10)) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "11",
        "19-8",
        "19-(3+5)+0",
        "19-3-5-5",
        "3+3+5",
        "9**9**9",
        "19//3+5",
        "19%3+5",
        "19-(3+5) if 1 else 0",
        "__import__('os')",
        "abs(3-5)+19",
        "x+3+5",
        "0x13-3-5",
        "1_9-3-5",
        "19.0-3-5",
        "[19,3,5]",
        "19-(3+5",
        "5(3)(19)",
        "19-(3+5)\n+1",
        "3+5+" + "9" * 90,
        "(" * 40 + "19-3-5" + ")" * 40 + " " * 100,
        "(" * 1_000_000,
        "(" * 500_000 + "19-(3+5)" + ")" * 500_000,
        "-" * 1_000_000 + "3",
        "9" * 1_000_000,
        "٣+5+19",
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_anything_else_has_no_value_and_costs_no_time(text):
    started = time.process_time()
    assert value(text, (3, 5, 19)) is None
    assert not is_correct(f"\\boxed{{{text}}}", "Use 3, 5 and 19 to make 11.")
    assert time.process_time() - started < 1


def test_division_by_zero_has_no_value():
    assert value("5/(3-3)", (3, 3, 5)) is None


@given(st.text(alphabet="0123456789+-*/()=x \\{}", max_size=120))
def test_no_text_makes_the_checker_raise(text):
    assert is_correct(f"\\boxed{{{text}", "Use 3, 5 and 19 to make 11.") in (True, False)


def test_boxed_takes_the_last_box_with_its_inner_braces():
    assert final_answer("\\boxed{1} then \\boxed{\\frac{1}{2}} done") == "\\frac{1}{2}"
    assert final_answer("no box") is None
    assert final_answer("\\boxed{19-(3+5)") is None


def test_nothing_boxed_or_another_result_is_not_correct():
    problem = "Use 3, 5 and 19 to make 11."
    assert not is_correct("19-(3+5)", problem)
    assert not is_correct("\\boxed{19-3+5}", problem)


def test_a_slip_differs_in_one_digit():
    for number in (7, 40, 100):
        assert countdown.slips(number)
        for slip in countdown.slips(number):
            assert len(str(slip)) == len(str(number)) and slip > 0
            assert sum(a != b for a, b in zip(str(slip), str(number), strict=True)) == 1


def test_a_problem_without_a_try_that_hits_is_an_error():
    assert countdown.depth((2, 3, 4), 199) is None
    with pytest.raises(ValueError, match="no try"):
        countdown.solve((2, 3, 4), 199, random.Random(0))


def test_the_same_seed_gives_the_same_traces():
    again = countdown.correct_traces("train", 400, seed=0)
    assert again == CORRECT and countdown.correct_traces("train", 400, seed=1) != CORRECT
    assert countdown.wrong_traces("train", 400, seed=0) == WRONG


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("\\frac{20}{5}+19", 23),
        ("\\dfrac{20}{5}+19", 23),
        ("\\left(20-19\\right)\\times 5", 5),
        ("(20-19)*5.", 5),
        ("5 = (20-19)*5", 5),
        ("x = (20-19)*5 = 5", 5),
        ("[20-19]*5", 5),
        ("\\{20-19\\}\\cdot5", 5),
        ("$20 - 19 + 5$", 6),
        ("20\u00f75+19", 23),
        ("20 \u2212 19 + 5", 6),
        ("5\\,(20-19)", None),  # a factor without its sign is none of the four operations
        ("5^{20-19}", None),
        ("\\frac{20}{5}", None),
        ("2019-5", None),
    ],
)
def test_typeset_expressions_are_read(text, result):
    assert value(text, (5, 19, 20)) == result
    assert is_correct(f"So \\boxed{{{text}}}", f"Use 5, 19 and 20 to make {result or 5}.") is (
        result is not None
    )

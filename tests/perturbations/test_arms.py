import hashlib
import math
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.segmentation import segment
from helpers.data.traces import FRAMES, Trace, short_traces
from helpers.data.words import KEYWORD, KEYWORDS, count_keywords, sentences
from helpers.perturbations import located
from helpers.perturbations.arms import (
    ARMS,
    CONTROLS,
    IN_WORDS,
    LOCATED,
    PERTURBATIONS,
    UNTOUCHED,
    parse_arm,
    perturb,
)
from helpers.perturbations.steps import Step, changed_digits
from helpers.puzzles import countdown
from helpers.puzzles.expressions import numbers_and_target

POOL = countdown.correct_traces("train", 120, seed=0)
WORDS = (
    "19-5=14.",
    "Wait, no.",
    "But 3 is it.",
    "Hmm",
    "Yes, 7.",
    "However, 2.5 is not!",
    "a\nb\n",
    "  ",
    "",
)

step_texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), max_size=9)
puzzle_traces = st.sampled_from(POOL)
cut_traces = st.lists(
    st.sampled_from(("Wait, 2+3=5. ", "Hmm, no: 7.\n\n", "So it is 19, I think. ")), max_size=9
).map(
    lambda t: Trace(
        "cut", "Use 7.", segment("".join(t)), "It is \\boxed{7}.", "7", "test", "correct", FRAMES["sky-t1"]
    )
)
any_traces = st.one_of(
    puzzle_traces,
    cut_traces,
    step_texts.map(lambda t: Trace("made", "Use 7.", tuple(t), "It is \\boxed{7}.", "7", "test")),
)
PAPERS = ("digits", "keywords", "shuffle", "delete", "insert")
PUZZLES_ONLY = {"propagated", "matched_propagated", "digits_listed", "matched_listed"}
names = st.sampled_from(sorted(set(PERTURBATIONS) - PUZZLES_ONLY))
fractions = st.floats(0, 1)
seeds = st.integers(0, 10**6)


def steps_of(trace):
    return [Step(text, trace.id, i) for i, text in enumerate(trace.steps)]


def apply(name, trace, fraction, seed):
    return PERTURBATIONS[name](steps_of(trace), fraction, random.Random(seed), POOL)


@given(names, any_traces, seeds)
def test_fraction_zero_is_the_identity(name, trace, seed):
    assert apply(name, trace, 0.0, seed) == steps_of(trace)


@given(any_traces, fractions, seeds)
def test_shuffle_is_a_permutation_that_says_where_from(trace, fraction, seed):
    result = apply("shuffle", trace, fraction, seed)
    assert sorted(s.index for s in result) == list(range(len(trace.steps)))
    assert all(s.text == trace.steps[s.index] for s in result)
    assert all((s.change == "moved") == (s.index != place) for place, s in enumerate(result))


@given(any_traces, fractions, seeds)
def test_shuffle_touches_no_more_than_its_fraction_or_two(trace, fraction, seed):
    moved = sum(s.change == "moved" for s in apply("shuffle", trace, fraction, seed))
    assert moved <= max(2, round(fraction * len(trace.steps)))


@given(puzzle_traces, st.floats(0.01, 1), seeds)
def test_shuffle_moves_something_where_it_can(trace, fraction, seed):
    assert [s.text for s in apply("shuffle", trace, fraction, seed)] != list(trace.steps)


def test_shuffle_of_equal_or_too_few_steps_ends():
    for texts in ((), ("a",), ("a", "a", "a")):
        trace = Trace("t", "p", texts, "s", "1", "x")
        assert [s.text for s in apply("shuffle", trace, 1.0, 0)] == list(texts)


@given(any_traces, fractions, seeds)
def test_delete_removes_its_exact_count_and_keeps_the_order(trace, fraction, seed):
    result = apply("delete", trace, fraction, seed)
    n = len(trace.steps)
    assert len(result) == n - round(fraction * n)
    assert [s.index for s in result] == sorted({s.index for s in result})
    assert all(s == Step(trace.steps[s.index], trace.id, s.index) for s in result)


@given(puzzle_traces)
def test_delete_100_leaves_an_empty_thought_in_its_tags(trace):
    assert perturb(trace, "delete-100", 0, POOL).response == f"<think>\n\n</think>\n\n{trace.solution}"


@given(any_traces, fractions, seeds)
def test_insert_replaces_its_exact_count_by_steps_of_others(trace, fraction, seed):
    result = apply("insert", trace, fraction, seed)
    foreign = [s for s in result if s.change == "foreign"]
    by_id = {t.id: t for t in POOL}
    assert len(result) == len(trace.steps)
    assert len(foreign) == round(fraction * len(trace.steps))
    assert all(s.trace != trace.id and by_id[s.trace].steps[s.index] == s.text for s in foreign)
    assert all(s == Step(trace.steps[i], trace.id, i) for i, s in enumerate(result) if s not in foreign)


def test_insert_without_another_trace_is_an_error():
    lonely = [POOL[0], Trace("empty", "p", (), "s", "1", "x")]
    with pytest.raises(ValueError, match="no trace with steps besides"):
        perturb(POOL[0], "insert-33", 0, lonely)
    assert perturb(POOL[0], "insert-0", 0, []).steps == tuple(steps_of(POOL[0]))


@given(any_traces, fractions, seeds)
def test_digits_change_digits_alone(trace, fraction, seed):
    result = apply("digits", trace, fraction, seed)
    assert len(result) == len(trace.steps)
    for old, new in zip(trace.steps, result, strict=True):
        assert re.sub("[0-9]", "#", old) == re.sub("[0-9]", "#", new.text)
        assert (new.change == "edited") == (new.text != old)


@pytest.mark.parametrize("arm", [a for a in ARMS if a.startswith("digits")])
def test_digits_change_at_their_rate(arm):
    _, fraction = parse_arm(arm)
    old = "".join("".join(t.steps) for t in POOL)
    new = "".join("".join(s.text for s in perturb(t, arm, 0, POOL).steps) for t in POOL)
    places = [i for i, c in enumerate(old) if c.isdigit()]
    rate = sum(old[i] != new[i] for i in places) / len(places)
    assert abs(rate - 0.9 * fraction) < 4 * math.sqrt(0.25 / len(places))  # a tenth draws the old digit
    drawn = Counter(new[i] for i in places)
    if fraction == 1:
        assert max(drawn.values()) < 1.2 * min(drawn.values())


@given(any_traces, fractions, seeds)
def test_keywords_remove_sentences_with_a_keyword_alone(trace, fraction, seed):
    result = apply("keywords", trace, fraction, seed)
    carriers = [s for text in trace.steps for s in sentences(text) if KEYWORD.search(s)]
    texts = {s.index: s.text for s in result}
    gone = []
    for i, old in enumerate(trace.steps):
        left = iter(s.strip() for s in sentences(texts.get(i, "")))
        pending = next(left, None)
        for sentence in (s.strip() for s in sentences(old) if s.strip()):
            if sentence == pending:
                pending = next(left, None)
            else:
                gone.append(sentence)
        assert pending is None or not pending  # what is left was there, in this order
    assert len(gone) == round(fraction * len(carriers))
    assert not Counter(gone) - Counter(s.strip() for s in carriers)


@given(any_traces, seeds)
def test_keywords_100_leave_no_keyword_and_no_emptied_step(trace, seed):
    result = apply("keywords", trace, 1.0, seed)
    assert count_keywords("\n\n".join(s.text for s in result)) == 0
    assert all(s.text.strip() for s in result if s.change == "edited")


def test_keywords_leave_the_arithmetic_standing():
    trace = Trace(
        "t", "p", ("Alternatively, a new pair. 4+10=14. With 8: 22, 6, 112. No 32.", "Hmm."), "s", "", ""
    )
    assert [s.text for s in apply("keywords", trace, 1.0, 0)] == ["4+10=14. With 8: 22, 6, 112. No 32."]


@given(st.text())
def test_sentences_joined_are_the_text(text):
    assert "".join(sentences(text)) == text


def test_a_decimal_point_ends_no_sentence():
    assert sentences("It is 2.5 here. No?  Yes!\nEnd") == ["It is 2.5 here. ", "No?  ", "Yes!\n", "End"]


@pytest.mark.parametrize(
    "text, count",
    [
        ("", 0),
        ("Wait, WAIT. wait", 3),
        ("The button awaits; rebut it.", 0),
        ("But... however; hmm?", 3),
        ("Let me think again. Let me make 3.", 1),
        ("Hold on, let me double-check.", 2),
    ],
)
def test_keywords_are_counted_as_whole_words(text, count):
    assert count_keywords(text) == count


def test_without_reflections_a_puzzle_trace_keeps_all_its_arithmetic_and_verdicts():
    assert all(count_keywords(lead) == 1 for lead in (*countdown.REFLECTIONS, countdown.NEW_PAIR))
    for trace in POOL:
        numbers, target = numbers_and_target(trace.problem)
        made = countdown.tries(numbers)[: len(trace.steps) - 1]
        plain = [countdown.step_text(t, target, t.first, t.results) for t in made]
        assert [s.text for s in apply("keywords", trace, 1.0, 0)] == [trace.steps[0], *plain]


@given(any_traces, st.sampled_from([a for a in ARMS if a not in UNTOUCHED]), seeds)
def test_no_arm_touches_problem_or_solution(trace, arm, seed):
    result = perturb(trace, arm, seed, POOL)
    assert result.trace is trace
    assert result.response.endswith(trace.frame[1] + trace.solution + trace.frame[2])
    assert result.solution == trace.solution


@pytest.mark.parametrize("arm", UNTOUCHED)
def test_untouched_arms_are_the_traces_of_their_kind(arm):
    made = {
        "correct": POOL,
        "wrong": countdown.wrong_traces("train", 5, seed=0),
        "short": short_traces(POOL),
    }
    trace, other = made[arm][0], made["wrong" if arm == "correct" else "correct"][0]
    result = perturb(trace, arm, 0, [])
    assert [s.text for s in result.steps] == list(trace.steps)
    assert ("<think>" in result.response) == (arm != "short")
    with pytest.raises(ValueError, match=f"{arm!r} takes {arm} traces"):
        perturb(other, arm, 0, [])


def test_the_grid_is_the_papers_with_short():
    assert len(ARMS) == len(set(ARMS)) == 19
    assert {parse_arm(arm)[0] for arm in (*ARMS, *CONTROLS, *LOCATED, *IN_WORDS)} == {
        *PERTURBATIONS,
        *UNTOUCHED,
    }
    assert {parse_arm(arm)[0] for arm in ARMS} == {*PAPERS, *UNTOUCHED}


@pytest.mark.parametrize(
    "arm, expected",
    [
        ("shuffle-67", ("shuffle", 2 / 3)),
        ("insert-33", ("insert", 1 / 3)),
        ("digits-5", ("digits", 0.05)),
        ("delete-100", ("delete", 1.0)),
        ("delete-0", ("delete", 0.0)),
        ("wrong", ("wrong", 0.0)),
    ],
)
def test_arms_are_parsed(arm, expected):
    assert parse_arm(arm) == expected


@pytest.mark.parametrize(
    "arm, near",
    [
        ("shufle-67", "shuffle-67"),
        ("shuffle", "shuffle-"),
        ("digits-150", "digits-"),
        ("digits--5", "digits-"),
        ("digits-٣", "digits-"),
        ("correct-50", "correct"),
        ("wrng", "wrong"),
        ("", ""),
    ],
)
def test_an_unknown_arm_names_the_nearest(arm, near):
    with pytest.raises(ValueError, match=f"there is no arm '{re.escape(arm)}': did you mean '{near}"):
        parse_arm(arm)


def test_an_arm_of_ones_own_is_one_function(monkeypatch):
    monkeypatch.setitem(PERTURBATIONS, "backwards", lambda steps, fraction, rng, pool: steps[::-1])
    result = perturb(POOL[0], "backwards-100", 0, POOL)
    assert [s.text for s in result.steps] == list(POOL[0].steps[::-1])
    with pytest.raises(ValueError, match="did you mean 'backwards-100'"):
        parse_arm("backward-100")


def digest(arm, seed, traces, pool):
    return [hashlib.sha256(perturb(t, arm, seed, pool).response.encode()).hexdigest() for t in traces]


@pytest.mark.parametrize("arm", [a for a in ARMS if a not in UNTOUCHED])
def test_a_row_depends_on_seed_arm_and_id_alone(arm):
    there, back = digest(arm, 0, POOL, POOL), digest(arm, 0, POOL[::-1], POOL)
    assert there == back[::-1]
    if arm != "delete-100" and arm != "keywords-100":
        assert there != digest(arm, 1, POOL, POOL)


def test_the_arms_are_byte_for_byte_what_they_were():
    """A change of these bytes is a change of the experiment: measured results no longer belong to it."""
    everything = "".join("".join(digest(a, 7, POOL, POOL)) for a in ARMS if a not in ("wrong", "short"))
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "850c9552acba0109"


def test_keyword_list_is_what_the_pattern_finds():
    assert all(count_keywords(keyword) == 1 for keyword in KEYWORDS)


@given(st.text(alphabet="aW 7.!?\n\t…"))
def test_sentences_end_where_the_slow_pattern_ends_them(text):
    assert sentences(text) == re.findall(r"(?s).+?(?:[.!?]\s+|\n+|$)", text)


@given(cut_traces, st.sampled_from([a for a in (*ARMS, *CONTROLS) if a not in UNTOUCHED]), seeds)
def test_text_that_was_cut_keeps_its_own_spaces(trace, arm, seed):
    if not arm.startswith("propagated"):
        zero = perturb(trace, f"{arm.partition('-')[0]}-0", seed, POOL)
        assert zero.response == "".join((trace.frame[0], "".join(trace.steps).rstrip(), trace.frame[1])) + (
            trace.solution + trace.frame[2]
        )
        result = perturb(trace, arm, seed, POOL)
        inner = result.response.removeprefix(trace.frame[0]).partition(trace.frame[1])[0]
        assert inner == inner.rstrip() and not re.search(r"[.7]Wait|[.7]Hmm|[.7]So", inner)


@given(any_traces, fractions, seeds)
def test_swap_is_the_whole_thought_of_another_or_nothing(trace, fraction, seed):
    result = apply("swap", trace, fraction, seed)
    if result != steps_of(trace):
        donor = next(t for t in POOL if t.id == result[0].trace)
        assert donor.id != trace.id and [s.text for s in result] == list(donor.steps)
        assert all(s.change == "foreign" and s.index == i for i, s in enumerate(result))


def test_swap_100_swaps_every_trace_and_50_about_half():
    swapped = {
        p: sum(perturb(t, f"swap-{p}", 0, POOL).steps[0].change == "foreign" for t in POOL) for p in (50, 100)
    }
    assert swapped[100] == len(POOL) and 0.35 < swapped[50] / len(POOL) < 0.65


@given(any_traces, fractions, seeds)
def test_reverse_is_a_permutation_that_turns_its_places_round(trace, fraction, seed):
    result = apply("reverse", trace, fraction, seed)
    assert sorted(s.index for s in result) == list(range(len(trace.steps)))
    moved = [s.index for s in result if s.change == "moved"]
    assert moved == sorted(moved, reverse=True)
    assert [s.index for s in apply("reverse", trace, 1.0, seed)] == list(range(len(trace.steps)))[::-1]


@given(any_traces, fractions, seeds)
def test_filler_leaves_length_and_places_alone(trace, fraction, seed):
    result = apply("filler", trace, fraction, seed)
    assert [len(s.text) for s in result] == [len(t) for t in trace.steps]
    for old, new in zip(trace.steps, result, strict=True):
        assert new.text == old or set(new.text.rstrip()) <= set(". ")
        assert new.text[len(new.text.rstrip()) :] == old[len(old.rstrip()) :]


@given(any_traces, fractions, seeds)
def test_truncate_keeps_the_beginning(trace, fraction, seed):
    n = len(trace.steps)
    assert apply("truncate", trace, fraction, seed) == steps_of(trace)[: n - round(fraction * n)]


@given(any_traces, st.sampled_from((20, 50, 100)), seeds)
def test_numbers_reads_digits_as_the_released_code_does(trace, percent, seed):
    result = perturb(trace, f"numbers-{percent}", seed, POOL)
    both = [(trace.solution, result.solution), *zip(trace.steps, (s.text for s in result.steps), strict=True)]
    for old, new in both:
        assert re.sub("[0-9]+", "#", old) == re.sub("[0-9]+", "#", new)
        pairs = zip(re.findall("[0-9]+", old), re.findall("[0-9]+", new), strict=True)
        assert all(a == b or 0 <= int(b) <= 10 for a, b in pairs)
    assert result.response.endswith(trace.frame[1] + result.solution + trace.frame[2])


def test_numbers_reaches_the_boxed_answer():
    solutions = [perturb(t, "numbers-100", 0, POOL).solution for t in POOL]
    assert all(max(map(int, re.findall("[0-9]+", s))) <= 10 for s in solutions)
    assert perturb(POOL[0], "numbers-0", 0, POOL).solution == POOL[0].solution


@given(puzzle_traces, fractions, seeds)
def test_propagated_changes_numbers_alone_from_its_step_on(trace, fraction, seed):
    result = apply("propagated", trace, fraction, seed)
    start = len(trace.steps) - round(fraction * len(trace.steps))
    assert [s.text for s in result[:start]] == list(trace.steps[:start])
    for old, new in zip(trace.steps[start:], result[start:], strict=True):
        assert re.sub("[0-9]+", "#", old) == re.sub("[0-9]+", "#", new.text)
        assert old != new.text and new.change == "edited"


@given(puzzle_traces, seeds)
def test_propagated_is_arithmetic_on_the_misread_number(trace, seed):
    texts = [s.text for s in apply("propagated", trace, 1.0, seed)]
    target, *given_numbers = map(int, re.findall("[0-9]+", texts[0]))
    misread = [n for n in given_numbers if n not in numbers_and_target(trace.problem)[0]]
    assert len(misread) == 1
    for attempt, text in zip(countdown.tries(tuple(given_numbers)), texts[1:], strict=False):
        assert countdown.try_text(attempt, attempt.first, attempt.results) in text


def test_propagated_says_which_trace_is_no_puzzle():
    other = Trace("real-7", "p", ("Let me add.", "2+3=5."), "s", "5", "x")
    with pytest.raises(ValueError, match="real-7: step 0 is no step of a Countdown puzzle"):
        perturb(other, "propagated-100", 0, POOL)
    mixed = Trace("real-8", "p", (POOL[0].steps[0], "2+3=5."), "s", "5", "x")
    with pytest.raises(ValueError, match="real-8: step 1 is no step of a Countdown puzzle"):
        perturb(mixed, "propagated-100", 0, POOL)


def test_the_controls_are_byte_for_byte_what_they_were():
    everything = "".join("".join(digest(a, 7, POOL, POOL)) for a in CONTROLS)
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "913447052f5b7270"


CUT = [
    Trace(
        f"cut-{i}",
        "Use 7.",
        segment(
            "".join(
                f"Wait, {n}+{i} is {n + i}, is it not?\n\nHmm, I think so. Let me check it. "
                for n in range(8)
            )
        ),
        f"It is \\boxed{{{i}}}.",
        str(i),
        "test",
        "correct",
        FRAMES["sky-t1"],
    )
    for i in range(40)
]


def test_the_arms_of_cut_text_are_byte_for_byte_what_they_were():
    arms = [a for a in (*ARMS, *CONTROLS) if a not in ("wrong", "short", "propagated-100")]
    everything = "".join("".join(digest(a, 7, CUT, CUT)) for a in arms)
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "da731db2a058160c"


def changed_by_step(trace, arm, seed):
    """How many digits an arm changed in each step; its steps are the trace's, digit for digit elsewhere."""
    result = perturb(trace, arm, seed, POOL)
    assert result.solution == trace.solution and len(result.steps) == len(trace.steps)
    for old, new in zip(trace.steps, result.steps, strict=True):
        assert re.sub("[0-9]", "0", old) == re.sub("[0-9]", "0", new.text)
    return [
        sum(a != b for a, b in zip(old, new.text, strict=True))
        for old, new in zip(trace.steps, result.steps, strict=True)
    ]


PLACE = {"opening": slice(0, 1), "failing": slice(1, -1), "listed": slice(1, -1), "deciding": slice(-1, None)}


@given(puzzle_traces, st.sampled_from(sorted(PLACE)), st.sampled_from([20, 50, 100]), seeds)
def test_noise_falls_in_its_part_alone(trace, part, percent, seed):
    for arm in (f"digits_{part}-{percent}", f"matched_{part}-{percent}"):
        counts = changed_by_step(trace, arm, seed)
        assert sum(counts[PLACE[part]]) == sum(counts)


@given(puzzle_traces, st.sampled_from(sorted(PLACE)), seeds)
def test_matched_arms_change_as_many_digits_as_the_opening_has(trace, part, seed):
    available = len(located.places(steps_of(trace), part))
    wanted = len(re.findall("[0-9]", trace.steps[0]))
    assert sum(changed_by_step(trace, f"matched_{part}-100", seed)) == min(wanted, available)


@given(puzzle_traces, seeds)
def test_listed_results_are_what_a_failing_try_lists(trace, seed):
    result = perturb(trace, "digits_listed-100", seed, POOL)
    for step, text in zip(result.steps[1:-1], trace.steps[1:-1], strict=True):
        head, listed, verdict = re.fullmatch(r"(.*: )([\d, ]+)(\. No \d+\.)", text).groups()
        assert step.text.startswith(head) and step.text.endswith(verdict)
        assert len(step.text) == len(text)


@given(puzzle_traces, seeds)
def test_noise_that_matches_a_coherent_error_changes_as_many_digits(trace, seed):
    """`propagated` draws from the same generator first, so its own count can be had from a copy of it."""
    steps, rng = steps_of(trace), random.Random(seed)
    coherent = PERTURBATIONS["propagated"](steps, 1.0, random.Random(seed), POOL)
    noisy = PERTURBATIONS["matched_propagated"](steps, 1.0, rng, POOL)
    count = [
        sum(
            flag
            for old, new in zip(steps, result, strict=True)
            for flag in changed_digits(old.text, new.text)
        )
        for result in (coherent, noisy)
    ]
    assert count[0] == count[1]


def test_parts_of_natural_traces_go_by_position():
    trace = Trace("real", "p", ("I have 12 and 7.", "12+7=19.", "So 19 it is."), "s", "19", "x")
    assert sum(changed_by_step(trace, "matched_deciding-100", 0)[:2]) == 0
    one = Trace("one", "p", ("I have 12 and 7.",), "s", "19", "x")
    assert changed_by_step(one, "digits_deciding-100", 0) == [0]
    for arm in ("digits_listed-50", "matched_listed-50"):
        with pytest.raises(ValueError, match="real: a step lists no results of a try, as Countdown's do"):
            perturb(trace, arm, 0, POOL)

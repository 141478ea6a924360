"""Knights and knaves: problems, traces and answers, against a checker that shares no code with the solver."""

import re
import time
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.traces import short_traces
from helpers.puzzles import islanders, statements

CORRECT = islanders.correct_traces("train", 200, seed=0)
WRONG = islanders.wrong_traces("train", 120, seed=0)
WORDS = re.compile(
    r"(\w+) says: ([^.]+)\. (?:([^.]+)\. )??(?:([^.]+), so that is (true|false)(?:, (and|but) ([^.]+))?\. )?"
    r"(Then [^.]+\.|That fits\.|Contradiction\.|Nothing follows\.)"
)
FACT = r"(\w+) (tells the truth|lies)"


def truth(text, kinds):
    """Whether a statement is true where all kinds are known."""
    if m := re.fullmatch("if (.+) then (.+)", text):
        return not truth(m[1], kinds) or truth(m[2], kinds)
    if m := re.fullmatch(r"exactly one of (\w+) and (\w+) is a knight", text):
        return kinds[m[1]] + kinds[m[2]] == 1
    if m := re.fullmatch(r"(\w+) and (\w+) are of the same kind", text):
        return kinds[m[1]] + kinds[m[2]] != 1
    for word, combine in ((" and ", all), (" or ", any)):
        if word in text:
            return combine(truth(part, kinds) for part in text.split(word))
    name, negated, kind = re.fullmatch(r"(\w+) is (not )?a (knight|knave)", text).groups()
    return kinds[name] is ((kind == "knight") ^ (negated is not None))


def said_in(problem):
    return dict(re.findall(r"(\w+) says: ([^.]+)\.", problem))


def worlds(said, kinds):
    """All ways to complete the kinds."""
    free = [name for name in said if name not in kinds]
    return [kinds | dict(zip(free, v, strict=True)) for v in product((True, False), repeat=len(free))]


def consequences(name, said, kinds):
    """What an islander's words decide together with the kinds known: kinds by name, or None for a clash."""
    possible = [w for w in worlds(said, kinds) if truth(said[name], w) == w[name]]
    if not possible:
        return None
    return {n: possible[0][n] for n in said if n not in kinds and len({w[n] for w in possible}) == 1}


def quoted(text):
    """The facts that a sentence gives, in its order."""
    return [(name, word != "lies") for name, word in re.findall(FACT, text)]


def facts(text):
    return dict(quoted(text))


def named(statement):
    return re.findall("[A-Z][a-z]+", statement)


def errors(trace):
    """The steps that do not follow from those before them, the last case's kinds, whose words are left."""
    said, found, kinds, left, heard = said_in(trace.problem), [], {}, set(), set()
    lead = "|".join(map(re.escape, (islanders.NEW_CASE, *islanders.REFLECTIONS)))
    for i, step in enumerate(trace.steps[1:], 1):
        text = re.sub(f"^({lead}) ", "", step)
        if m := re.fullmatch(r"Assume (.+)\.", text):
            kinds, left, heard = facts(m[1]), set(said), set()
            expected = list(said)[list(said).index(min(kinds)) :] + list(said)
            continue
        if text == "Nothing else follows.":
            found += [i] if left - heard or any(consequences(n, said, kinds) != {} for n in left) else []
            continue
        speaker, statement, before, reason, word, link, other, end = WORDS.fullmatch(text).groups()
        right = speaker == next(n for n in expected if n in left - heard)
        expected = list(said)[list(said).index(speaker) + 1 :] + list(said)
        right &= said[speaker] == statement
        value = {truth(statement, world) for world in worlds(said, kinds)}
        decided = bool(reason) and quoted(reason)[0][0] != speaker
        right &= decided == (len(value) == 1) and not (decided and before)
        given = reason if decided else before
        right &= quoted(given or "") == [(n, kinds[n]) for n in named(statement) if n in kinds]
        if not decided:
            right &= quoted(reason or "") == [(speaker, kinds.get(speaker))] * (speaker in kinds)
            right &= reason is None or (word == "true") == kinds.get(speaker)
        elif end.startswith("Then"):
            right &= (word == "true") == facts(end)[speaker]
        if end in ("That fits.", "Contradiction."):
            right &= facts(other) == {speaker: kinds.get(speaker)} and value == {word == "true"}
            right &= (end == "That fits.") == (link == "and") == ({kinds.get(speaker)} == value)
        else:
            right &= (facts(end) if end.startswith("Then") else {}) == consequences(speaker, said, kinds)
        found += [] if right else [i]
        if end == "Nothing follows.":
            heard.add(speaker)
        else:
            left.discard(speaker)
        if end.startswith("Then"):
            kinds, heard = kinds | facts(end), set()
    return found, kinds, left


def test_every_sentence_of_a_correct_trace_follows_and_the_last_case_is_whole():
    for trace in CORRECT:
        found, kinds, left = errors(trace)
        assert found == [] and left == set(), trace
        assert kinds == facts(trace.solution) == facts(trace.answer)
        assert islanders.is_correct(trace.solution, trace.problem)


def test_a_wrong_trace_slips_once_believes_it_and_ends_wrong():
    for trace in WRONG:
        found, kinds, left = errors(trace)
        assert len(found) == 1 and left == set(), trace
        assert kinds == facts(trace.solution) != facts(trace.answer)
        assert not islanders.is_correct(trace.solution, trace.problem)


@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_problem_has_one_solution(n):
    for problem in islanders.problems("train", n, seed=2):
        said = dict(problem)
        right = [w for w in worlds(said, {}) if all(truth(text, w) == w[name] for name, text in said.items())]
        assert right == islanders.solutions(said) and len(right) == 1


def test_cases_come_in_order_and_stop_at_the_first_that_fits():
    for trace in CORRECT:
        assumed = [step for step in trace.steps if "Assume " in step]
        names = list(said_in(trace.problem))
        order = [f"{name} {word}." for name in names for word in ("tells the truth", "lies")]
        assert [step.partition("Assume ")[2] for step in assumed] == order[: len(assumed)]
        assert len(assumed) == islanders.depth(said_in(trace.problem))


@pytest.mark.parametrize("made", [CORRECT, WRONG], ids=["correct", "wrong"])
def test_depth_is_about_uniform(made):
    depths = Counter(sum("Assume " in step for step in trace.steps) for trace in made)
    assert set(depths) == set(range(1, islanders.MAX_DEPTH + 1))
    assert max(depths.values()) <= 2 * min(depths.values())


def renamed(said, rng):
    """The same problem with other names, in another order."""
    names = dict(zip(said, rng.sample(islanders.NAMES, len(said)), strict=True))
    lines = [(names[n], re.sub(r"\b[A-Z][a-z]+\b", lambda m: names[m[0]], text)) for n, text in said.items()]
    return dict(rng.sample(lines, len(lines)))


@given(st.randoms(use_true_random=False))
def test_a_renamed_problem_is_the_same_problem(rng):
    said = islanders.random_problem(rng)
    other = renamed(said, rng)
    assert statements.structure(said) == statements.structure(other)
    assert len(islanders.solutions(said)) == len(islanders.solutions(other))


def test_splits_and_benchmarks_share_no_problem_up_to_renaming():
    usual = islanders.problems("test", 80, seed=0)
    hard = islanders.problems("test", 40, seed=0, depths=islanders.HARD_DEPTHS, exclude=usual)
    validation = islanders.problems("validation", 30, seed=0)
    shapes = [islanders.shape(islanders.problem_text(dict(p))) for p in (*usual, *hard, *validation)]
    shapes += [islanders.shape(trace.problem) for trace in CORRECT]
    assert len(set(shapes)) == len(shapes) == 350
    assert {islanders.depth(dict(p)) for p in hard} == set(islanders.HARD_DEPTHS)
    with pytest.raises(ValueError, match="choose one of train"):
        islanders.problems("tset", 1, seed=0)


@given(st.randoms(use_true_random=False))
def test_a_statement_is_read_as_it_was_written_and_judged_as_by_the_checker(rng):
    said = islanders.random_problem(rng)
    for text in said.values():
        statement = statements.parse(text)
        assert statements.parse(statements.statement_text(statement)) == statement
        for kinds in worlds(said, {}):
            assert statements.holds(text, kinds) == truth(text, kinds)
        known = {name: True for name in rng.sample(list(said), rng.randint(0, len(said)))}
        values = {truth(text, world) for world in worlds(said, known)}
        assert statements.holds(text, known) == (values.pop() if len(values) == 1 else None)


PAIR = islanders.problem_text({"Ben": "Ida is a knave", "Ida": "Ben is a knave"})


@pytest.mark.parametrize(
    "answer",
    [
        "Ida is a knave, Ben is a knight",
        "\\text{Ben is a knight and Ida is not a knight}",
        "Ben is a knave;\\ Ida is a knight",  # both fit
        "\\text{Ben is a knight}, \\text{Ida is a knave}",
        "Ben: knight, Ida: knave",
        "Ben = Knight; IDA = Knave",
        "Ben (knight), Ida (knave)",
        "ben is a knight and ida is a knave",
        "Knights: Ben. Knaves: Ida",
        "knave: Ida, knight: Ben",
        "Ben tells the truth, Ida lies",
        "\\text{Ben lies and Ida always tells the truth}",
        "Ben does not lie, Ida does not tell the truth",
    ],
)
def test_an_answer_names_everyone_in_any_order(answer):
    assert islanders.is_correct(f"So \\boxed{{{answer}}}.", PAIR)
    assert not islanders.is_correct(answer, PAIR)  # no box


@pytest.mark.parametrize(
    "answer",
    [
        "Ben is a knight",
        "Ben is a knight, Ida is a knight",
        "",
        "knight, knave",
        "Ben is a knight, Ida is a knave, Ida is a knight",
        "Ben is a knight, Ida is a knave, Leo is a knave",
        "Ben and Ida are knaves",
        "Ben and Ida lie",
        "Ben lies, Ben tells the truth, Ida lies",
        "Knights: Ben, Ida",
        "Knights: none. Knaves: Ben and Ida",
        "knight knave",
        "Ben is a knight, Ida is a knave" + " and so on" * 1_000_000,
    ],
    ids=lambda answer: answer[:50],
)
def test_any_other_answer_is_wrong_and_costs_no_time(answer):
    start = time.monotonic()
    assert not islanders.is_correct(f"\\boxed{{{answer}}}", PAIR)
    assert time.monotonic() - start < 2


def test_short_traces_and_benchmarks_have_the_same_answers():
    short = short_traces(CORRECT)
    assert {t.steps for t in short} == {()} and short[0].solution == CORRECT[0].solution
    chosen = islanders.problems("test", 20, seed=3)
    rows = islanders.benchmark("islanders", chosen).to_pylist()
    assert all(islanders.is_correct(f"\\boxed{{{row['answer']}}}", row["problem"]) for row in rows)
    assert [row["depth"] for row in rows] == [islanders.depth(dict(p)) for p in chosen]
    assert islanders.problems("test", 20, seed=3) == chosen != islanders.problems("test", 20, seed=4)

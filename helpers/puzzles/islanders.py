"""Knights and knaves: problems, and a solver that writes Long CoT.

    problem   Knights tell the truth, knaves lie. Anna says: Ben is a knave. Ben says: ... Who lies, who ...?
    steps     Let me find out what Anna, Ben and Carl are.
              Assume Anna tells the truth.
              Anna says: Ben is a knave. Anna tells the truth, so that is true. Then Ben lies.
              Wait. Ben says: Carl is a knave. Ben lies, so that is false. Then Carl tells the truth.
              Carl says: Anna is a knave. Anna tells the truth, so that is false, but Carl ... Contradiction.
              Alternatively, a new case. Assume Anna lies.
              ...
    solution  The answer is \\boxed{Anna lies, Ben tells the truth, Carl lies}.

A step is an assumption, or what follows from one islander's words, and be it nothing. The words are said
again, then what is known of those whom they are about: a model reads from left to right. A conclusion ("Ben
lies") has other words than what somebody says ("Ben is a knave"). A case assumes the kind of one islander and
from there goes round, in the problem's order, through the words that are not settled, nor heard since
something new was found. It ends when all fit, two things contradict each other, or nothing follows any more;
then comes the next case, in a fixed order. A reflection is a sentence of its own. A problem's depth is the
number of the first case in which all fits.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice, product

import pyarrow as pa

from helpers.data.traces import Trace
from helpers.puzzles.shared import REFLECTIONS as REFLECTIONS
from helpers.puzzles.shared import check_split, reflection, solution_text, split_by_hash
from helpers.puzzles.statements import (
    Kinds,
    Statement,
    answer_text,
    fact,
    facts,
    fits,
    holds,
    listed,
    parse,
    statement_text,
    structure,
)
from helpers.puzzles.statements import is_correct as is_correct
from helpers.puzzles.statements import shape as shape

NAMES = ("Anna", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo")
SIZES = (3, 4, 5)
MAX_DEPTH = 4
HARD_DEPTHS = (3, 4)
MAX_SLIP = 10  # conclusions in which a wrong trace may slip
PREFACE, QUESTION = "Knights tell the truth, knaves lie.", "Who lies, who tells the truth?"
REFLECTION_RATE = 0.5  # of the sentences that follow from somebody's words
NEW_CASE = "Alternatively, a new case."
FITS, CONTRADICTION = "That fits.", "Contradiction."
NOTHING, NO_FURTHER = "Nothing follows.", "Nothing else follows."

Said = dict[str, str]  # an islander's words by name, in the order of the problem
Problem = tuple[tuple[str, str], ...]  # the same, hashable


def problem_text(said: Said) -> str:
    return " ".join([PREFACE, *(f"{name} says: {text}." for name, text in said.items()), QUESTION])


def opening(said: Said) -> str:
    return f"Let me find out what {listed(list(said))} are."


def solutions(said: Said) -> list[dict[str, bool]]:
    """All assignments of kinds that fit, by trying each."""
    tried = (dict(zip(said, kinds, strict=True)) for kinds in product((True, False), repeat=len(said)))
    return [kinds for kinds in tried if fits(said, kinds)]


def forced(text: str, value: bool, kinds: Kinds) -> dict[str, bool]:
    """The kinds, not known yet, that a statement of this truth value leaves no choice about."""
    unknown = [name for name, _ in parse(text).claims if name not in kinds]
    tried = [dict(zip(unknown, v, strict=True)) for v in product((True, False), repeat=len(unknown))]
    possible = [more for more in tried if holds(text, {**kinds, **more}) == value]
    return {n: possible[0][n] for n in unknown if possible and len({more[n] for more in possible}) == 1}


def follows(name: str, text: str, kinds: Kinds, slip: bool = False) -> tuple[str, dict[str, bool]]:
    """What follows from an islander's words: the sentence, in one of three shapes, and the new kinds.

        Ben says: Carl is a knave. Carl lies, so that is true. Then Ben tells the truth.
        Ben says: Carl is a knave or Dora is a knave. Carl tells the truth. Ben lies, so that is ... Then ...
        Ben says: Carl is a knave or Dora is a knave. Carl tells the truth. Nothing follows.

    With a slip a truth value, or the last new kind, is the opposite of what it ought to be.
    """
    true, said = holds(text, kinds), f"{name} says: "
    if true is None:
        new = forced(text, kinds[name], kinds) if name in kinds else {}
        if new:
            new[list(new)[-1]] ^= slip
        so = [f"{fact(name, kinds[name])}, so that is {str(kinds[name]).lower()}"] if name in kinds else []
        end = f"Then {listed(facts(new))}." if new else NOTHING
        return ". ".join([said + text, *known(text, kinds), *so, end]), new
    true ^= slip
    said += judgement(text, true, kinds)
    if name not in kinds:
        return f"{said}. Then {fact(name, true)}.", {name: true}
    link, end = ("and", FITS) if true == kinds[name] else ("but", CONTRADICTION)
    return f"{said}, {link} {fact(name, kinds[name])}. {end}", {}


def known(text: str, kinds: Kinds) -> list[str]:
    """What is known of those whom a statement is about, as one part of a sentence or none."""
    found = facts({name: kinds[name] for name, _ in parse(text).claims if name in kinds})
    return [listed(found)] if found else []


def judgement(text: str, true: bool, kinds: Kinds) -> str:
    """A statement, what is known of those whom it is about, and whether it is true."""
    return f"{'. '.join([text, *known(text, kinds)])}, so that is {str(true).lower()}"


def cases(said: Said) -> Iterator[dict[str, bool]]:
    """What is assumed, case by case."""
    for name in said:
        yield {name: True}
        yield {name: False}


def case(
    said: Said, assumed: dict[str, bool], slips: list[bool], choose: Callable | None = None
) -> tuple[list[str], dict[str, bool] | None]:
    """The sentences that follow from an assumption, and the kinds if all fits, else None.

    `slips` says of each sentence that concludes something whether it is to be wrong, and loses those used.
    `choose` picks whose words come next, of those that wait and what is known; usually the first that waits.
    """
    kinds, left, sentences, heard = dict(assumed), dict(said), [], set()
    turn = deque(said)
    turn.rotate(-turn.index(*assumed))
    while left:
        waiting = [name for name in turn if name in left and name not in heard]
        if not waiting:
            return [*sentences, NO_FURTHER], None
        name = choose(waiting, kinds) if choose else waiting[0]
        sentence, new = follows(name, left[name], kinds, bool(slips) and slips[0])
        sentences.append(sentence)
        turn.rotate(-1 - turn.index(name))
        if sentence.endswith(NOTHING):
            heard.add(name)
            continue
        del left[name], slips[:1]
        if sentence.endswith(CONTRADICTION):
            return sentences, None
        if new:
            kinds, heard = kinds | new, set()
    return sentences, {name: kinds[name] for name in said}


def solve(said: Said, rng: random.Random, slip: int | None = None) -> tuple[list[str], dict[str, bool], int]:
    """The steps of the systematic search, the kinds in which all fits, and the number of its case.

    The conclusion number `slip` (from 0) is wrong, and what follows builds on it. ValueError if no case fits.
    """
    steps = [opening(said)]
    slips = [] if slip is None else [False] * slip + [True]
    for number, assumed in enumerate(cases(said), 1):
        lead = f"{NEW_CASE} " if number > 1 else ""
        steps.append(f"{lead}Assume {facts(assumed)[0]}.")
        sentences, kinds = case(said, assumed, slips)
        steps += [reflection(rng, REFLECTION_RATE) + sentence for sentence in sentences]
        if kinds:
            return steps, kinds, number
    raise ValueError(f"no case fits: {problem_text(said)}")


def search(problem: Problem) -> list[dict]:
    """The cases up to the first in which all fits, as rows of a table."""
    said, rows = dict(problem), []
    for assumed in islice(cases(said), depth(said)):
        sentences, _ = case(said, assumed, [])
        rows.append({"assumed": facts(assumed)[0], "sentences": len(sentences), "last": sentences[-1]})
    return rows


def depth(said: Said) -> int | None:
    """The number of the first case in which all fits, or None."""
    return next((i for i, assumed in enumerate(cases(said), 1) if case(said, assumed, [])[1]), None)


def random_problem(rng: random.Random, names: Sequence[str] = ()) -> Said:
    """Three to five islanders and what each says about others; it may have no solution, or several."""
    names = names or rng.sample(NAMES, rng.choice(SIZES))
    said = {}
    for name in names:
        about = rng.sample([other for other in names if other != name], 2)
        form = rng.choice(("is", "is", "and", "or", "if", "same", "one"))
        claims = tuple((other, form in ("same", "one") or rng.random() < 0.5) for other in about)
        statement = Statement(form, claims[:1] if form == "is" else claims)
        said[name] = statement_text(statement, (rng.random() < 0.3, rng.random() < 0.3))
    return said


def problems(
    split: str,
    n: int,
    seed: int,
    depths: tuple[int, ...] = tuple(range(1, MAX_DEPTH + 1)),
    exclude: Collection[Problem] = (),
) -> list[Problem]:
    """n problems of a split with one solution each, as many of every depth, in random order.

    No two of them, and none of these and `exclude`, are renamings of each other.
    """
    check_split(split)
    rng = random.Random(f"{seed}:{split}:{depths}")
    wanted = {d: n // len(depths) + (i < n % len(depths)) for i, d in enumerate(depths)}
    seen, chosen = {structure(dict(problem)) for problem in exclude}, []
    while any(wanted.values()):
        said = random_problem(rng)
        found = depth(said) if len(solutions(said)) == 1 else None
        if not wanted.get(found) or (form := structure(said)) in seen or split_by_hash(form) != split:
            continue
        wanted[found] -= 1
        seen.add(form)
        chosen.append(tuple(said.items()))
    rng.shuffle(chosen)
    return chosen


def correct_traces(split: str, n: int, seed: int) -> list[Trace]:
    """n correct traces, as many of every depth."""
    made = []
    for i, problem in enumerate(problems(split, n, seed)):
        said = dict(problem)
        steps, kinds, _ = solve(said, random.Random(f"{seed}:{problem}"))
        made.append(trace(f"islanders-{split}-{i}", said, steps, kinds, "correct"))
    return made


def wrong_traces(split: str, n: int, seed: int) -> list[Trace]:
    """n traces with one slip that is believed and carried on to a wrong answer; depths about uniform."""
    made, believed = [], Counter()
    for problem in problems(split, 3 * n, seed + 1):
        said, found = dict(problem), {}
        for slip in range(MAX_SLIP):
            with contextlib.suppress(ValueError):  # no case fits after this slip
                rng = random.Random(f"{seed}:wrong:{problem}:{slip}")
                steps, kinds, number = solve(said, rng, slip)
                if number <= MAX_DEPTH and believed[number] * MAX_DEPTH < n and not fits(said, kinds):
                    found.setdefault(number, (steps, kinds))
        if found:
            number = min(found, key=lambda d: believed[d])
            believed[number] += 1
            made.append(trace(f"islanders-{split}-wrong-{len(made)}", said, *found[number], "wrong"))
        if len(made) == n:
            return made
    raise ValueError(f"the {split} split gave {len(made)} wrong traces, {n} were asked for")


def trace(name: str, said: Said, steps: list[str], kinds: Kinds, kind: str) -> Trace:
    """A trace of the solver; its answer is the right one."""
    solution, answer = solution_text(answer_text(kinds)), answer_text(solutions(said)[0])
    return Trace(name, problem_text(said), tuple(steps), solution, answer, "islanders", kind)


def benchmark(name: str, chosen: list[Problem]) -> pa.Table:
    """Problems as a benchmark table: id, problem, answer (who is what) and depth."""
    return pa.Table.from_pylist(
        [
            {
                "id": f"{name}-{i}",
                "problem": problem_text(said),
                "answer": answer_text(solutions(said)[0]),
                "depth": depth(said),
            }
            for i, said in enumerate(map(dict, chosen))
        ]
    )

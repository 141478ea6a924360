"""Countdown with three numbers: problems, and a solver that writes Long CoT.

    problem   Use 5, 19 and 25 to make 11.
    steps     Let me make 11 from 5, 19 and 25.
              5+19=24. With 25: 49, 1, 600. No 11.
              Wait. 19-5=14. With 25: 39, 11, 350. Yes, 25-14=11.
    solution  The answer is \\boxed{25-(19-5)}.

A step is one try: combine two of the numbers, then the result with the third, by sum, difference
and (unless the first operation was a product already) product. Tries have a fixed order, so each
step follows from the ones before it. A reflection is a sentence of its own at the start of a step:
without its reflections a trace keeps all its arithmetic and verdicts. A problem's depth is the
number of the first try that hits.
Numbers are ascending and distinct, so no difference is negative or zero at the first operation.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import combinations

import pyarrow as pa

from helpers.data.traces import Trace
from helpers.data.words import in_words
from helpers.puzzles.expressions import is_correct as is_correct
from helpers.puzzles.expressions import shape as shape
from helpers.puzzles.expressions import value
from helpers.puzzles.shared import REFLECTIONS as REFLECTIONS
from helpers.puzzles.shared import SPLITS as SPLITS
from helpers.puzzles.shared import check_split, reflection, solution_text, split_by_hash

LOWEST, HIGHEST, MAX_TARGET = 2, 22, 200
MAX_DEPTH = 9
HARD_DEPTHS = (6, 7, 8, 9)
REFLECTION_RATE = 0.75  # of steps after the first that do not start a new pair
NEW_PAIR = "Alternatively, a new pair."
NEW_PAIR_AT = (4, 7)

Numbers = tuple[int, int, int]
Problem = tuple[Numbers, int]


@dataclass(frozen=True)
class Try:
    """One try: `x op y = first`, then `first` with `z`, giving `results` (sum, difference, product)."""

    x: int
    op: str
    y: int
    z: int

    @property
    def first(self) -> int:
        return combine(self.x, self.op, self.y)

    @property
    def results(self) -> tuple[int, ...]:
        return second_results(self.first, self.op, self.z)


def combine(x: int, op: str, y: int) -> int:
    """x + y, |x - y| or x * y."""
    return x + y if op == "+" else abs(x - y) if op == "-" else x * y


def second_results(first: int, op: str, z: int) -> tuple[int, ...]:
    """Results of the second operation; a product is not multiplied again."""
    return (first + z, abs(first - z)) if op == "*" else (first + z, abs(first - z), first * z)


def tries(numbers: Numbers) -> list[Try]:
    """The nine tries for ascending numbers, in the solver's order."""
    a, b, c = numbers
    return [
        Try(*((y, op, x) if op == "-" else (x, op, y)), z)
        for x, y, z in ((a, b, c), (a, c, b), (b, c, a))
        for op in "+-*"
    ]


def search(problem: Problem) -> list[dict]:
    """The tries up to the one that hits, as rows of a table."""
    made = tries(problem[0])[: depth(*problem)]
    return [{"first": f"{t.x}{t.op}{t.y}={t.first}", "with": t.z, "results": t.results} for t in made]


def depth(numbers: Numbers, target: int) -> int | None:
    """The number (from 1) of the first try that reaches the target, or None."""
    hits = (i for i, t in enumerate(tries(numbers), 1) if target in t.results)
    return next(hits, None)


def second_operation(first: int, z: int, slot: int, written: str) -> str:
    """The operation behind result number `slot`, larger number first, with `first` as it is `written`."""
    return f"{z}-{written}" if slot == 1 and z > first else f"{written}{'+-*'[slot]}{z}"


def expression(attempt: Try, slot: int, first: int) -> str:
    """The expression behind result number `slot` of a try whose first result was taken to be `first`."""
    return second_operation(first, attempt.z, slot, f"({attempt.x}{attempt.op}{attempt.y})")


def problem_text(numbers: Numbers, target: int) -> str:
    a, b, c = numbers
    return f"Use {a}, {b} and {c} to make {target}."


def opening(numbers: Numbers, target: int) -> str:
    a, b, c = numbers
    return f"Let me make {target} from {a}, {b} and {c}."


def try_text(attempt: Try, first: int, results: tuple[int, ...]) -> str:
    listed = ", ".join(map(str, results))
    return f"{attempt.x}{attempt.op}{attempt.y}={first}. With {attempt.z}: {listed}."


def lead(i: int, rng: random.Random) -> str:
    """The opening of the i-th step (from 1) of a systematic search."""
    return f"{NEW_PAIR} " if i in NEW_PAIR_AT else reflection(rng, REFLECTION_RATE) if i > 1 else ""


def step_text(attempt: Try, target: int, first: int, results: tuple[int, ...]) -> str:
    """A step without its lead: the try's arithmetic, right or slipped, and its verdict."""
    verdict = f"No {target}."
    if target in results:
        verdict = f"Yes, {second_operation(first, attempt.z, results.index(target), str(first))}={target}."
    return f"{try_text(attempt, first, results)} {verdict}"


def solve(numbers: Numbers, target: int, rng: random.Random) -> tuple[tuple[str, ...], str]:
    """The steps of the systematic search and the expression it finds; ValueError if there is none."""
    steps = [opening(numbers, target)]
    for i, attempt in enumerate(tries(numbers), 1):
        first, results = attempt.first, attempt.results
        steps.append(lead(i, rng) + step_text(attempt, target, first, results))
        if target in results:
            return tuple(steps), expression(attempt, results.index(target), first)
    raise ValueError(f"no try of {numbers} makes {target}")


def solve_wrongly(
    numbers: Numbers, target: int, last: int, rng: random.Random, slip_rate: float = 0.1
) -> tuple[tuple[str, ...], str] | None:
    """A coherent search with arithmetic slips that believes it hits at try `last`; None if no slip does that.

    A slip in a first result is carried on into the results made from it. A true hit before `last` is missed
    through a slip. The boxed expression is the one that the slipped arithmetic claims.
    """
    steps = [opening(numbers, target)]
    for i, attempt in enumerate(tries(numbers)[:last], 1):
        shown = [(first, second_results(first, attempt.op, attempt.z)) for first in slips(attempt.first)]
        shown += [
            (attempt.first, (*attempt.results[:k], slip, *attempt.results[k + 1 :]))
            for k, result in enumerate(attempt.results)
            for slip in slips(result)
        ]
        shown = [s for s in shown if (target in s[1]) == (i == last)]
        first, results = attempt.first, attempt.results
        if not shown and (i == last or target in results):
            return None
        if shown and (i == last or target in results or rng.random() < slip_rate):
            first, results = rng.choice(shown)
        steps.append(lead(i, rng) + step_text(attempt, target, first, results))
    return tuple(steps), expression(attempt, results.index(target), first)


def slips(number: int) -> list[int]:
    """The positive numbers that differ from a number in one digit."""
    digits = str(number)
    changed = [int(digits[:i] + d + digits[i + 1 :]) for i in range(len(digits)) for d in "0123456789"]
    return [n for n in changed if n > 0 and n != number and len(str(n)) == len(digits)]


def split_of(numbers: Numbers) -> str:
    """The split of a set of numbers."""
    return split_by_hash(tuple(sorted(numbers)))


def number_sets(split: str, highest: int = HIGHEST) -> list[Numbers]:
    """All ascending sets of three numbers up to `highest` that belong to a split."""
    check_split(split)
    return [s for s in combinations(range(LOWEST, highest + 1), 3) if split_of(s) == split]


def problems(
    split: str,
    n: int | None,
    seed: int,
    depths: tuple[int, ...] = tuple(range(1, MAX_DEPTH + 1)),
    exclude: Collection[Problem] = (),
    highest: int = HIGHEST,
) -> list[Problem]:
    """n distinct problems (numbers, target) of about uniform depth, in random order, none of `exclude`.

    Numbers are at most `highest`: fewer and easier puzzles for a model that has to learn arithmetic as well.
    A depth with too few problems gives all it has, and so do all depths if n is None; ValueError if all
    depths together have fewer than n.
    """
    exclude = set(exclude)
    by_depth: dict[int, list[Problem]] = {d: [] for d in depths}
    for numbers in number_sets(split, highest):
        seen: set[int] = set()
        for d, attempt in enumerate(tries(numbers), 1):
            fresh = {r for r in attempt.results if 1 <= r <= MAX_TARGET} - seen
            seen |= set(attempt.results)
            if d in by_depth:
                by_depth[d] += [p for target in sorted(fresh) if (p := (numbers, target)) not in exclude]
    available = sum(map(len, by_depth.values()))
    n = available if n is None else n
    if n > available:
        raise ValueError(
            f"the {split} split, up to {highest}, has {available} problems of depths {depths}, not {n}"
        )
    rng = random.Random(f"{seed}:{split}:{depths}")
    chosen: list[Problem] = []
    for k, pool in enumerate(sorted(by_depth.values(), key=len)):
        left = len(by_depth) - k
        chosen += rng.sample(pool, min(len(pool), (n - len(chosen)) // left))
    rng.shuffle(chosen)
    return chosen


def correct_traces(split: str, n: int, seed: int, highest: int = HIGHEST) -> list[Trace]:
    """n correct traces of about uniform depth, with numbers up to `highest`."""
    made = []
    for i, (numbers, target) in enumerate(problems(split, n, seed, highest=highest)):
        steps, found = solve(numbers, target, random.Random(f"{seed}:{numbers}:{target}"))
        name, text = f"countdown-{split}-{i}", problem_text(numbers, target)
        made.append(Trace(name, text, steps, solution_text(found), str(target), "puzzles", "correct"))
    return made


def wrong_traces(split: str, n: int, seed: int, highest: int = HIGHEST) -> list[Trace]:
    """n traces with a wrong boxed answer; the depth of the believed hit is about uniform."""
    made: list[Trace] = []
    believed: Counter[int] = Counter()
    for numbers, target in problems(split, None, seed + 1, highest=highest):
        rng = random.Random(f"{seed}:wrong:{numbers}:{target}")
        rarest_first = sorted(range(1, MAX_DEPTH + 1), key=lambda d: believed[d])
        searches = (solve_wrongly(numbers, target, last, rng) for last in rarest_first)
        steps, found = next((s for s in searches if s and value(s[1], numbers) != target), ((), ""))
        if not steps:
            continue
        believed[len(steps) - 1] += 1
        name, text = f"countdown-{split}-wrong-{len(made)}", problem_text(numbers, target)
        made.append(Trace(name, text, steps, solution_text(found), str(target), "puzzles", "wrong"))
        if len(made) == n:
            return made
    raise ValueError(f"the {split} split gave {len(made)} wrong traces, {n} were asked for")


def said_in_words(trace: Trace) -> Trace:
    """The trace with each number of its thought said again in words."""
    return replace(trace, steps=tuple(map(in_words, trace.steps)), source="puzzles in words")


def benchmark(name: str, chosen: list[Problem]) -> pa.Table:
    """Problems as a benchmark table: id, problem, answer (the target, as text) and depth."""
    rows = [
        (f"{name}-{i}", problem_text(numbers, target), str(target), depth(numbers, target))
        for i, (numbers, target) in enumerate(chosen)
    ]
    schema = pa.schema([*((n, pa.string()) for n in ("id", "problem", "answer")), ("depth", pa.int64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)

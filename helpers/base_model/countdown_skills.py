"""What the Countdown base model learns: the skills of a search, never a search.

    arithmetic   Work out 5+19, 7*12.            -> 5+19=24. / 7*12=84., one per line
    dictation    For 27 try 12*4 with 2; 22-14 with 19.
                 -> the tries carried out one by one, with verdicts, in the wording of the traces
    given tries  Use 5, 19 and 20 to make 11. Try 5*19 with 20; 20-5 with 19.
                 -> the same on one set of numbers, tries chosen and ordered at random
    direct       Use 5, 19 and 20 to make 11.    -> the answer at once

The user names every try, so the order of a systematic search appears nowhere. Puzzles use number sets of the
train split only, so validation and test sets are as new to the base model as to its fine-tunes. Every token
of the traces (keywords, think tags) occurs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from helpers.data.traces import render
from helpers.puzzles.countdown import (
    HIGHEST,
    LOWEST,
    MAX_TARGET,
    NEW_PAIR,
    REFLECTION_RATE,
    REFLECTIONS,
    Numbers,
    Try,
    combine,
    expression,
    number_sets,
    opening,
    problem_text,
    problems,
    step_text,
    tries,
)
from helpers.puzzles.expressions import is_correct as is_correct
from helpers.puzzles.expressions import shape as shape
from helpers.puzzles.shared import reflection, solution_text

# Shares of the tokens, not of the documents: short documents would otherwise be starved. The first
# phase teaches everything; the second, with more hits and hardly a direct answer, makes it reliable.
MIXTURES = {
    "first": {"arithmetic": 0.2, "dictation": 0.4, "given_tries": 0.3, "direct": 0.1},
    "second": {"arithmetic": 0.1, "dictation": 0.4, "given_tries": 0.48, "direct": 0.02},
}
LEADS = (NEW_PAIR, *REFLECTIONS)  # the free parts of a line
LOOKUPS = False  # a number is copied from close by
ABOUT = (
    "it does arithmetic, carries out tries that the user dictates, and answers Countdown puzzles at once and "
    "mostly wrongly"
)
HITS = {"first": 0.5, "second": 0.8}  # share of the documents of tries in which one is meant to hit
NO_HIT = "None of them makes {}."


def random_try(rng: random.Random) -> Try:
    """A try on three unrelated numbers, operands ordered as in a trace."""
    x, y = sorted(rng.sample(range(LOWEST, HIGHEST + 1), 2))
    op = rng.choice("+-*")
    return (
        Try(y, op, x, rng.randint(LOWEST, HIGHEST))
        if op == "-"
        else Try(x, op, y, rng.randint(LOWEST, HIGHEST))
    )


def carry_out(attempts: list[Try], target: int, rng: random.Random, lead: tuple[str, ...] = ()) -> str:
    """The response that carries out dictated tries until one hits, or reports that none does."""
    steps = list(lead)
    for i, attempt in enumerate(attempts):
        first, results = attempt.first, attempt.results
        opens = "" if i == 0 else f"{NEW_PAIR} " if rng.random() < 0.2 else reflection(rng, REFLECTION_RATE)
        steps.append(opens + step_text(attempt, target, first, results))
        if target in results:
            return render(steps, solution_text(expression(attempt, results.index(target), first)))
    return render(steps, NO_HIT.format(target))


def dictated(attempts: list[Try]) -> str:
    return "; ".join(f"{t.x}{t.op}{t.y} with {t.z}" for t in attempts) + "."


def pick_target(attempts: list[Try], rng: random.Random, hits: float) -> int:
    """A result of one of the tries with probability `hits`, otherwise a number that probably is none."""
    if rng.random() < hits:
        results = [r for r in rng.choice(attempts).results if 1 <= r <= MAX_TARGET]
        if results:
            return rng.choice(results)
    return rng.randint(1, MAX_TARGET) if rng.random() < 0.5 else rng.randint(1, 60)


def arithmetic(rng: random.Random) -> tuple[str, str]:
    """Four to eight single operations on numbers as large as those in tries."""
    asked = []
    for _ in range(rng.randint(4, 8)):
        attempt = random_try(rng)
        if rng.random() < 0.3:
            x, y = attempt.x, attempt.y
            ops = "+-*"
        else:
            x, y = attempt.first, attempt.z
            ops = "+-" if attempt.op == "*" else "+-*"
        op = rng.choice(ops)
        if op == "-" and x < y:
            x, y = y, x
        asked.append((f"{x}{op}{y}", combine(x, op, y)))
    prompt = "Work out " + ", ".join(question for question, _ in asked) + "."
    return prompt, "\n".join(f"{question}={answer}." for question, answer in asked)


def dictation(rng: random.Random, hits: float) -> tuple[str, str]:
    """One to nine tries on unrelated numbers, dictated by the user."""
    attempts = [random_try(rng) for _ in range(rng.randint(1, 9))]
    target = pick_target(attempts, rng, hits)
    return f"For {target} try {dictated(attempts)}", carry_out(attempts, target, rng)


def given_tries(rng: random.Random, sets: list[Numbers], hits: float) -> tuple[str, str]:
    """One to nine tries on one set of numbers, chosen and ordered at random."""
    numbers = rng.choice(sets)
    attempts = rng.sample(tries(numbers), rng.randint(1, 9))
    target = pick_target(attempts, rng, hits)
    prompt = f"{problem_text(numbers, target)} Try {dictated(attempts)}"
    return prompt, carry_out(attempts, target, rng, (opening(numbers, target),))


def direct(rng: random.Random, sets: list[Numbers]) -> tuple[str, str]:
    """A puzzle and its answer, without a thought."""
    while True:
        numbers = rng.choice(sets)
        for attempt in rng.sample(tries(numbers), 9):
            slot = rng.randrange(len(attempt.results))
            target = attempt.results[slot]
            if 1 <= target <= MAX_TARGET:
                answer = expression(attempt, slot, attempt.first)
                return problem_text(numbers, target), solution_text(answer)


def makers(rng: random.Random, phase: str) -> dict[str, Callable[[], tuple[str, str]]]:
    """What writes a document (prompt, response) of each skill."""
    sets, hits = number_sets("train"), HITS[phase]
    return {
        "arithmetic": lambda: arithmetic(rng),
        "dictation": lambda: dictation(rng, hits),
        "given_tries": lambda: given_tries(rng, sets, hits),
        "direct": lambda: direct(rng, sets),
    }


def unseen(n: int, seed: int) -> Iterator[str]:
    """n puzzles on number sets of the validation split."""
    return (problem_text(*problem) for problem in problems("validation", n, seed))

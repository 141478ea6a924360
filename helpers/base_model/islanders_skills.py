"""What the islanders base model learns: the skills of a search, never a search.

    recall    Ben lies. Carl tells the truth. Anna tells the truth. What about: Carl, Anna, Ben?
              -> Carl tells the truth, Anna tells the truth, Ben lies.
    quote     Anna says: Ben is a knave. Ben says: ... What about: Carl, Anna, Ben?
              -> Carl says: Anna is a knave or Ben is a knight. (and so on, a line for each)
    judge     Ben lies. Carl tells the truth. True or false: Ben is a knave or Carl is a knave.
              -> Ben is a knave or Carl is a knave. Ben lies and Carl tells the truth, so that is true.
    derive    Ben lies. Anna tells the truth. Ben says: Anna and Carl are of the same kind. What follows? Ben.
              -> Ben says: Anna and Carl are of the same kind. Anna tells the truth. Ben lies, so that ...
    cases     Knights tell ... Who lies, ...? Assume Carl lies: Carl, Anna. Assume Ben tells the truth: Anna.
              -> the cases worked through in that order, in the wording of the traces
    direct    Knights tell ... Who lies, ...?  -> the answer at once

The user names every assumption and whose words come next, so the order of a systematic search appears
nowhere. Whole problems are of the train split only, so validation and test problems are as new to the base
model as to its fine-tunes. Every token of the traces (keywords, think tags) occurs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from helpers.data.traces import render
from helpers.puzzles import islanders
from helpers.puzzles.islanders import NEW_CASE, NO_FURTHER, NOTHING, REFLECTIONS, Said
from helpers.puzzles.shared import reflection, solution_text, split_by_hash
from helpers.puzzles.statements import answer_text, fact, facts, holds
from helpers.puzzles.statements import is_correct as is_correct
from helpers.puzzles.statements import shape as shape

# Shares of the characters, as in countdown_skills. All else builds on recall, so it comes alone at the start.
# What is left to learn after the second phase is to say a long statement again without a slip into another.
MIXTURES = {
    "start": {"recall": 1.0},
    "first": {"recall": 0.05, "judge": 0.25, "derive": 0.3, "cases": 0.33, "direct": 0.07},
    "second": {"recall": 0.02, "judge": 0.13, "derive": 0.35, "cases": 0.48, "direct": 0.02},
    "third": {"recall": 0.04, "quote": 0.24, "judge": 0.06, "derive": 0.25, "cases": 0.39, "direct": 0.02},
}
LEADS = (NEW_CASE, *REFLECTIONS)  # the free parts of a line
LOOKUPS = True  # what an islander is stands anywhere before
TELLING = 0.6  # share of the words in a case that are chosen among those from which something follows
OPEN, NONE_FITS = "That is open", "None of these cases fits."
ABOUT = (
    "it reads what islanders say, judges it, works through cases that the user dictates, and answers puzzles "
    "about knights and knaves at once and mostly wrongly"
)


def solvable(rng: random.Random) -> Said:
    """A random problem of the train split with one solution."""
    while True:
        said = islanders.random_problem(rng)
        if len(islanders.solutions(said)) == 1 and split_by_hash(islanders.structure(said)) == "train":
            return said


def some_kinds(names: list[str], rng: random.Random, least: int = 1) -> dict[str, bool]:
    """Kinds of some of these islanders, at random."""
    return {name: rng.random() < 0.5 for name in rng.sample(names, rng.randint(least, len(names)))}


def stated(parts: list[str]) -> str:
    return " ".join(f"{part}." for part in parts)


def recall(rng: random.Random) -> tuple[str, str]:
    """What everyone is, in another order."""
    kinds = {name: rng.random() < 0.5 for name in rng.sample(islanders.NAMES, rng.choice(islanders.SIZES))}
    asked = rng.sample(list(kinds), len(kinds))
    answer = answer_text({name: kinds[name] for name in asked})
    return f"{stated(facts(kinds))} What about: {', '.join(asked)}?", f"{answer}."


def quote(rng: random.Random) -> tuple[str, str]:
    """What everyone says, in another order."""
    said = islanders.random_problem(rng)
    asked = rng.sample(list(said), len(said))
    lines = [f"{name} says: {said[name]}." for name in asked]
    return f"{' '.join(rng.sample(lines, len(lines)))} What about: {', '.join(asked)}?", "\n".join(lines)


def judge(rng: random.Random) -> tuple[str, str]:
    """Three to six statements, each to be judged by facts that decide it or leave it open."""
    said = islanders.random_problem(rng)
    kinds = some_kinds(list(said), rng, least=2)
    asked = [text for _ in range(2) for text in islanders.random_problem(rng, list(said)).values()][:6]
    lines = [verdict(text, kinds) for text in asked]
    return f"{stated(facts(kinds))} True or false: {'; '.join(asked)}.", "\n".join(lines)


def speaker(sentence: str) -> str:
    """Whose words a sentence is about: "Ben says: ..."."""
    return sentence.partition(" ")[0]


def verdict(text: str, kinds: dict[str, bool]) -> str:
    """A statement as these facts judge it: true, false or open."""
    true = holds(text, kinds)
    if true is None:
        return stated([text, *islanders.known(text, kinds), OPEN])
    return f"{islanders.judgement(text, true, kinds)}."


def derive(rng: random.Random) -> tuple[str, str]:
    """What follows from the words of each, given what some of them are; often nothing."""
    said = islanders.random_problem(rng)
    kinds = some_kinds(list(said), rng)
    given = [*facts(kinds), *(f"{name} says: {text}" for name, text in said.items())]
    lines = [islanders.follows(name, said[name], kinds)[0] for name in rng.sample(list(said), len(said))]
    asked = [speaker(line) for line in lines]
    return f"{stated(given)} What follows? {', '.join(asked)}.", "\n".join(lines)


def cases(rng: random.Random, hits: float) -> tuple[str, str]:
    """One to three cases of a problem, with assumptions and order of the words chosen at random."""
    said = solvable(rng)
    truth = islanders.solutions(said)[0]
    asked, steps = [], [islanders.opening(said)]
    assumptions = rng.sample([(name, knight) for name in said for knight in (True, False)], rng.randint(1, 3))
    if rng.random() < hits:
        name = rng.choice(list(said))
        assumptions = [a for a in assumptions if a != (name, truth[name])] + [(name, truth[name])]
    for number, (name, knight) in enumerate(assumptions):
        lead = f"{NEW_CASE} " if number else ""
        steps.append(f"{lead}Assume {fact(name, knight)}.")
        sentences, kinds = worked(said, {name: knight}, rng)
        order = [speaker(sentence) for sentence in sentences if sentence != NO_FURTHER]
        asked.append(f"Assume {fact(name, knight)}: {', '.join(order) or 'nobody'}.")
        steps += [reflection(rng, islanders.REFLECTION_RATE) + sentence for sentence in sentences]
        if kinds:
            break
    end = solution_text(answer_text(kinds)) if kinds else NONE_FITS
    return f"{islanders.problem_text(said)} {' '.join(asked)}", render(steps, end)


def worked(said: Said, assumed: dict[str, bool], rng: random.Random) -> tuple[list[str], dict | None]:
    """The sentences of a case with its words in random order, and the kinds if all fits, else None."""

    def choose(waiting: list[str], kinds: dict[str, bool]) -> str:
        telling = [n for n in waiting if not islanders.follows(n, said[n], kinds)[0].endswith(NOTHING)]
        return rng.choice(telling if telling and rng.random() < TELLING else waiting)

    return islanders.case(said, assumed, [], choose)


def direct(rng: random.Random) -> tuple[str, str]:
    """A problem and its answer, without a thought."""
    said = solvable(rng)
    return islanders.problem_text(said), solution_text(answer_text(islanders.solutions(said)[0]))


def makers(rng: random.Random, phase: str) -> dict[str, Callable[[], tuple[str, str]]]:
    """What writes a document (prompt, response) of each skill."""
    hits = 0.5 if phase == "first" else 0.8
    return {
        "recall": lambda: recall(rng),
        "quote": lambda: quote(rng),
        "judge": lambda: judge(rng),
        "derive": lambda: derive(rng),
        "cases": lambda: cases(rng, hits),
        "direct": lambda: direct(rng),
    }


def unseen(n: int, seed: int) -> Iterator[str]:
    """n problems of the validation split."""
    return (islanders.problem_text(dict(problem)) for problem in islanders.problems("validation", n, seed))

"""The answer to an islanders puzzle: who is a knight (always tells the truth) and who a knave (always lies).

    statements("Anna says: Ben is a knave. Ben says: Anna is not a knight. Who lies?")
    # {"Anna": "Ben is a knave", "Ben": "Anna is not a knight"}
    holds("Ben is a knave or Carl is a knight", {"Ben": True})     # None: it depends on Carl
    is_correct("So \\boxed{Anna tells the truth, Ben lies}.", problem)

A statement names islanders with: is, is not, and, or, if ... then, are of the same kind, exactly one of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from helpers.answers.boxed import final_answer

LONGEST = 400  # characters of an answer; five islanders need a third of it
SAYS = re.compile(r"([A-Z][a-z]+) says: ([^.:]+)\.")
TYPESET = re.compile(r"\\(?:text[a-z]*|mathrm|mbox|quad|[ ,;!])?|[{}$~]")
IS = r"([A-Z][a-z]+) is (not )?a (knight|knave)"
BEHAVIOUR = {True: "tells the truth", False: "lies"}
SAME = (  # what says the same of one or several, in the order in which it is replaced
    (r"does not lie|tells the truth", "is a knight"),
    (r"does not tell the truth|lies", "is a knave"),
    (r"tell the truth", "are knights"),
    (r"lie", "are knaves"),
)
NAME = "(?!knight|knave)[a-z]+"
NAMES = f"(?P<names>{NAME}(?:(?:,? and |, ?){NAME})"
SINGLE = re.compile(rf"\b({NAME}) ?(?:is|[:=(-])? ?(not )?(?:an? |the )?\b(knight|knave)\b", re.IGNORECASE)
SEVERAL = (
    re.compile(rf"\b(?P<kind>knight|knave)s? ?: ?{NAMES}*)", re.IGNORECASE),
    re.compile(rf"\b{NAMES}+) are (?:both |all )?(?P<kind>knight|knave)s", re.IGNORECASE),
)
BOTH = r"([A-Z][a-z]+) and ([A-Z][a-z]+)"
FORMS = {
    "is": re.compile(IS),
    "and": re.compile(f"{IS} and {IS}"),
    "or": re.compile(f"{IS} or {IS}"),
    "if": re.compile(f"if {IS} then {IS}"),
    "same": re.compile(f"{BOTH} are of the same kind"),
    "one": re.compile(f"exactly one of {BOTH} is a knight"),
}

Kinds = Mapping[str, bool]  # by name, whether an islander is a knight


def kind(knight: bool) -> str:
    return "knight" if knight else "knave"


@dataclass(frozen=True)
class Statement:
    """A form in `FORMS`, and the claims in it: (name, whether that name is said to be a knight)."""

    form: str
    claims: tuple[tuple[str, bool], ...]


@lru_cache(maxsize=65536)
def parse(text: str) -> Statement:
    """The statement that a text makes; ValueError if it makes none."""
    for form, pattern in FORMS.items():
        if match := pattern.fullmatch(text):
            parts = match.groups()
            if form in ("same", "one"):
                return Statement(form, ((parts[0], True), (parts[1], True)))
            return Statement(form, tuple(map(claim, parts[::3], parts[1::3], parts[2::3])))
    raise ValueError(f"not a statement about islanders: {text!r}")


def claim(name: str, negated: str | None, kind: str) -> tuple[str, bool]:
    """Whom "Ben is not a knave" is about, and whether it makes him a knight."""
    return name, (kind == "knight") != bool(negated)


def holds(text: str, kinds: Kinds) -> bool | None:
    """Whether a statement is true; None where that depends on islanders whose kind is not given."""
    statement = parse(text)
    first, *rest = [None if kinds.get(n) is None else kinds[n] == knight for n, knight in statement.claims]
    if statement.form == "is":
        return first
    second = rest[0]
    if statement.form in ("same", "one"):
        return None if None in (first, second) else (first == second) == (statement.form == "same")
    if statement.form == "and":
        return False if False in (first, second) else None if None in (first, second) else True
    if statement.form == "if":
        first = None if first is None else not first
    return True if True in (first, second) else None if None in (first, second) else False


def statement_text(statement: Statement, negated: tuple[bool, ...] = (False, False)) -> str:
    """A statement in words; a negated claim says "is not a knave" for "is a knight"."""
    names = [name for name, _ in statement.claims]
    if statement.form == "same":
        return f"{names[0]} and {names[1]} are of the same kind"
    if statement.form == "one":
        return f"exactly one of {names[0]} and {names[1]} is a knight"
    parts = [
        f"{name} is not a {kind(not knight)}" if no else f"{name} is a {kind(knight)}"
        for (name, knight), no in zip(statement.claims, negated, strict=False)
    ]
    if statement.form == "if":
        return f"if {parts[0]} then {parts[1]}"
    return f" {statement.form} ".join(parts)


def fact(name: str, knight: bool) -> str:
    """What an islander is, in words of its own: "Ben lies" is concluded, "Ben is a knave" somebody says."""
    return f"{name} {BEHAVIOUR[knight]}"


def facts(kinds: Kinds) -> list[str]:
    """What each of these islanders is."""
    return [fact(name, knight) for name, knight in kinds.items()]


def listed(parts: list[str]) -> str:
    """ "A, B and C"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def answer_text(kinds: Kinds) -> str:
    """What everyone is, as in the box of a solution."""
    return ", ".join(facts(kinds))


def fits(said: Mapping[str, str], kinds: Kinds) -> bool:
    """Whether every knight is right and every knave is wrong."""
    return all(holds(text, kinds) == kinds[name] for name, text in said.items())


def statements(problem: str) -> dict[str, str]:
    """What each islander of a problem says, by name, in order."""
    return dict(SAYS.findall(problem))


def structure(said: Mapping[str, str]) -> tuple:
    """What is left of a problem without its names and their order: the same for all renamings."""
    names, found = list(said), []
    spoken = [parse(text) for text in said.values()]
    for order in permutations(range(len(names))):
        place = dict(zip(names, order, strict=True))
        moved = [(place[name], s.form, claims_of(s, place)) for name, s in zip(names, spoken, strict=True)]
        found.append(tuple(sorted(moved)))
    return min(found)


def shape(problem: str) -> tuple:
    """What two problems in text share if they count as the same for the splits: their structure."""
    return structure(statements(problem))


def claims_of(statement: Statement, place: dict[str, int]) -> tuple:
    claims = [(place[name], knight) for name, knight in statement.claims]
    return tuple(claims if statement.form == "if" else sorted(claims))


def answer_of(text: str) -> dict[str, bool]:
    """The kinds that an answer names, by islander; empty if it contradicts itself or is too long.

    Read, in upper or lower case: "Ben tells the truth", "Ben is a knight", "Ben: knight", "Ben is not a
    knave", "Ben and Ida lie", "Ben and Ida are knaves", "Knights: Ben, Ida".
    """
    plain = " ".join(TYPESET.sub(" ", text).split()) if len(text) <= LONGEST else ""
    for behaviour, same in SAME:
        plain = re.sub(rf"\b(?:always )?(?:{behaviour})\b", same, plain, flags=re.IGNORECASE)
    named = [claim(name.capitalize(), no, kind.lower()) for name, no, kind in SINGLE.findall(plain)]
    for names, kind in [m.group("names", "kind") for form in SEVERAL for m in form.finditer(plain)]:
        listed = re.findall("[a-z]+", re.sub(r"\b(?:and|both|all|none|nobody)\b", " ", names.lower()))
        named += [claim(name.capitalize(), None, kind.lower()) for name in listed]
    return dict(named) if len({name for name, _ in named}) == len(set(named)) else {}


def is_correct(response: str, problem: str) -> bool:
    """Whether the box names the kind of every islander so that knights are right and knaves are wrong."""
    said, answer = statements(problem), final_answer(response)
    kinds = answer_of(answer) if answer is not None else {}
    return kinds.keys() == said.keys() and fits(said, kinds)

"""The answer to an islanders puzzle: who is a knight (always tells the truth) and who a knave (always lies).

    statements("Anna says: Ben lies. Ben says: Anna does not tell the truth. Who is what?")
    # {"Anna": "Ben lies", "Ben": "Anna does not tell the truth"}
    holds("Ben lies or Carl tells the truth", {"Ben": True})       # None: it depends on Carl
    is_correct("So \\boxed{Anna is a knight, Ben is a knave}.", problem)

A statement says of islanders that they lie or tell the truth, or do not, with: and, or, if ... then, are of
the same kind, exactly one of. So it never reads like a conclusion ("Ben is a knave"), which a small model
would mix up with it.
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
VERBS = {"lies": False, "tells the truth": True, "does not lie": True, "does not tell the truth": False}
DOES = f"([A-Z][a-z]+) ({'|'.join(VERBS)})"
NAME = "(?!knight|knave)[a-z]+"
NAMES = f"(?P<names>{NAME}(?:(?:,? and |, ?){NAME})"
SINGLE = re.compile(rf"\b({NAME}) ?(?:is|[:=(-])? ?(not )?(?:an? |the )?\b(knight|knave)\b", re.IGNORECASE)
SEVERAL = (
    re.compile(rf"\b(?P<kind>knight|knave)s? ?: ?{NAMES}*)", re.IGNORECASE),
    re.compile(rf"\b{NAMES}+) are (?:both |all )?(?P<kind>knight|knave)s", re.IGNORECASE),
)
BOTH = r"([A-Z][a-z]+) and ([A-Z][a-z]+)"
FORMS = {
    "does": re.compile(DOES),
    "and": re.compile(f"{DOES} and {DOES}"),
    "or": re.compile(f"{DOES} or {DOES}"),
    "if": re.compile(f"if {DOES} then {DOES}"),
    "same": re.compile(f"{BOTH} are of the same kind"),
    "one": re.compile(f"exactly one of {BOTH} lies"),
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
            claims = zip(parts[::2], map(VERBS.get, parts[1::2]), strict=True)
            return Statement(form, tuple(claims))
    raise ValueError(f"not a statement about islanders: {text!r}")


def claim(name: str, negated: str | None, kind: str) -> tuple[str, bool]:
    """Whom "Ben is not a knave" is about, and whether it makes him a knight."""
    return name, (kind == "knight") != bool(negated)


def holds(text: str, kinds: Kinds) -> bool | None:
    """Whether a statement is true; None where that depends on islanders whose kind is not given."""
    statement = parse(text)
    first, *rest = [None if kinds.get(n) is None else kinds[n] == knight for n, knight in statement.claims]
    if statement.form == "does":
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
    """A statement in words; a negated claim says "does not lie" for "tells the truth"."""
    names = [name for name, _ in statement.claims]
    if statement.form == "same":
        return f"{names[0]} and {names[1]} are of the same kind"
    if statement.form == "one":
        return f"exactly one of {names[0]} and {names[1]} lies"
    said = {(knight, "not" in verb): verb for verb, knight in VERBS.items()}
    parts = [
        f"{name} {said[knight, no]}" for (name, knight), no in zip(statement.claims, negated, strict=False)
    ]
    if statement.form == "if":
        return f"if {parts[0]} then {parts[1]}"
    return f" {statement.form} ".join(parts)


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

    Read, in upper or lower case: "Ben is a knight", "Ben: knight", "Ben is not a knave", "Ben and Ida are
    knaves", "Knights: Ben, Ida".
    """
    plain = " ".join(TYPESET.sub(" ", text).split()) if len(text) <= LONGEST else ""
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

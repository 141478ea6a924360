"""Find dangling references in a response: numbers that appear from nowhere, steps that were never numbered.

    dangling("Use 5, 19 and 20 to make 6.", "5+19=24. With 20: 44, 4, 480. No 6.\\n\\n19-8=11.")
    # [(40, 41)]: 8 is neither given nor a result so far

In a puzzle a number may be used if it is given or is a result (right or wrong) that was written earlier; the
target may be mentioned but not calculated with. In any other text "step 4" needs an earlier step 4, in the
problem or the response: one that opens a line or a sentence, has a colon, or is a line's number ("4."). The
same goes for cases. Not covered: whether a result is right, and references in words ("as we saw").
"""

from __future__ import annotations

import re

from helpers.puzzles.expressions import numbers_and_target

PUZZLE = re.compile(r"Use \d+(?:, \d+)* and \d+ to make \d+\.")
NUMBER = re.compile(r"[0-9]+")
RESULTS = re.compile(r"=\s?[0-9]++|With [0-9]++:(?: ?[0-9]++,?)*")  # "5+19=24. With 20: 44, 4, 480."
OPERAND = re.compile(r"[-+*/×÷·−] ?\(? ?$|With $"), re.compile(r" ?\)? ?[-+*/×÷·−]")
NAMED = re.compile(
    r"(?P<opens>^[\s#*_>-]*|[.!?:]\s+)?\b(?P<kind>step|case) \(?(?P<number>[0-9]{1,3})\b(?P<colon>:)?",
    re.IGNORECASE | re.MULTILINE,
)
LISTED = re.compile(r"^[ \t#*_>-]*\(?([0-9]{1,3})[*_]*[.)]\s", re.MULTILINE)
REACH = 6  # characters around a number in which an operator counts

Span = tuple[int, int]


def is_puzzle(problem: str) -> bool:
    """Whether this problem is a puzzle, so that the numbers of its responses can be followed."""
    return PUZZLE.fullmatch(problem.strip()) is not None


def dangling(problem: str, response: str) -> list[Span]:
    """Character ranges of dangling references: to numbers in a puzzle, otherwise to steps."""
    return unknown_numbers(problem, response) if is_puzzle(problem) else unknown_steps(problem, response)


def unknown_numbers(problem: str, response: str) -> list[Span]:
    """Numbers in a puzzle's response that are neither given, nor an earlier result, nor the named target."""
    given, target = numbers_and_target(problem)
    known, found = set(given), []
    made = {
        match.start() + number.start()
        for match in RESULTS.finditer(response)
        for number in NUMBER.finditer(match[0], match[0].find(":") + 1)
    }
    before, after = OPERAND
    for match in NUMBER.finditer(response):
        start, end = match.span()
        number = int(match[0][:18])
        reckoned = before.search(response[max(0, start - REACH) : start]) or after.match(response, end)
        if start in made:
            known.add(number)
        elif number not in known and (reckoned or number != target):
            found.append((start, end))
    return found


def unknown_steps(problem: str, response: str) -> list[Span]:
    """Numbered steps and cases that a response refers to before anything has that number."""
    known = {(m["kind"].lower(), int(m["number"])) for m in NAMED.finditer(problem)}
    known |= {(kind, int(m[1])) for m in LISTED.finditer(problem) for kind in ("step", "case")}
    lines = [(m.start(), int(m[1])) for m in LISTED.finditer(response)]
    found = []
    for match in NAMED.finditer(response):
        name = (match["kind"].lower(), int(match["number"]))
        if match["opens"] is not None or match["colon"]:
            known.add(name)
        elif name not in known and not any(at < match.start() and n == name[1] for at, n in lines):
            found.append((match.start("kind"), match.end("number")))
    return found

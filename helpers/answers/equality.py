r"""Whether an answer in LaTeX is the gold answer: the one comparer of the package.

    compare(r"\frac{1}{2}", "0.5")              -> "ok"
    compare("x=1, x=-2", "-2, 1")               -> "ok"
    compare(r"3 \text{ hours}", r"3 \text{ h}")  -> "ok"
    same_answer("circle", "a round thing")      -> None: don't know

An answer is taken apart as it is written (lists, points, sets, intervals, matrices, equations, inequalities,
numbers with units, words), and each part has to have its partner in the gold. Parts that are plain numbers
are compared exactly, words as words, formulas by algebra.py. A part that was not read to its end
equals only the same text.

`quick` leaves the formulas undecided and imports nothing heavy. `compare` may run for ever and may fill the
memory, for what it reads is a model's text: workers.py calls it in processes that can be killed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from types import ModuleType

from helpers.answers.forms import Form, form, leaves, members, rational, squash, words
from helpers.answers.latex import LONGEST, clean, deep
from helpers.answers.units import MEANT, UNITS, phrase

MANY = 50  # elements of a list that are compared pairwise
COMMAS = re.compile(r"[-+]?\d{1,3}(?:,\s?\d{3}){1,30}(?:\.\d{1,100})?")
LABEL = re.compile(
    r"(?:\\text\{)?(?:the )?(?:final |correct )?(?:answer|ans|result|solution|option|choice)(?: is)?"
    r"\s*[:=]?\s*(?:\}\s*[:=]?)?\s*(?=\S)",
    re.IGNORECASE,
)
WORDED = re.compile(r"\\text\{([^{}]*)\}(\^\{\d\})?")
CHOICE = re.compile(r"\(?([A-J])(?:\)\s*[.:]?|[.:]|$)\s*(.*)|\(?([a-j])\)?", re.S)


def quick(gold: str, answer: str, tolerance: float = 0.0) -> str | None:
    """The verdict on a pair that needs no algebra ("ok", "wrong", "unparsed"), else None.

    An answer that is empty, longer than LONGEST characters or deeper than DEEPEST brackets is "unparsed".
    """
    if max(len(gold), len(answer)) > LONGEST or deep(gold) or deep(answer) or not clean(answer):
        return "unparsed"
    return {True: "ok", False: "wrong", None: None}[same(gold, answer, Fraction(str(tolerance)), None)]


def compare(gold: str, answer: str, tolerance: float = 0.0) -> str:
    """ "ok", "wrong", or "unparsed" where a part of the answer is neither mathematics nor words.

    `tolerance` is the difference that a number in the answer may have. Call it in a worker process only.
    """
    verdict = quick(gold, answer, tolerance)
    if verdict is not None:
        return verdict
    from helpers.answers import algebra

    if same(gold, answer, Fraction(str(tolerance)), algebra):
        return "ok"
    outside = [re.sub(r"\\text\{[^{}]*\}|%$", "", leaf) for leaf in leaves(form(clean(answer)))]
    read = words(clean(answer)) or all(not text.strip() or algebra.readable(text) for text in outside)
    return "wrong" if read else "unparsed"


def same_answer(found: str, expected: str) -> bool | None:
    """Whether two final answers are the same, as far as that can be told without algebra; else None."""
    if found == expected:
        return True
    return {"ok": True, "wrong": False}.get(quick(expected, found))


def same(gold: str, answer: str, tolerance: Fraction, algebra: ModuleType | None) -> bool | None:
    """Whether two answers are the same; None where only algebra could tell and it is not available."""
    gold, answer = (re.sub(r"^\\text\{([^{}]*)\}$", r"\1", clean(text)) for text in (gold, answer))
    if squash(gold) == squash(answer) or (words(gold) and words(gold) == words(answer)):
        return True
    gold, answer = (text[label.end() :] if (label := LABEL.match(text)) else text for text in (gold, answer))
    choices = [CHOICE.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r"\1", text)) for text in (gold, answer)]
    if all(choices):
        letters = [(m[1] or m[3]).upper() for m in choices]
        both = choices[0][2] and choices[1][2]
        return letters[0] == letters[1] and (
            not both or same(choices[0][2], choices[1][2], tolerance, algebra)
        )
    if choices[0] and choices[0][2]:
        return same(choices[0][2], answer, tolerance, algebra)
    for one, other in ((gold, answer), (answer, gold)):
        if rational(one) is not None and COMMAS.fullmatch(other):  # next to a number it is not a list
            return same(one, re.sub(r",\s?", "", other), tolerance, algebra)
    return match(form(gold), form(answer), tolerance, algebra)


def match(gold: Form, answer: Form, tolerance: Fraction, algebra: ModuleType | None) -> bool | None:
    """Whether two forms are the same: True, False or None, as in `same`."""
    no = False if algebra else None

    def ordered(first: Sequence[Form], second: Sequence[Form]) -> bool | None:
        if len(first) != len(second):
            return no
        return every(match(g, a, tolerance, algebra) for g, a in zip(first, second, strict=True))

    kinds = {gold.kind, answer.kind}
    if algebra and kinds == {"=", "leaf"}:  # 2+3=5 for 5: what is true for all values is no more than its end
        identity = gold if gold.kind == "=" else answer
        if algebra.equal(*identity.parts, Fraction(0)):
            ends = (form(f.parts[-1]) for f in (gold, answer))
            return match(*ends, tolerance, algebra)
    if gold.name and answer.name and gold.name != answer.name or kinds & {"=", "<", "\\le", "\\ne", "\\in"}:
        return related(gold, answer, algebra)
    if kinds in ({"union"}, {"union", "list"}):
        return unordered(gold.parts, answer.parts, tolerance, algebra)
    if kinds & {"list", "set"}:
        points = [f.parts for f in (gold, answer) if f.kind == "()"]
        if points and "list" in kinds and len(kinds) == 2:
            in_order = gold.kind == "()"
        else:
            in_order = len({f.name for f in members(gold) if f.name}) == len(members(gold)) > 1
            in_order = in_order and not any(f.name for f in members(answer))
        first, second = (
            f.parts if f.kind == "()" and "set" not in kinds else members(f) for f in (gold, answer)
        )
        if len(first) == 1 and answer.kind == "list" and len({f.name for f in second}) == 1:
            # the same answer, boxed twice in two spellings
            return every(match(gold, a, tolerance, algebra) for a in second)
        return ordered(first, second) if in_order else unordered(first, second, tolerance, algebra)
    if kinds == {"matrix", "()"}:  # a vector as a column or a row, and as a point
        matrix = gold if gold.kind == "matrix" else answer
        cells = [cell for row in matrix.parts for cell in row.parts]
        if len(matrix.parts) in (1, len(cells)):
            return ordered(*(cells if f is matrix else f.parts for f in (gold, answer)))
        return no
    if gold.kind != answer.kind:
        vectors = all(kind in ("()", "[]") for kind in kinds) and len(gold.parts) > 2
        return ordered(gold.parts, answer.parts) if vectors else no
    if gold.kind == "leaf":
        return leaf(gold.parts[0], answer.parts[0], tolerance, algebra)
    return ordered(gold.parts, answer.parts)


def every(values: Iterable[bool | None]) -> bool | None:
    """True if all are, False if one is not, otherwise None."""
    known = set(values)
    return False if False in known else None if None in known else True


def unordered(
    first: Sequence[Form], second: Sequence[Form], tolerance: Fraction, algebra: ModuleType | None
) -> bool | None:
    """Whether the forms of both sides can be matched one to one."""
    common = Counter(first) & Counter(second)
    first, second = list((Counter(first) - common).elements()), list((Counter(second) - common).elements())
    if len(first) != len(second) or len(first) > MANY:
        return False if algebra else None
    unknown = False
    for gold in first:
        found = [match(gold, answer, tolerance, algebra) for answer in second]
        if True in found:
            second.pop(found.index(True))
        elif None not in found:
            return False
        else:
            unknown = True
    return None if unknown else True


def related(gold: Form, answer: Form, algebra: ModuleType | None) -> bool | None:
    """Whether two relations mean the same; "x = 5" is one if the other side is one or has another name."""
    pairs = [
        ("=", f.name, f.parts[0]) if f.name and f.kind == "leaf" else (f.kind, *f.parts)
        for f in (gold, answer)
    ]
    if algebra is None or pairs[0][0] != pairs[1][0] or not all(len(pair) == 3 for pair in pairs):
        return False if algebra else None
    return algebra.proportional(*pairs[0], *pairs[1][1:])


def leaf(gold: str, answer: str, tolerance: Fraction, algebra: ModuleType | None) -> bool | None:
    """Whether two parts are the same: as text, exact numbers, numbers with units, or by algebra."""
    if squash(gold) == squash(answer):
        return True
    values = rational(gold), rational(answer)
    if None not in values:
        return abs(values[0] - values[1]) <= tolerance
    if "%" in (gold[-1:], answer[-1:]):
        bare = [text.rstrip("% ") for text in (gold, answer)]
        numbers = [hundredth(b) if b != text else b for b, text in zip(bare, (gold, answer), strict=True)]
        verdicts = [leaf(*texts, tolerance, algebra) for texts in (bare, numbers)]
        return True if True in verdicts else every(verdicts)
    gold, answer = (
        with_unit(gold) if "\\text" in answer else gold,
        with_unit(answer) if rational(gold) is not None or "\\text" in gold else answer,
    )
    if WORDED.search(gold) or WORDED.search(answer):
        return with_words(gold, answer, tolerance, algebra)
    return algebra.equal(gold, answer, tolerance) if algebra else None


def with_unit(text: str) -> str:
    """Split "12 m" into number and unit; only called where the letter cannot be a variable."""
    return re.sub(r"(?<=[\d}])\s*([msghLlNJWVKAFC])(\^\{\d\})?$", r"\\text{\1}\2", text)


def hundredth(text: str) -> str:
    """A text divided by 100; numbers become fractions, so that they are compared exactly."""
    value = rational(text)
    if value is None:
        return f"({text})/100"
    return f"{'-' * (value < 0)}\\frac{{{abs(value.numerator)}}}{{{100 * value.denominator}}}"


def with_words(gold: str, answer: str, tolerance: Fraction, algebra: ModuleType | None) -> bool | None:
    """Numbers with words: the same words on both sides, or a unit on one side only."""
    sides = [WORDED.split(text) for text in (gold, answer)]
    maths = [[part.strip() for part in side[::3] if part.strip()] for side in sides]
    said = [[phrase(w, e or "") for w, e in zip(side[1::3], side[2::3], strict=True)] for side in sides]
    no = False if algebra else None
    if all(said):
        if said[0] != said[1] or len(maths[0]) != len(maths[1]):
            return no
        return every(leaf(g, a, tolerance, algebra) for g, a in zip(*maths, strict=True))
    one = 0 if said[0] else 1
    other = answer if one == 0 else gold
    spoken = {word for words in said[one] for word in words}
    units = all(word in UNITS.values() or word in "/23" for word in spoken)
    counted = rational(other) is not None and spoken.isdisjoint(MEANT.split())
    if len(maths[one]) != 1 or not (units or counted):
        return no
    pair = (maths[one][0], other)
    return leaf(*(pair if one == 0 else pair[::-1]), tolerance, algebra)

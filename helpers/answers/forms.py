r"""Answers taken apart as they are written: lists, points, sets, intervals, matrices, relations, leaves.

form("x=1, x=-2")  -> Form("list", (Form("leaf", ("1",), "x"), Form("leaf", ("-2",), "x")))
form(r"-2 < x \le 7")  -> Form("(]", (Form("leaf", ("-2",)), Form("leaf", ("7",))), "x")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from helpers.answers.latex import split

NUMBER = r"(?:\d{1,100}(?:\.\d{0,100})?|\.\d{1,100})"
RATIONAL = re.compile(
    rf"([-+]?)\s*(?:({NUMBER})(?:\s*\\cdot 10\^\{{([-+]?\d{{1,3}})\}})?"
    rf"|\(?(?:(\d{{1,100}})\+)?\\frac\{{(-?{NUMBER})\}}\{{({NUMBER})\}}\)?|({NUMBER})\s*/\s*({NUMBER}))"
)
VARIABLE = re.compile(r"(?:\\[a-zA-Z]+|[a-zA-Z])'*(?:_\{[^{}]*\})?")
MATRIX = re.compile(r"[(\[]?\s*\\begin\{(\w*matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}\s*[)\]]?", re.S)
RELATIONS = ("=", "\\approx", "<", ">", "\\le", "\\ge", "\\ne", "\\equiv", "\\in")
TURNED = {">": "<", "\\ge": "\\le", "<": ">", "\\le": "\\ge"}


class Form(NamedTuple):
    """An answer taken apart, with the name that was given to it, as in "x = 5".

    `kind` and what `parts` are: "leaf" (its text); "list", "set" and "union" (forms in any order); two
    brackets such as "(]" (forms: a point or an interval); ":" (forms: a ratio or a time); "matrix" and "row"
    (forms); "=", "<", "\\le", "\\ne" and "\\in" (the texts of both sides); "\\equiv" (forms of both sides
    and the modulus).
    """

    kind: str
    parts: tuple
    name: str = ""


def form(text: str) -> Form:
    """Take a cleaned answer apart."""
    text = text.strip()
    while text.startswith("{") and closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    elements = [part for part in split(text, ",", ";") if part]
    if len(elements) > 1:
        forms = [form(element) for element in elements]
        return Form("list", tuple(f for one in forms for f in (one.parts if one.kind == "list" else (one,))))
    text = elements[0] if elements else ""
    if matrix := MATRIX.fullmatch(text):
        rows = [row for row in split(matrix[2], "\\\\") if row]
        kind = "vmatrix" if matrix[1].lower() == "vmatrix" else "matrix"
        return Form(kind, tuple(Form("row", tuple(map(form, split(row, "&")))) for row in rows))
    if len(chain := split(text, *RELATIONS, keep=True)) > 1:
        return relation(chain)
    if len(union := split(text, "\\cup")) > 1:
        return Form("union", tuple(map(form, union)))
    if len(ratio := split(text, ":")) > 1 and all(ratio):
        label = words(ratio[0]) if len(ratio) == 2 else ""
        return form(ratio[1])._replace(name=label) if label else Form(":", tuple(map(form, ratio)))
    if named := re.fullmatch(r"([a-zA-Z])\s*(\(.*\]|\[.*\))", text):  # t(0,4]
        return form(named[2])._replace(name=named[1])
    if text.startswith(("(", "[")) and closing(text) == len(text) - 1:
        inner = [part for part in split(text[1:-1], ",", ";") if part]
        if len(inner) > 1:
            return Form(text[0] + text[-1], tuple(map(form, inner)))
        if text[0] + text[-1] == "()" and rational(text) is None:
            return form(text[1:-1])
    if re.fullmatch(r"\\\{.*\\\}", text, re.S) and len(split(text[2:-2], "|", ":")) == 1:
        return Form("set", members(form(text[2:-2])))
    if re.search(r"\\(pm|mp)(?![a-zA-Z])", text):
        signs = [{"pm": a, "mp": b} for a, b in ("+-", "-+")]
        both = [re.sub(r"\\(pm|mp)(?![a-zA-Z])", lambda m, s=s: s[m[1]], text) for s in signs]
        return Form("list", tuple(map(form, both)))
    return Form("leaf", (text,))


def closing(text: str) -> int:
    """Where the bracket that opens a text is closed, by a bracket of any kind; -1 if nowhere."""
    level = 0
    for i, character in enumerate(text):
        level += (character in "([{") - (character in ")]}")
        if level == 0:
            return i
    return -1


def relation(chain: list[str]) -> Form:
    """An equation with a name, an inequality as an interval, or both sides of a relation."""
    sides, signs = chain[::2], ["=" if sign == "\\approx" else sign for sign in chain[1::2]]
    if set(signs) <= {"="} and is_name(sides[0]) or signs == ["\\in"] and is_name(sides[0]):
        return form(sides[-1])._replace(name=squash(sides[0]))
    if signs == ["="] and is_name(sides[1]):
        return form(sides[0])._replace(name=squash(sides[1]))
    if len(signs) == 1 and signs[0] in ("=", "\\ne", "\\in"):
        return Form(signs[0], tuple(sides))
    if signs == ["\\equiv"] and len(modulus := sides[1].split("\\pmod")) == 2:
        return Form("\\equiv", tuple(form(side) for side in (sides[0], *modulus)))
    if all(sign in (">", "\\ge") for sign in signs):
        sides, signs = sides[::-1], [TURNED[sign] for sign in reversed(signs)]
    if not all(sign in ("<", "\\le") for sign in signs):
        return Form("leaf", (" ".join(chain),))
    variables = [
        i
        for i, side in enumerate(sides)
        if VARIABLE.fullmatch(side) and "infty" not in side and side != "\\pi"
    ]
    if len(variables) == 1 and (at := variables[0]) >= len(signs) - 1 and len(signs) <= 2:
        low = (sides[at - 1], signs[at - 1]) if at else ("-\\infty", "<")
        high = (sides[at + 1], signs[at]) if at < len(signs) else ("\\infty", "<")
        if len(signs) == 1 or at == 1:
            brackets = ("(" if low[1] == "<" else "[") + (")" if high[1] == "<" else "]")
            return Form(brackets, (form(low[0]), form(high[0])), squash(sides[at]))
    pairs = tuple(Form(sign, (sides[i], sides[i + 1])) for i, sign in enumerate(signs))
    return pairs[0] if len(pairs) == 1 else Form("list", pairs)


def is_name(text: str) -> bool:
    """Whether the part before "=" is a name or a formula without numbers: f(2), a_1, BC^2, x + y."""
    text = re.sub(
        r"^[A-Z]{2}\^\{2\}$|_\{[^{}]*\}|\\text\{[^{}]*\}|(?<=[a-zA-Z])\([\w\s,]*\)|\^\{-1\}", "x", text
    )
    return bool(text) and not re.search(r"[\d!|<>]", text)


def members(one: Form) -> tuple[Form, ...]:
    return one.parts if one.kind in ("list", "set") else (one,)


def leaves(one: Form) -> Iterator[str]:
    """The texts that a form consists of."""
    todo: list[Form | str] = [one]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            yield part
        else:
            todo += part.parts


def rational(text: str) -> Fraction | None:
    """The value of a cleaned integer, decimal, fraction, mixed number or power of ten; otherwise None."""
    found = RATIONAL.fullmatch(text.strip()) if len(text) < 400 else None
    if found is None:
        return None
    sign, number, power, whole, above, below, over, under = found.groups()
    try:
        if number:
            value = Fraction(number) * Fraction(10) ** int(power or 0)
        else:
            value = Fraction(whole or 0) + Fraction(above or over) / Fraction(below or under)
    except ZeroDivisionError:
        return None
    return -value if sign == "-" else value


def squash(text: str) -> str:
    """A cleaned text without fonts, and without spaces except between two numbers or words."""
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    return re.sub(r"\s+(?!\w)|(?<!\w)\s+", "", text)


def words(text: str) -> str:
    r"""A text answer as it is compared, `\text{(C)}` -> "c": without markup, case and brackets around it.

    Empty where the answer is anything but words.
    """
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    text = " ".join(re.sub(r"^[\s(){}\[\]'*]+|[\s(){}\[\].'*]+$", "", text).casefold().split())
    return text if re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+)*", text) else ""

"""A second grader for numeric answers, to audit the first: exact arithmetic, nothing shared but `clean`.

    audit("\\\\frac{3}{2}, 2", "2, 1.5")  -> "ok"
    audit("\\\\frac{1}{3}", "0.33")       -> "wrong"
    audit("2n", "n+n")                  -> None: not a number, no opinion

Numbers are fractions of whole numbers as long as they can be, and decimals of 60 digits from the first
root or pi on. Read: + - * / ^ !, their TeX forms, \\frac, \\sqrt, \\pi, mixed numbers, percent, degrees, a
name and = before the number; lists of numbers in any order, points in theirs.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from math import factorial

from helpers.answers.latex import LONGEST, clean, deep, split
from helpers.answers.units import UNITS, phrase

Number = Fraction | Decimal
DIGITS = Context(prec=60)
CLOSE = Decimal("1e-45")  # relative; far above the error of 60 digits, far below any rounding by hand
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
BITS = 20_000  # of the largest power that is worked out
TOKEN = re.compile(r"\s*(\d+(?:,\d{3})+(?:\.\d+)?(?!\d)|\d*\.\d+|\d+\.?|\\[a-zA-Z]+|[-+*/^(){}\[\]!%])")
UNIT = re.compile(
    r"\\(?:text|mbox|mathrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?\s*$|\^\{?\\circ\}?\s*$|(?:degrees|dollars|cents)$"
)
NAME = re.compile(r"\s*[a-zA-Z](?:_\{?\w+\}?)?(?:\([a-z\d]+\))?\s*")
TIMES, OVER = ("*", "\\cdot", "\\times"), ("/", "\\div")


def audit(gold: str, answer: str) -> str | None:
    """ "ok" or "wrong" by exact arithmetic; None unless both sides are numbers, or lists of them."""
    if max(len(gold), len(answer)) > LONGEST:
        return None
    values = [numbers(text) for text in (gold, answer)]
    units = [phrase(unit[0]) for text in (gold, answer) if (unit := UNIT.search(clean(text)))]
    if len(set(units)) > 1:
        return None
    if None in values or not all(values):
        return None
    (gold_point, golds), (answer_point, answers) = values
    if len(golds) == 1 and not answer_point:
        golds = golds * len(answers)  # one answer, boxed twice
    if not (gold_point and answer_point):
        golds, answers = sorted(golds, key=decimal), sorted(answers, key=decimal)
    same = len(golds) == len(answers) and all(map(equal, golds, answers))
    bare = [clean(text).replace("%", "") for text in (gold, answer)]
    if not same and ("%" in clean(gold)) != ("%" in clean(answer)):
        return audit(*bare)
    return "ok" if same else "wrong"


def numbers(text: str) -> tuple[bool, list[Number]] | None:
    """Whether a text is a point in brackets, and its numbers; None where it is anything else."""
    if deep(text):
        return None
    text = clean(text)
    if len(split(text, ",")) > 1 < text.count("="):
        return None  # which value belongs to which name is not told here
    unit = UNIT.search(text)
    if unit and not set(phrase(unit[0])) <= {"text", "circ", *UNITS.values()}:
        return None
    text = UNIT.sub("", text).strip()
    point = bool(re.fullmatch(r"\(.*,.*\)", text)) and len(split(text, ",")) == 1
    if point or re.fullmatch(r"\\\{.*\\\}", text):
        text = text[1:-1].strip("\\{} ") if not point else text[1:-1]
    thousands = not point and re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text)
    try:
        found = [number(part) for part in ([text] if thousands else split(text, ","))]
    except (ValueError, ArithmeticError, DecimalException, IndexError, RecursionError):
        return None
    return point, found


def number(text: str) -> Number:
    """The value of one expression; ValueError, ArithmeticError or IndexError where it is none."""
    name, *values = text.split("=")
    if values and not NAME.fullmatch(name):
        raise ValueError(f"an equation: {text!r}")
    text = values[-1] if values else text
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"no number: {text[at : at + 20]!r}")
        tokens.append(match[1])
        at = match.end()
    value = total(tokens)
    if tokens:
        raise ValueError(f"not read to its end: {tokens[0]!r}")
    return value


def total(tokens: list[str]) -> Number:
    """A sum, from the front of the tokens, which it takes away."""
    sign = -1 if tokens[0] == "-" else 1
    if tokens[0] in "+-":
        tokens.pop(0)
    value = times(Fraction(sign), product(tokens))
    while tokens and tokens[0] in ("+", "-"):
        sign = -1 if tokens.pop(0) == "-" else 1
        value = plus(value, times(Fraction(sign), product(tokens)))
    return value


def product(tokens: list[str]) -> Number:
    """A product or quotient; a whole number before a fraction is a mixed number."""
    first, value = tokens[0], power(tokens)
    while tokens and tokens[0] not in ("+", "-", ")", "}", "]"):
        if tokens[0] in TIMES:
            tokens.pop(0)
            value = times(value, power(tokens))
        elif tokens[0] in OVER:
            tokens.pop(0)
            value = over(value, power(tokens))
        elif tokens[0] == "\\frac" and first.isdigit() and value == Fraction(first):
            value = plus(value, power(tokens))
        else:
            value = times(value, power(tokens))
        first = ""
    return value


def power(tokens: list[str]) -> Number:
    """An atom with what stands at its upper right: powers, factorials, percent."""
    value = atom(tokens)
    while tokens and tokens[0] in ("^", "!", "%"):
        sign = tokens.pop(0)
        if sign == "%":
            value = over(value, Fraction(100))
        elif sign == "!":
            if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= 1000:
                raise ValueError("a factorial of no small whole number")
            value = Fraction(factorial(int(value)))
        else:
            negative = tokens[0] == "-" and bool(tokens.pop(0))
            exponent = power(tokens) if tokens[0] in "({" else Fraction(tokens.pop(0))
            value = raised(value, times(Fraction(-1 if negative else 1), exponent))
    return value


def atom(tokens: list[str]) -> Number:
    """A plain number, pi, a fraction, a root, or what stands in brackets."""
    token = tokens.pop(0)
    if token[0].isdigit() or token[0] == ".":
        return Fraction(token.replace(",", "").rstrip("."))
    if token == "\\pi":
        return PI
    if token == "\\frac":
        above = atom(tokens)
        return over(above, atom(tokens))
    if token == "\\sqrt":
        degree = atom(tokens) if tokens[0] == "[" else Fraction(2)
        return raised(atom(tokens), over(Fraction(1), degree))
    if token in "({[" and token:
        value = total(tokens)
        if tokens.pop(0) != {"(": ")", "{": "}", "[": "]"}[token]:
            raise ValueError("brackets do not match")
        return value
    raise ValueError(f"no number: {token!r}")


def raised(base: Number, exponent: Number) -> Number:
    """A power; ValueError where it would be too large to work out, or complex."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent)
        if bits > BITS:
            raise ValueError("a power that is too large")
        return base ** int(exponent)
    if decimal(base) < 0:
        raise ValueError("a root of a negative number")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent == Fraction(1, 2):
        return DIGITS.sqrt(decimal(base))
    return DIGITS.power(decimal(base), decimal(exponent))


def decimal(value: Number) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))


def plus(a: Number, b: Number) -> Number:
    both = isinstance(a, Fraction) and isinstance(b, Fraction)
    return a + b if both else DIGITS.add(decimal(a), decimal(b))


def times(a: Number, b: Number) -> Number:
    both = isinstance(a, Fraction) and isinstance(b, Fraction)
    return a * b if both else DIGITS.multiply(decimal(a), decimal(b))


def over(a: Number, b: Number) -> Number:
    both = isinstance(a, Fraction) and isinstance(b, Fraction)
    return a / b if both else DIGITS.divide(decimal(a), decimal(b))


def equal(a: Number, b: Number) -> bool:
    """Exactly for fractions, to 45 digits from the first root or pi on."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    a, b = decimal(a), decimal(b)
    return abs(a - b) <= CLOSE * max(abs(a), abs(b), Decimal(1))

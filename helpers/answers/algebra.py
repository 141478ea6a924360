"""Whether two formulas in LaTeX are equal: read by Math-Verify's parser, decided by their values.

    equal(r"2(n-1)", "2n-2", 0)                         -> True
    equal(r"\\frac{1}{2^{99}}", r"\\frac{1}{2^{98}}", 0)  -> False
    proportional("=", "y", "2x+3", "2x-y", "-3")         -> True

What is wrong with Math-Verify 0.9's own comparison, and why its parser alone is used: differences below
1e-15 vanish and decimals are rounded to six places (1/2^99 is 1/2^98, 1/3 is 0.333333), "3 20" is read as
3 + 20, an index or a prime is dropped, x = 2 is compared by its right side even where the left is 2x + 3y,
and a text that is read in part is compared by that part. So only texts of known tokens are read, names with
an index, a prime or an accent become symbols of their own, decimals fractions, and formulas are equal when
50 digits agree at several points.

It may never end (`9^{9^{9^{9}}}`): call it in a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from helpers.answers.latex import FUNCTIONS, GREEK

EXACT = ConversionConfig(
    interpret_as_mixed_fractions=False, interpret_simple_eq_as_assignment=False, lowercase_symbols=False
)
DIGITS, CLOSE = 60, sympy.Float("1e-45", 60)
LETTER = rf"(?:\\(?:{'|'.join(GREEK.split())})(?![a-zA-Z])|(?<![\\a-zA-Z])[a-zA-Z])"
DECORATED = re.compile(
    rf"\\(?:overline|bar|vec|hat|tilde|mathbb|mathcal|overrightarrow)\s*(?:\{{[^{{}}]*\}}|[a-zA-Z])(?:'|_\{{[^{{}}]*\}})*"
    rf"|(?:{LETTER}|\d+)(?:'+(?:_\{{[^{{}}]*\}})?|_\{{[^{{}}]*\}}'*)"
)
KNOWN = re.compile(
    rf"(?:\d+\.?\d*|\.\d+|\\(?:{'|'.join(f'{GREEK} {FUNCTIONS}'.split())}|frac|binom|cdot|infty"
    r"|lfloor|rfloor|lceil|rceil)"
    r"(?![a-zA-Z])|\\xi_\{\d+\}|\\log\s*_\{\w+\}|[a-zA-Z]|[-+/^(){}\[\]!|\s])*"
)
POINTS = [(37, 61, 19, 83, 47, 29), (-53, 371, 41, -31, 97, 67), (523, -43, -479, 359, -17, 73),
          (-889, -13, 7, 911, 5, -613), (1237, 829, 947, 1033, 761, 1171)]  # fmt: skip


def equal(gold: str, answer: str, tolerance: Fraction) -> bool:
    """Whether two formulas have the same value wherever they are defined; False if one cannot be read."""
    first, second = read(gold, answer)
    if first is None or second is None:
        return False
    if first == second:
        return True
    if first.free_symbols != second.free_symbols:
        return bool(sympy.simplify(first - second) == 0)
    pairs = [(a, b) for a, b in values(first, second)]
    if not pairs:
        return bool(sympy.simplify(first - second) == 0)
    if all(close(a, b, tolerance) for a, b in pairs):
        return True
    # Roots and logarithms of letters assume positive values, where sqrt(1/n) is 1/sqrt(n).
    positive = [(a, b) for a, b in values(first, second, positive=True)]
    sizes = all(close(abs(a), abs(b), tolerance) for a, b in pairs)
    return (
        bool(positive) and sizes and "|" not in gold + answer and all(close(*p, tolerance) for p in positive)
    )


def proportional(kind: str, left: str, right: str, other_left: str, other_right: str) -> bool:
    """Whether one relation is a multiple of the other, with a positive factor for an inequality."""
    read_sides = read(left, right, other_left, other_right)
    if None in read_sides:
        return False
    a, b, c, d = read_sides
    ratios = [x / y for x, y in values(a - b, c - d) if y != 0]
    if not ratios or not all(close(ratio, ratios[0], Fraction(0)) for ratio in ratios):
        return False
    ratio = ratios[0]
    return bool(ratio != 0) if kind in ("=", "\\ne") else bool(ratio.is_real and ratio > 0)


def readable(text: str) -> bool:
    """Whether all of a text can be read as a formula."""
    return read(text)[0] is not None


def read(*texts: str) -> list[sympy.Expr | None]:
    """The texts as formulas with common symbols; None for one that is not read completely."""
    names: dict[str, str] = {}

    def symbol(match: re.Match[str]) -> str:
        name = match[0].replace(" ", "")
        return f" \\xi_{{{names.setdefault(name, str(100 + len(names)))}}} "

    return [parsed(DECORATED.sub(symbol, text)) for text in texts]


@lru_cache(maxsize=1024)
def parsed(text: str) -> sympy.Expr | None:
    if not text.strip() or not KNOWN.fullmatch(text) or re.search(r"\d\s+\.?\d|\d\.\d*\.", text):
        return None
    try:
        made = latex2sympy(text, normalization_config=None, conversion_config=EXACT)
    except Exception:  # whatever the parser raises on a model's text
        return None
    if not isinstance(made, sympy.Expr):
        return None
    exact = {number: sympy.Rational(str(number)) for number in made.atoms(sympy.Float)}
    return made.xreplace(exact | {sympy.Symbol("i"): sympy.I})


def values(*formulas: sympy.Expr, positive: bool = False) -> Iterator[tuple[sympy.Expr, ...]]:
    """Values of formulas at several points (or at positive points only), where all are defined."""
    symbols = sorted(set().union(*(formula.free_symbols for formula in formulas)), key=str)
    for point in POINTS if symbols else POINTS[:1]:
        point = [abs(number) for number in point] if positive else point
        at = {s: sympy.Rational(point[i % 6], 23 + 6 * i) for i, s in enumerate(symbols)}
        found = tuple(formula.xreplace(at).doit().evalf(DIGITS) for formula in formulas)
        if all(part.is_Number and part.is_finite for value in found for part in value.as_real_imag()):
            yield found


def close(a: sympy.Expr, b: sympy.Expr, tolerance: Fraction) -> bool:
    """Whether two numbers agree to 45 digits, or differ by at most the tolerance."""
    if a == b:
        return True
    difference, size = abs(a - b), max(abs(a), abs(b))
    return bool(
        difference <= CLOSE * size or difference <= sympy.Rational(tolerance.numerator, tolerance.denominator)
    )

r"""Answers: finding what a response boxed, and checking it where it is a puzzle's expression.

    final_answer(r"... so it is \boxed{\frac{2}{4}}.")  -> r"\frac{2}{4}"
    value("25-(19-5)", (5, 19, 25))                    -> Fraction(11, 1)
    value("25-14", (5, 19, 25))                        -> None: not the numbers of the puzzle

A response is a model's text and may be anything: it is parsed, never evaluated.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from fractions import Fraction

from helpers.equivalence import same_answer
from helpers.latex import clean

LONGEST = 100  # characters of an expression; three numbers need a fifth of it
BOX = re.compile(
    r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*(?:(?P<open>\{)"
    r"|(?P<bare>\\[a-zA-Z]+(?:\{[^{}]*\})*\d*|[-+]?\d(?:[\d.,/]*\d)?|[-+]?\w(?!\w)))"
)
MANY, LARGE = 100, 20_000  # hostile text may be nothing but boxes
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
PLACEHOLDER = re.compile(
    r"(?:\\text\{)?\s*(?:\.{2,}|…|_+|\?+|\\l?dots|\\cdots|\\square|\\quad|\\[,;! ]"
    r"|(?:your |the |final )*answer(?: here)?)?\s*\}?",
    re.IGNORECASE,
)
BETWEEN = re.compile(
    r"(?:[\s$,;.]|\\[()\[\],;! ]|\\q?quad\b|\\(?:text|mathrm)\s*\{\s*(?:and|or)\s*\}|and\b|or\b"
    r"|[a-zA-Z](?:_\{?\w+\}?)?\s*=)+"
)


def numbers_and_target(problem: str) -> tuple[tuple[int, ...], int]:
    """The numbers and the target that a problem's text names, the target last."""
    *numbers, target = (int(word) for word in "".join(c if c.isdigit() else " " for c in problem).split())
    return tuple(numbers), target


def value(text: str, numbers: tuple[int, ...]) -> Fraction | None:
    r"""The value of an expression that uses each number once, or None where it is anything else.

    Read: + - * /, their typeset forms (\times, \frac, \left), a leading minus, brackets of any kind, whole
    numbers, a full stop at the end, and an equation with the expression on one side.
    """
    if len(text) > LONGEST:
        return None
    for side in text.split("="):
        try:
            used: list[int] = []
            result = _evaluate(ast.parse(plain(side), mode="eval").body, used)
        except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
            continue
        if sorted(used) == sorted(numbers):
            return result
    return None


def plain(text: str) -> str:
    """A typeset expression in the signs of a keyboard; empty where something else is in it."""
    if not re.fullmatch(r"[0-9+\-*/() ]+", text):
        text = clean(text).replace("\\{", "(").replace("\\}", ")").replace("\\cdot", "*")
        while text != (text := re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)):
            continue
        text = text.translate(str.maketrans("[]{}", "()()"))
    return text.strip() if re.fullmatch(r"[0-9+\-*/() ]+", text) else ""


def _evaluate(node: ast.expr, used: list[int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, used)
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, used), _evaluate(node.right, used)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
    raise ValueError("not a Countdown expression")


def final_answer(response: str) -> str | None:
    r"""What is in the last box, or in the boxes at the end with nothing but "and", "x =" or commas between.

    A box is \boxed{5}, \boxed 5 or \fbox{5}. An empty box or one with a placeholder (\boxed{...}) counts
    only where there is no other. None where there is no box, or where the last one was never closed.
    """
    found = boxes(response)
    if not found or found[-1][1] is None:
        return None
    filled = [box for box in found if box[1] is not None and not PLACEHOLDER.fullmatch(box[1])]
    if not filled:
        return ""
    start, last, _ = filled.pop()
    answers = [last]
    while filled and (between := response[filled[-1][2] : start]) and BETWEEN.fullmatch(between[:100]):
        start, answer, _ = filled.pop()
        if not any(same_answer(answer, other) for other in answers):  # boxed twice it is one
            answers.append(answer)
    return ", ".join(reversed(answers))


def boxes(text: str) -> list[tuple[int, str | None, int]]:
    """The boxes of a text that hold no other: start, content (None for one that is never closed), end.

    Of a text with more than MANY boxes the last ones; a box of more than LARGE characters is not closed.
    """
    found: list[tuple[int, str | None, int]] = []
    for match in deque(BOX.finditer(text), maxlen=MANY):
        end, content, level = match.end(), match["bare"], 1
        for brace in BRACE.finditer(text, end, end + LARGE) if match["open"] else ():
            level += {"{": 1, "}": -1}.get(brace[0], 0)
            if level == 0:
                content, end = text[match.end() : brace.start()], brace.end()
                break
        if content is None or not BOX.search(content):
            found.append((match.start(), content, end))
    return found


def is_correct(response: str, problem: str) -> bool:
    """Whether the boxed expression uses each of the problem's numbers once and makes its target."""
    numbers, target = numbers_and_target(problem)
    answer = final_answer(response)
    return answer is not None and value(answer, numbers) == target

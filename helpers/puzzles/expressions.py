"""The answer to a Countdown puzzle: an expression that uses each number once and makes the target.

    value("25-(19-5)", (5, 19, 25))     -> Fraction(11, 1)
    value("25-14", (5, 19, 25))         -> None: not the numbers of the puzzle

An answer is a model's text and may be anything: it is parsed, never evaluated.
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction

from helpers.answers.boxed import final_answer
from helpers.answers.latex import clean

LONGEST = 100  # characters of an expression; three numbers need a fifth of it


def numbers_and_target(problem: str) -> tuple[tuple[int, ...], int]:
    """The numbers and the target in a problem's text; the target comes last."""
    *numbers, target = (int(word) for word in "".join(c if c.isdigit() else " " for c in problem).split())
    return tuple(numbers), target


def shape(problem: str) -> frozenset[int]:
    """What two puzzles in text share if they count as the same for the splits: their numbers."""
    return frozenset(numbers_and_target(problem)[0])


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
    """A typeset expression in keyboard characters; empty if it contains anything else."""
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


def is_correct(response: str, problem: str) -> bool:
    """Whether the boxed expression uses each of the problem's numbers once and makes its target."""
    numbers, target = numbers_and_target(problem)
    answer = final_answer(response)
    return answer is not None and value(answer, numbers) == target

"""Answers to puzzles: finding the boxed expression in a response, and checking it.

    value("25-(19-5)", (5, 19, 25))  -> Fraction(11, 1)
    value("25-14", (5, 19, 25))      -> None: not the numbers of the puzzle

A response is a model's text and may be anything: it is parsed, never evaluated.
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction

LONGEST = 100  # characters of an expression; three numbers need a fifth of it
SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-"})
LATEX = {"\\times": "*", "\\cdot": "*", "\\div": "/"}


def numbers_and_target(problem: str) -> tuple[tuple[int, ...], int]:
    """The numbers and the target that a problem's text names, the target last."""
    *numbers, target = (int(word) for word in "".join(c if c.isdigit() else " " for c in problem).split())
    return tuple(numbers), target


def value(text: str, numbers: tuple[int, ...]) -> Fraction | None:
    """The value of an expression that uses each number once, or None where it is anything else.

    Read: + - * /, their typeset forms, a leading minus, brackets, whole numbers, and "= result" after it.
    """
    if len(text) > LONGEST:
        return None
    text = text.translate(SIGNS)
    for latex, sign in LATEX.items():
        text = text.replace(latex, sign)
    text = text.split("=")[0].strip()
    if not re.fullmatch(r"[0-9+\-*/() ]+", text):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
        used: list[int] = []
        result = _evaluate(tree, used)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None
    return result if sorted(used) == sorted(numbers) else None


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


def boxed(response: str) -> str | None:
    """The content of the last `\\boxed{...}` of a response, or None."""
    start = response.rfind("\\boxed{")
    if start < 0:
        return None
    start, level = start + len("\\boxed{"), 1
    for i, character in enumerate(response[start:], start):
        level += (character == "{") - (character == "}")
        if level == 0:
            return response[start:i]
    return None


def is_correct(response: str, problem: str) -> bool:
    """Whether the boxed expression uses each of the problem's numbers once and makes its target."""
    numbers, target = numbers_and_target(problem)
    answer = boxed(response)
    return answer is not None and value(answer, numbers) == target

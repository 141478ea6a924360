"""Programs written by a model, run against tests; the verdict is reached outside the sandbox.

    extract_code("So:\\n```python\\nprint(input())\\n```")              -> "print(input())\\n"
    verdict("print(input())", [{"input": "5\\n", "output": "5\\n"}])  -> "ok"

A test is an input and the expected output, as in LiveCodeBench: standard input and output or, with `entry`,
one JSON argument per line and the result in JSON. A program sees the input only, so whatever it prints, only
the right output counts.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from helpers.answers import sandbox

FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)|()\S.*?[ \t:](`{3,}|~{3,})[ \t]*(\w*)[ \t]*")


def extract_code(response: str) -> str | None:
    """The last fenced code block in a response, or None.

    Python blocks take precedence over others, such as an example's output. An unclosed block counts if it
    names its language or if there is no other: a lone fence after a block, or after bare code, was meant to
    close it. The fence's indentation is removed from its lines.
    """
    blocks: list[tuple[str, str]] = []  # language and code
    fence, indent, language, lines, before = "", "", "", [], []
    for line in (line.removesuffix("\r") for line in response.split("\n")):
        if not fence:
            if opened := FENCE.fullmatch(line):
                indent, fence, language = (opened[i] or opened[i + 3] or "" for i in (1, 2, 3))
                lines = []
            else:
                before.append(line)
        elif line.rstrip().endswith(fence) and (line.strip(fence[0] + " \t") == "" or fence[0] == "`"):
            lines.append(line.rstrip()[: -len(fence)].rstrip(fence[0]))
            blocks.append((language, "\n".join(lines)))
            fence = ""
        else:
            lines.append(line.removeprefix(indent))
    if fence and (language.strip() or not any(code.strip() for _, code in blocks)):
        blocks.append((language, "\n".join(lines)))
    found = [(language, code) for language, code in blocks if code.strip()]
    if blocks and not found:
        return "\n".join(before) if is_python("\n".join(before)) else ""
    python = [code for language, code in found if language.strip().lower().startswith("py")]
    return next(iter([*python[-1:], *[code for _, code in found[-1:]]]), None)


def is_python(text: str) -> bool:
    """Whether a text parses as a program of at least one line."""
    try:
        return bool(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def verdict(
    program: str,
    tests: Sequence[dict[str, str]],
    entry: str | None = None,
    seconds: int = 6,
    memory: int = 1 << 30,
) -> str:
    """ "ok" if a program passes every test, otherwise "wrong" or "timeout", by the first one it fails.

    ValueError without tests; RuntimeError where no sandbox is available.
    """
    if not tests:
        raise ValueError("there is no test to run the program on: a program that nothing checks is not right")
    for test in tests:
        outcome = sandbox.run(program, test["input"], entry, seconds, memory)
        if outcome.status == "timeout":
            return "timeout"
        same = same_result if entry is not None else same_output
        if outcome.status != "ok" or not same(outcome.output, test["output"]):
            return "wrong"
    return "ok"


def same_output(printed: str, expected: str) -> bool:
    """Equal line by line, ignoring white space at the ends; 1.50 equals 1.5."""
    lines = [[line.split() for line in text.strip().split("\n")] for text in (printed, expected)]
    return len(lines[0]) == len(lines[1]) and all(
        len(a) == len(b) and all(map(same_token, a, b)) for a, b in zip(*lines, strict=True)
    )


def same_token(printed: str, expected: str) -> bool:
    """Equal as text, or as exact decimal numbers where the expected one has a decimal point."""
    if printed == expected:
        return True
    if "." not in expected or max(len(printed), len(expected)) > 100:
        return False
    try:
        return Decimal(printed) == Decimal(expected)
    except InvalidOperation:
        return False


def same_result(printed: str, expected: str) -> bool:
    """Equal as JSON, with true and 1 distinct."""
    try:
        return same_value(json.loads(printed), json.loads(expected))
    except (ValueError, RecursionError):
        return False


def same_value(a: Any, b: Any) -> bool:
    """Equal in value and type, recursively."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b

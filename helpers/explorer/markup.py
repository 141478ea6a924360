"""What changed in a text and what was looked for in it, as HTML that holds no markup of the text's own.

difference("5+19=24.", "5+17=24.")
# ([("5+1", False), ("9", True), ("=24.", False)], [("5+1", False), ("7", True), ("=24.", False)])
mark([("5+1", False), ("7", True), ("=24.", False)], re.compile("24"), "ins")
# "5+1<ins>7</ins>=<mark>24</mark>."
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from helpers.perturbations.steps import NUMBER, changed_in

WORD = re.compile(r"[0-9]+|[^\W\d_]+|\s+|.", re.DOTALL)
COMPARED = 40_000  # words times words, above which a comparison takes too long

Pieces = list[tuple[str, bool]]  # a text in pieces, each changed or not
Found = re.Pattern[str] | None


def difference(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces, marking those the other does not have; compared by digits, then by words.

    Texts without a common word, and very long ones, count as changed as a whole.
    """
    if old == new:
        return [(old, False)], [(new, False)]
    between = NUMBER.split(old)
    if between == NUMBER.split(new):
        left: Pieces = [(between[0], False)]
        right: Pieces = [(between[0], False)]
        for a, b, gap in zip(NUMBER.findall(old), NUMBER.findall(new), between[1:], strict=True):
            before, after = changed_number(a, b)
            left += [*before, (gap, False)]
            right += [*after, (gap, False)]
        return joined(left), joined(right)
    return words_changed(WORD.findall(old), WORD.findall(new))


def words_changed(a: list[str], b: list[str]) -> tuple[Pieces, Pieces]:
    """`difference` of two different texts, word by word."""
    same = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    x, y = a[same:], b[same:]
    tail = next(
        (k for k, (p, q) in enumerate(zip(x[::-1], y[::-1], strict=False)) if p != q), min(len(x), len(y))
    )
    x, y = x[: len(x) - tail], y[: len(y) - tail]
    left = [("".join(a[:same]), False)]
    right = list(left)
    if len(x) * len(y) > COMPARED or not any(w.isalnum() for w in set(x) & set(y)):
        left.append(("".join(x), True))
        right.append(("".join(y), True))
    else:
        for operation, i, j, k, m in SequenceMatcher(None, x, y, autojunk=False).get_opcodes():
            left.append(("".join(x[i:j]), operation != "equal"))
            right.append(("".join(y[k:m]), operation != "equal"))
    end = ("".join(a[len(a) - tail :]), False)
    return joined([*left, end]), joined([*right, end])


def changed_number(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Two numbers, digit by digit if equally long, otherwise as a whole."""
    pairs = ((old, changed_in(old, new)), (new, changed_in(new, old)))
    left, right = (list(zip(number, flags, strict=True)) for number, flags in pairs)
    return left, right


def joined(pieces: Iterable[tuple[str, bool]]) -> Pieces:
    """The pieces with neighbours of the same kind merged and empty ones removed."""
    grouped = groupby((p for p in pieces if p[0]), itemgetter(1))
    return [("".join(text for text, _ in group), changed) for changed, group in grouped]


def mark(pieces: Pieces, found: Found, tag: str = "b") -> Markup:
    """The pieces as HTML: changed ones in a tag, and matches of the search in <mark>, also across pieces."""
    spans = [m.span() for m in found.finditer("".join(text for text, _ in pieces))] if found else []
    parts, start = [], 0
    for text, changed in pieces:
        inner, at, stop = [], start, start + len(text)
        for a, b in spans:
            if a < stop and b > start:
                a, b = max(a, start), min(b, stop)
                inner += [
                    escape(text[at - start : a - start]),
                    f"<mark>{escape(text[a - start : b - start])}</mark>",
                ]
                at = b
        inner.append(escape(text[at - start :]))
        parts.append(f"<{tag}>{''.join(inner)}</{tag}>" if changed else "".join(inner))
        start = stop
    return Markup("".join(parts))


@cache
def templates(folder: Path) -> Environment:
    """The templates of a folder, which escape what they are given and miss nothing silently."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


PARTS = templates(Path(__file__).parent).get_template("views.html.jinja").module

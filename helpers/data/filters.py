"""Filters: what a text must be like to become a trace.

refuse_text("Мы have", 65_536)  # ValueError: mixed scripts: cyrillic with latin
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from helpers.answers.latex import as_tex, braced, command
from helpers.data.gym import PREFIX
from helpers.data.sources import file_rows

BLOCK = 10  # words in a row shared with a benchmark problem that refuse a trace
MIXED = 0.01  # share of the letters that may be in another script
EAST_ASIAN = ("cjk", "hiragana", "katakana", "halfwidth", "bopomofo")
TOKENS = re.compile(
    r"(?P<word>\d+(?:\.\d+)?|[^\W\d_]+)|[+*/^=<>|%()\[\]{}&]|(?<=\d):(?=\d)"
    r"|(?<![a-z]{2})-|-(?![a-z])|(?<=[\d)}])!|(?<=\b[a-z])[!'](?![a-z])"
)  # words with mathematical signs; a hyphen or exclamation mark in prose is none
SCRIPTS = (
    *("cyrillic", "arabic", "hebrew", "hangul", "devanagari", "bengali", "tamil", "telugu", "thai"),
    *("georgian", "armenian", "ethiopic", "khmer", "lao", "myanmar", "sinhala", "gujarati", "gurmukhi"),
)


def refuse_text(text: str, max_characters: int) -> None:
    """ValueError for a text that is too long, is not valid Unicode, or mixes scripts."""
    if len(text) > max_characters:
        raise ValueError(f"too long: {len(text):,} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"lone surrogate: at character {error.start}") from None
    if len(scripts := letters_by_script(text)) > 1:
        (main, _), *others = scripts.most_common()
        if sum(count for _, count in others) > MIXED * scripts.total():
            raise ValueError(f"mixed scripts: {main} with {', '.join(s for s, _ in others)}")


def letters_by_script(text: str) -> Counter[str]:
    """The number of letters per script. Greek and letterlike symbols count as Latin: they are mathematics."""
    if text.isascii():
        return Counter({"latin": sum(map(str.isalpha, text[:1]))})
    counts: Counter[str] = Counter()
    for letter, count in Counter(filter(str.isalpha, text)).items():
        word = unicodedata.name(letter, "UNNAMED").split()[0].split("-")[0].lower()
        counts["east asian" if word in EAST_ASIAN else word if word in SCRIPTS else "latin"] += count
    return counts


def blocks(benchmarks: Mapping[str, Iterable[str]]) -> dict[tuple[str, ...], str]:
    """Maps each run of `BLOCK` words in benchmark problems, or the whole of a shorter one, to its name.

    Of reasoning-gym's problems the exact text counts: those of a data set have most of their words in common.
    """
    known: dict[tuple[str, ...], str] = {}
    for name, problems in benchmarks.items():
        for problem in problems:
            parts = [whole(problem, True)] if name.startswith(PREFIX) else runs(problem)
            known.update(dict.fromkeys(parts, name))
    return known


def whole(problem: str, exact: bool = False) -> tuple[str, ...]:
    """What makes two problems the same: their words or, if `exact`, the text (a maze is made of signs)."""
    return (problem.strip(),) if exact else plain_words(problem)


def plain_words(text: str) -> tuple[str, ...]:
    r"""The words and numbers of a text, each with the signs before it: "What is 2-3?" -> what, is, 2, -3.

    Operators, relations and brackets belong to a problem; case, punctuation, spaces and typesetting do not.
    """
    text = text if text.isascii() else "".join(map(as_tex, text))
    text = re.sub(r"\\[()\[\],;:! ]|\\\$|\$|\*\*|\\(?:left|right)(?![a-zA-Z])", " ", text)
    text = re.sub(r"\\([a-zA-Z]+)", command, text).lower()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", braced(text))
    found: list[str] = []
    signs = ""
    for token in TOKENS.finditer(text):
        signs += token[0]
        if token["word"]:
            found.append(signs)
            signs = ""
    return (*found, *([signs] if signs else ()))


def runs(problem: str) -> list[tuple[str, ...]]:
    words = plain_words(problem)
    return [words[i : i + BLOCK] for i in range(max(1, len(words) - BLOCK + 1))]


def leak(problem: str, known: Mapping[tuple[str, ...], str]) -> str | None:
    """The benchmark that a problem shares `BLOCK` words in a row with, or all of its text, if any."""
    parts = [whole(problem, True), *runs(problem)] if known else []
    return next((known[part] for part in parts if part in known), None)


def read_problems(path: str | Path) -> list[str]:
    """The problems of a benchmark's file: the column `problem` or `question`."""
    rows = [row for _, row in file_rows(path) if isinstance(row, dict)]
    return [
        row.get("problem") or row.get("question") for row in rows if row.get("problem") or row.get("question")
    ]

"""Words: reflection keywords ("wait", "let me check"), sentences, numbers and how often they are said.

in_words("19-5=14. With 20: 34, 280.")
# "19-5=14 (fourteen). With 20 (twenty): 34 (thirty-four), 280 (two hundred and eighty)."
"""

from __future__ import annotations

import math
import re
from collections import Counter

# Ours: the paper names five of these and an ellipsis, its full list is unpublished.
KEYWORDS = (
    "wait",
    "hmm",
    "but",
    "however",
    "alternatively",
    "actually",
    "hold on",
    "on second thought",
    "let me think again",
    "let me check",
    "let me double-check",
    "let me verify",
    "let me reconsider",
)
FIRST_LETTERS = "".join(sorted({keyword[0] for keyword in KEYWORDS}))  # looked at first: twice as fast
KEYWORD = re.compile(rf"\b(?=[{FIRST_LETTERS}])(?:{'|'.join(map(re.escape, KEYWORDS))})\b", re.IGNORECASE)
# A sentence ends at a full stop, question or exclamation mark before white space, or at a line's end.
SENTENCE = re.compile(r"[\s\S](?:[^.!?\n]++|[.!?](?!\s))*+(?:[.!?]\s+|\n+|$)")


def count_keywords(text: str) -> int:
    """How often reflection keywords occur in a text, as whole words, in upper or lower case."""
    return len(KEYWORD.findall(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space after it; joined they are the text."""
    return SENTENCE.findall(text)


UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
STATED = re.compile(r"[0-9]+(?![0-9]|[-+*=])")  # not an operand: a result, or a number that is named


def number_in_words(number: int) -> str:
    """A whole number from 0 to 999,999 in English: "two hundred and eighty"."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{UNITS[number % 10]}" if number % 10 else "")
    size, name, link = (1000, "thousand", " ") if number >= 1000 else (100, "hundred", " and ")
    head, rest = divmod(number, size)
    return f"{number_in_words(head)} {name}" + (link + number_in_words(rest) if rest else "")


def in_words(text: str) -> str:
    """A text in which each number, unless it is an operand, is said again in words, in brackets."""
    return STATED.sub(lambda m: f"{m[0]} ({number_in_words(int(m[0]))})", text)


def numbers_said(text: str) -> dict[str, float]:
    """How much of a text is digits, and how often it says its numbers of two digits or more (nan: none).

    digits: share of the characters. times: how often each of those numbers is said, on average. once: the
    share of them that is said only once, so that a wrong digit there can be noticed nowhere else.
    """
    numbers = re.findall("[0-9]+", text)
    said = Counter(number for number in numbers if len(number) > 1)
    return {
        "digits": sum(map(len, numbers)) / max(len(text), 1),
        "times": said.total() / len(said) if said else math.nan,
        "once": sum(count == 1 for count in said.values()) / len(said) if said else math.nan,
    }

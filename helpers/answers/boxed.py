r"""Take the final answer out of a response: what it boxed.

final_answer(r"... so it is \boxed{\frac{2}{4}}.")  -> r"\frac{2}{4}"
"""

from __future__ import annotations

import re
from collections import deque

from helpers.answers.equality import same_answer

BOX = re.compile(
    r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*(?:(?P<open>\{)"
    r"|(?P<bare>\\[a-zA-Z]+(?:\{[^{}]*\})*\d*|[-+]?\d(?:[\d.,/]*\d)?|[-+]?\w(?!\w)))"
)
MANY, LARGE = 100, 20_000  # a hostile text may consist of boxes only
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
        if not any(same_answer(answer, other) for other in answers):  # the same answer, boxed twice
            answers.append(answer)
    return ", ".join(reversed(answers))


def boxes(text: str) -> list[tuple[int, str | None, int]]:
    """The innermost boxes of a text: start, content (None for one that is never closed), end.

    Only the last MANY boxes are considered; a box of more than LARGE characters counts as not closed.
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

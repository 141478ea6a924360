"""Rewards: what reinforcement learning pays a response for, one pure function per kind of condition.

    outcome = Outcome(status="ok", text="<think>...", tokens=180, finished=True)
    verified(outcome, limit=384)       # 1.0
    rlsp(outcome, limit=384)           # 0.479: one, less 94 / 180

`shuffle-67.rl` is `shuffle-67` after reinforcement with `verified`; `.rlsp` and `.t1` have the rewards of
those papers. The status is the grader's, so a reward never judges an answer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from helpers.data.words import count_keywords
from helpers.evaluation import grading
from helpers.evaluation.generation import response_of

UNBOXED = -0.5  # RLSP, for a response without an answer that can be read
SHORTNESS = 1000 / 4096  # RLSP takes off 1000 / length at a limit of 4,096 tokens: in proportion to the limit
BROKEN = -1.0  # T1, for a response that is cut or repeats itself


@dataclass(frozen=True)
class Outcome:
    """A graded response: its status, text, length in tokens, and whether it ended by itself."""

    status: str
    text: str
    tokens: int
    finished: bool


def verified(outcome: Outcome, limit: int) -> float:
    """1 for a right answer, else 0."""
    return float(outcome.status == "ok")


def rlsp(outcome: Outcome, limit: int) -> float:
    """A right answer's 1, or -0.5 without an answer, less a part that shrinks with the length.

    Source: arXiv 2502.06773 and its released reward server, without the grade by another model. Length is in
    tokens, there in characters / 4.
    """
    unread = outcome.status in ("truncated", "unparsed")
    return (UNBOXED if unread else verified(outcome, limit)) - SHORTNESS * limit / max(outcome.tokens, 1)


def t1(outcome: Outcome, limit: int) -> float:
    """-1 for a response that is cut or says a line twice, else 1 if right and 0 if wrong.

    Source: arXiv 2501.11651; its third case, gibberish, has no definition there and none here.
    """
    broken = not outcome.finished or repeats(outcome.text)
    return BROKEN if broken else verified(outcome, limit)


def repeats(text: str) -> bool:
    """Whether a text has the same line twice, empty lines aside."""
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    return len(set(lines)) < len(lines)


REWARDS: dict[str, Callable[[Outcome, int], float]] = {"rl": verified, "rlsp": rlsp, "t1": t1}


def outcomes(
    tokenizer: PreTrainedTokenizerBase, ends: set[int], responses: Sequence[list[int]], rows: Sequence[dict]
) -> list[Outcome]:
    """Responses (token ids, end token included) to rows (benchmark, problem, answer), graded."""
    made = [response_of(ids, tokenizer, ends) for ids in responses]
    pairs = zip(rows, made, strict=True)
    statuses = grading.statuses([row | {"response": r.text, "finished": r.finished} for row, r in pairs])
    return [Outcome(status, **vars(r)) for status, r in zip(statuses, made, strict=True)]


def measures(found: Sequence[Outcome]) -> dict[str, float]:
    """Means over responses: right, finished, tokens, tries, keywords per try."""
    tries = [grading.count_tries(o.text) for o in found]
    return {
        "right": float(np.mean([o.status == "ok" for o in found])),
        "finished": float(np.mean([o.finished for o in found])),
        "tokens": float(np.mean([o.tokens for o in found])),
        "tries": float(np.mean(tries)),
        "keywords_per_try": sum(count_keywords(o.text) for o in found) / max(sum(tries), 1),
    }

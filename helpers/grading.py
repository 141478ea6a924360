"""Responses to verdicts: a status for each response, and what else a table shows of it.

    status("... \\boxed{20-(19-12)}", finished=True, problem="Use 12, 19 and 20 to make 13.")  -> "ok"

Scoring reads stored generations and needs no model, so it can be repeated at any time.
"""

from __future__ import annotations

import pyarrow as pa

from helpers import puzzles
from helpers.perturbations import count_keywords

STATUSES = ("ok", "wrong", "unparsed", "truncated")


def status(response: str, finished: bool, problem: str) -> str:
    """`ok` or `wrong` by the expression checker; without a boxed answer `unparsed` or `truncated`."""
    if puzzles.boxed(response) is None:
        return "unparsed" if finished else "truncated"
    return "ok" if puzzles.is_correct(response, problem) else "wrong"


def score(generations: pa.Table, condition: str, seed: int) -> pa.Table:
    """A row of scores for each generation: condition, seed, benchmark, problem_id, verdict, counts."""
    rows = []
    for g in generations.to_pylist():
        verdict = status(g["response"], g["finished"], g["problem"])
        kept = {k: g[k] for k in ("benchmark", "problem_id", "finished", "tokens")}
        rows.append(
            {"condition": condition, "seed": seed}
            | kept
            | {"status": verdict, "correct": verdict == "ok", "keywords": count_keywords(g["response"])}
        )
    return pa.Table.from_pylist(rows)

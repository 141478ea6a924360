"""From responses to scores: a status for each response, and what else a table shows of it.

    status("... \\boxed{20-(19-12)}", True, "Use 12, 19 and 20 to make 13.", expressions.is_correct)  -> "ok"
    grade([("\\\\frac{1}{2}", "0.5"), ("5", None)])  -> ["ok", "unparsed"]

Scoring reads stored responses and needs no model, so it can be repeated at any time. Puzzles go to their
family's checker, mathematics to `answers.equality` in killable processes, code to the sandbox, and so do the
scorers of reasoning-gym.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from helpers.answers.boxed import final_answer
from helpers.answers.workers import grade
from helpers.data import gym
from helpers.data.segmentation import paragraphs
from helpers.data.traces import parse
from helpers.data.words import count_keywords
from helpers.evaluation import programs
from helpers.evaluation.benchmarks import PUZZLES, family_of

# timeout: the grader, or the model's program, ran out of time or memory.
STATUSES = ("ok", "wrong", "unparsed", "timeout", "truncated")


def status(response: str, finished: bool, problem: str, check: Callable[[str, str], bool]) -> str:
    """`ok` or `wrong` by a family's checker; without a boxed answer, `unparsed` or `truncated`."""
    answer = final_answer(response)
    if not answer:
        return "truncated" if answer is None and not finished else "unparsed"
    return "ok" if check(response, problem) else "wrong"


def kind_of(benchmark: str) -> str:
    """ "puzzle", "gym", "code" or "math": which grader a benchmark's answers go to."""
    if family_of(benchmark):
        return "puzzle"
    if benchmark.startswith(gym.PREFIX):
        return "gym"
    return "code" if benchmark.startswith("livecodebench") else "math"


def score(generations: pa.Table, condition: str, seed: int) -> pa.Table:
    """One row per response: condition, seed, benchmark, problem_id, status, counts."""
    rows = generations.to_pylist()
    verdicts = statuses(rows)
    scores = []
    for g, verdict in zip(rows, verdicts, strict=True):
        kept = {k: g[k] for k in ("benchmark", "problem_id", "sample", "finished", "tokens") if k in g}
        scores.append(
            {"condition": condition, "seed": seed}
            | kept
            | {"status": verdict, "correct": verdict == "ok", "keywords": count_keywords(g["response"])}
            | {"tries": count_tries(g["response"])}
        )
    return pa.Table.from_pylist(scores)


def count_tries(response: str) -> int:
    """The paragraphs of a response's thought, which in a puzzle are an opening and tries."""
    return len(paragraphs(parse(response).thought))


def statuses(rows: Sequence[dict]) -> list[str]:
    """The status of each response (benchmark, problem, answer, response, finished), any kinds, any order."""
    found: dict[int, str] = {}
    for kind in ("math", "gym"):
        some = [i for i, row in enumerate(rows) if kind_of(row["benchmark"]) == kind]
        answers = [final_answer(rows[i]["response"]) for i in some]
        pairs = [(rows[i]["answer"], answer) for i, answer in zip(some, answers, strict=True)]
        tolerances = [rows[i].get("tolerance") or 0.0 for i in some]
        verdicts = grade(pairs, tolerances) if kind == "math" else gym.judge(pairs)
        for i, answer, verdict in zip(some, answers, verdicts, strict=True):
            cut = answer is None and not rows[i]["finished"]
            found[i] = "truncated" if cut else verdict
    for i, row in enumerate(rows):
        if family := family_of(row["benchmark"]):
            found[i] = status(row["response"], row["finished"], row["problem"], PUZZLES[family])
    code = [i for i, row in enumerate(rows) if kind_of(row["benchmark"]) == "code"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for a program
        found |= zip(code, pool.map(code_status, (rows[i] for i in code)), strict=True)
    return [found[i] for i in range(len(rows))]


def code_status(row: dict) -> str:
    """The status of a program: `ok` if it passes every test; no code block counts like no box."""
    program = programs.extract_code(row["response"])
    if program is None:
        return "unparsed" if row["finished"] else "truncated"
    checks = json.loads(row["answer"])
    return programs.verdict(program, checks["tests"], checks["entry"])

"""Statuses of responses, and scores without an engine."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from helpers.evaluation import grading

ROOT = Path(__file__).parents[2]


def test_statuses_of_responses():
    rows = [
        ("so \\boxed{0.5}", True, "ok"),
        ("so \\boxed{0.6}", True, "wrong"),
        ("so a half", True, "unparsed"),
        ("so \\boxed{0.5} but", False, "ok"),
        ("so let me", False, "truncated"),
        ("so \\boxed{0.", False, "truncated"),
        ("so \\boxed{}", True, "unparsed"),
    ]
    table = pa.Table.from_pylist(
        [
            {"benchmark": "math500", "problem_id": str(i), "problem": "?", "answer": "\\frac{1}{2}"}
            | {"response": response, "finished": finished, "tokens": 3}
            for i, (response, finished, _) in enumerate(rows)
        ]
    )
    scores = grading.score(table, "base", 0)
    assert scores["status"].to_pylist() == [expected for _, _, expected in rows]
    assert set(grading.STATUSES) >= set(scores["status"].to_pylist())


def test_a_tolerance_is_the_problem_s_own():
    pairs, tolerances = [("4.2", "4.3"), ("4.2", "4.31"), ("4.2", "4.3")], [0.1, 0.1, 0.0]
    assert grading.grade(pairs, tolerances) == ["ok", "wrong", "wrong"]


def test_scoring_needs_no_engine():
    """Nor any other heavy package in the process that scores."""
    heavy = "{'torch', 'transformers', 'vllm', 'peft', 'sympy', 'math_verify', 'datasets'}"
    code = f"import sys, helpers.evaluation.grading; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr

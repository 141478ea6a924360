r"""Problems of reasoning-gym's data sets, and its scorers as judges of answers to them.

    row = problems("reasoning-gym:letter_counting-train", 1)[0]
    # {"id": "letter_counting-4d0c...", "problem": 'How many times ...', "answer": '{"reasoning-gym": ...'}
    judge([(row["answer"], "3"), (r"\frac{1}{2}", "0.5")])  -> ["wrong", "ok"]

A name is a data set and its split: `-train`, `-validation`, or nothing for the test split. A problem's split
depends on its text alone, so splits are disjoint whatever the sizes, seeds and settings. An answer holds the
whole entry, from which its scorer works: a version of reasoning-gym that makes other problems still scores
these. A score of 1 is `ok`, and anything below is `wrong`: partial credit (0.05 for a Countdown expression
with another value) is there to guide reinforcement learning. Scorers may evaluate a model's text, so they run
in the sandbox. Not covered: `composite`, which mixes other data sets.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers.answers import sandbox
from helpers.answers.latex import FONT
from helpers.answers.workers import grade
from helpers.conditions import nearest

PREFIX = "reasoning-gym:"
SPLITS = ("", "-validation", "-train")  # the ends of names; each has a third of the problems
MISSING = "reasoning-gym is not installed: pip install 'reasoning-gym>=0.1.25,<0.2', or -e '.[gym]'"
BLOCK = 500  # problems made with one seed; as many in a row without a new one, and there are no more
ENTRY = '{"reasoning-gym": '  # how an answer begins that holds an entry
SECONDS, MEMORY = 5, 4 << 30  # processor time and bytes for scoring one answer
BATCH = 200  # answers scored in one sandbox, since importing the scorers takes seconds
ROOT = Path(__file__).parents[2]

# Runs in the sandbox. Each answer is scored in a child process. Some scorers call `eval` on the answer, or
# have sympy do it, and what it runs could write the score: it gets literals and formulas only. (No Integral:
# it repeats the question, and has the derivative that is looked for.)
SCORER = """
import ast, builtins, json, os, re, resource, select, signal, sys

NODES = (ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.BinOp, ast.UnaryOp, ast.operator,
         ast.unaryop, ast.List, ast.Tuple, ast.Set, ast.Dict)
CALLED = (
    "Symbol Integer Float Rational Add Mul Pow Abs sqrt exp log ln sin cos tan cot sec csc asin acos atan "
    "acot asec acsc sinh cosh tanh coth asinh acosh atanh erf factorial"
).split()
evaluate = builtins.eval


def narrow_eval(source, names=None, local=None):
    if sys._getframe(1).f_globals.get("__name__") == "collections":  # which makes named tuples with it
        return evaluate(source, names, local)
    if names is not None and re.search("[0-9][a-zA-Z_]", source):
        raise ValueError("187e0 or 0xbb, which Countdown's scorer does not count among the numbers used")
    for node in ast.walk(ast.parse(source.strip(), mode="eval")):
        called = isinstance(node, ast.Call) and (node.keywords or getattr(node.func, "id", "") not in CALLED)
        if called or not isinstance(node, NODES):
            raise ValueError("neither a literal nor a formula")
    return evaluate(source.strip(), {"__builtins__": {}} if names is None else names, local)


def score_in_child(scorer, entry, readings, seconds):
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        best = 0.0
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        os.closerange(3, into)  # nothing but its own pipe to write to
        for reading in readings:
            try:
                best = max(best, float(scorer(reading, entry)))
            except MemoryError:
                os._exit(1)
            except Exception:  # as in reasoning-gym's own evaluation, an answer that its scorer cannot take
                continue
        os.write(into, json.dumps(best).encode())
        os._exit(0)
    os.close(into)
    text = os.read(out, 100) if select.select([out], [], [], 10 * seconds)[0] else b""
    os.close(out)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def score(packages, seconds, requests):
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sys.path += packages
    from reasoning_gym import create_dataset
    from sympy.parsing import sympy_parser

    builtins.eval, made, scores = narrow_eval, {}, []
    for name, settings, entry, readings in requests:
        key = json.dumps([name, settings])
        made[key] = made.get(key) or create_dataset(name, seed=0, size=10, **settings)
        scores.append(score_in_child(made[key].score_answer, ast.literal_eval(entry), readings, seconds))
    return scores
"""


def problems(name: str, n: int, settings: Mapping[str, Any] | None = None, seed: int = 0) -> list[dict]:
    """The first n problems (id, problem, answer) of a data set's split, with these settings (difficulty).

    Made in a process of its own, because some data sets depend on the hash seed that Python starts with.
    ValueError for an unknown data set, split or setting, with the closest valid one, and where there are
    fewer than n.
    """
    request = json.dumps([name, n, dict(settings or {}), seed])
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    made = subprocess.run(
        [sys.executable, "-m", "helpers.data.gym"], input=request, capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"{name}: no problems could be made: {made.stderr[-2000:]}")
    found = json.loads(made.stdout)
    if isinstance(found, str):
        raise ValueError(found)
    return found


def make(name: str, n: int, settings: dict[str, Any], seed: int) -> list[dict]:
    """`problems`, in this process."""
    data_set, dash, split = name.removeprefix(PREFIX).partition("-")
    if find_spec("reasoning_gym") is None:
        raise ValueError(MISSING)
    from reasoning_gym.factory import DATASETS

    valid = sorted(set(DATASETS) - {"composite"})
    if data_set not in valid:
        raise ValueError(f"reasoning-gym has no data set {data_set!r}{nearest(data_set, valid)}")
    if dash + split not in SPLITS:
        raise ValueError(f"{name!r} ends in no split{nearest(dash + split, SPLITS)}")
    known = [f.name for f in dataclasses.fields(DATASETS[data_set][1]) if f.name not in ("seed", "size")]
    for key in settings:
        if key not in known:
            raise ValueError(f"{PREFIX}{data_set} has no setting {key!r}{nearest(key, known)}")
    found: list[dict] = []
    seen: set[str] = set()
    without = 0  # tries in a row that made nothing new
    for entry in entries(data_set, settings, seed):
        if len(found) >= n or without == BLOCK:
            break
        question = entry["question"].strip() if isinstance(entry, dict) else ""
        if not question or question in seen:
            without += 1
            continue
        seen.add(question)
        without, digest = 0, hashlib.sha256(question.encode()).hexdigest()
        if SPLITS[int(digest, 16) % len(SPLITS)] == dash + split:
            kept = ascii(plain({key: entry[key] for key in ("question", "answer", "metadata")}))
            ast.literal_eval(kept)  # ValueError if an entry has what cannot be kept
            answer = json.dumps({"reasoning-gym": data_set, "settings": settings, "entry": kept})
            found.append({"id": f"{data_set}-{digest[:16]}", "problem": question, "answer": answer})
    if len(found) < n:
        why = f" ({entry})" if isinstance(entry, Exception) else ""
        raise ValueError(
            f"{name} has only {len(found)} problems with {settings or 'its own settings'}, not {n}{why}: "
            "ask for fewer, or for settings that have more"
        )
    return found


def entries(data_set: str, settings: dict[str, Any], seed: int) -> Iterator[dict | Exception]:
    """A data set's entries without end, or the error where one could not be made."""
    from reasoning_gym import create_dataset

    for block in itertools.count():  # the seeds of blocks are far apart: an entry's own is seed plus index
        start = int.from_bytes(hashlib.sha256(repr((seed, block)).encode()).digest()[:4], "big") >> 1
        try:
            made = create_dataset(data_set, seed=start, size=BLOCK, **settings)
        except (AssertionError, TypeError, ValueError) as error:
            raise ValueError(f"{PREFIX}{data_set} cannot have the settings {settings}: {error}") from error
        for index in range(BLOCK):
            try:
                yield made[index]
            except Exception as error:  # some settings cannot be met with every seed
                yield error


def plain(value: Any) -> Any:
    """A value that can be written as a literal: numpy's numbers as Python's, fractions as text."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(map(plain, value))
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, str | int | float | None) else str(value)


def is_entry(answer: str) -> bool:
    """Whether the answer of a problem holds an entry of reasoning-gym."""
    return answer.startswith(ENTRY)


def judge(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """The verdict on each (answer of a problem, boxed answer): ok, wrong, unparsed or timeout.

    Answers that hold an entry of reasoning-gym go to its scorer, all others to `answers.workers`.
    RuntimeError where no sandbox is available.
    """
    scored = [i for i, (expected, given) in enumerate(pairs) if is_entry(expected) and given]
    others = [i for i, (expected, _) in enumerate(pairs) if not is_entry(expected)]
    verdicts = dict(zip(others, grade([pairs[i] for i in others]), strict=True))
    requests = [(*json.loads(pairs[i][0]).values(), readings(pairs[i][1] or "")) for i in scored]
    width = max(1, min(BATCH, -(-len(requests) // (os.cpu_count() or 1))))
    batches = [requests[k : k + width] for k in range(0, len(requests), width)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for a sandbox
        scores = [score for batch in pool.map(scores_of, batches) for score in batch]
    for i, score in zip(scored, scores, strict=True):
        verdicts[i] = "timeout" if score is None else "ok" if score >= 1 else "wrong"
    return [verdicts.get(i, "unparsed") for i in range(len(pairs))]


def readings(answer: str) -> list[str]:
    r"""An answer as it is boxed and, where this differs, typed: \text{Zoey} as Zoey, 3 \times 4 as 3 * 4."""
    typed = re.sub(FONT, r"\1", answer)
    typed = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)", typed)
    typed = re.sub(r"\\(?:times|cdot)(?![a-zA-Z])", "*", typed).replace("\\div", "/")
    typed = re.sub(r"\\(?:left|right)(?![a-zA-Z])|\$|\\[,;:! ]", "", typed)
    typed = re.sub(r"\\([{}_#%&])", r"\1", typed)
    return list(dict.fromkeys([answer.strip(), typed.strip()]))


def scores_of(requests: Sequence[tuple]) -> list[float | None]:
    """The score of each (data set, settings, entry, readings); None where it took too much time or memory."""
    packages = [find_spec(name) for name in ("reasoning_gym", "sympy", "numpy")]
    if not all(packages):
        raise ValueError(MISSING)
    folders = sorted({str(Path(found.origin).resolve().parents[1]) for found in packages})
    lines = "\n".join(map(json.dumps, (folders, SECONDS, requests)))
    budget = 60 + SECONDS * len(requests)
    outcome = sandbox.run(SCORER, lines, "score", budget, MEMORY, folders)
    if outcome.status != "ok":
        why = (outcome.error.strip() or outcome.status).splitlines()[-1]
        raise RuntimeError(f"reasoning-gym's scorers do not run in the sandbox: {why}")
    return json.loads(outcome.output)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # some data sets print
        try:
            reply: list[dict] | str = make(*json.load(sys.stdin))
        except ValueError as error:
            reply = str(error)
    print(json.dumps(reply))

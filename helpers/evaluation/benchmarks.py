"""Benchmarks: problems with reference answers, from the hub at a pinned revision or from local files.

    load("math500").to_pylist()[0]
    # {"id": "test/precalculus/807.json", "problem": "Convert the point ...", "answer": "\\\\left( 3, ...",
    #  "tolerance": 0.0}
    prompt("math500", "What is 1+1?")  -> "Return your final response within \\\\boxed{}. What is 1+1?"

Every revision is a commit of the data set's repository, so changes there change no score. A local file (JSON
Lines or Parquet, in the data set's own columns or those of the authors' harness) replaces it where there is
no network. LiveCodeBench's private tests are JSON in a pickle in zlib in base64. A pickle is a program, so
its opcodes are read and none is executed. Not covered: the puzzles (notebook 01); MMLU, ARC-Challenge, IFEval
and MGSM (lm-evaluation-harness, see notebooks/recipes/README.md).
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.conditions import nearest
from helpers.data import gym
from helpers.puzzles import expressions, statements

# Of each family of puzzles, what checks a response to a problem; `countdown-hard` is of the family countdown.
PUZZLES = {"countdown": expressions.is_correct, "islanders": statements.is_correct}

GYM = 300  # problems of a data set of reasoning-gym that notebook 01 has not made
LARGEST = 1 << 30  # bytes of one problem's unpacked tests
HARMLESS = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}
TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}


def unpickled_text(data: bytes) -> str:
    """The text that a pickle consists of; ValueError for anything else. Nothing is executed."""
    texts = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in TEXTS:
                texts.append(argument)
            elif opcode.name not in HARMLESS:
                raise ValueError(f"a pickle with {opcode.name}: only a text is read")
    except Exception as error:  # genops raises many kinds of errors
        raise ValueError(f"private tests cannot be read: {error}") from error
    if len(texts) != 1:
        raise ValueError(f"private tests cannot be read: {len(texts)} texts in the pickle, not one")
    return texts[0]


def tests_of(text: str) -> list[dict[str, str]]:
    """Tests from plain JSON, or from JSON packed as in the lite version; ValueError for anything else."""
    if not text.lstrip().startswith("["):
        try:
            unpack = zlib.decompressobj()
            packed = unpack.decompress(base64.b64decode(text.encode(), validate=True), LARGEST)
        except (binascii.Error, zlib.error, UnicodeEncodeError) as error:
            raise ValueError(f"private tests cannot be read: {error}") from error
        if unpack.unconsumed_tail:
            raise ValueError(f"private tests are larger than {LARGEST} bytes")
        text = unpickled_text(packed)
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
        raise ValueError("tests are not a list of inputs and outputs")
    return [{"input": str(t["input"]), "output": str(t["output"])} for t in found]


def code_row(row: dict[str, Any]) -> dict[str, Any]:
    """A code problem: statement and starter code; the answer is the function to call and all tests."""
    tests = tests_of(row["public_test_cases"]) + tests_of(row["private_test_cases"])
    entry = json.loads(row.get("metadata") or "{}").get("func_name")
    starter = row.get("starter_code") or ""
    problem = row["question_content"] + (f"\n\nStarter code:\n```python\n{starter}\n```" if starter else "")
    answer = json.dumps({"entry": entry, "tests": tests})
    return {"id": str(row["question_id"]), "problem": problem, "answer": answer}


BOXED = "Return your final response within \\boxed{{}}. {problem}"
STDIN = (
    "Generate an executable Python function generated from the given prompt. The function should take stdin "
    "as input and print the output. Simply call the function after the definition. {problem}"
)
FUNCTION = (
    "Generate an executable Python function generated from the given prompt. Return the function body "
    "without invoking it at the final solution. {problem}"
)
Row = dict[str, Any]
COLUMNS = pa.schema(
    [("id", pa.string()), ("problem", pa.string()), ("answer", pa.string()), ("tolerance", pa.float64())]
)


def plain(row: Row) -> Row:
    """A row with `problem` or `question`, and `answer`."""
    name = next((k for k in ("id", "unique_id", "idx") if k in row), None)
    found = {"problem": row.get("problem") or row["question"], "answer": as_text(row["answer"])}
    return found | {"id": None if name is None else str(row[name])}


def as_text(answer: Any) -> str:
    """A reference answer as text: 27.0 becomes 27; null and nan become an empty text."""
    if answer is None or answer != answer:
        return ""
    whole = isinstance(answer, float) and answer.is_integer()
    return str(int(answer)) if whole else str(answer).strip()


def gsm8k(row: Row) -> Row:
    """The answer follows #### at the end of the solution."""
    return {"id": None, "problem": row["question"], "answer": as_text(row["answer"].rpartition("####")[2])}


def olympiadbench(row: Row) -> Row:
    """`final_answer` is a list with one text, or the repr of such a list; a percent sign is kept."""
    answers = row["final_answer"]
    answers = ast.literal_eval(answers) if isinstance(answers, str) else answers
    answer = as_text(", ".join(map(as_text, answers)))
    if row.get("unit") in ("%", "\\%") and "%" not in answer:
        answer += "\\%"
    problem = "\n\n".join(filter(None, [row.get("context"), row["question"]]))
    error = float(row.get("error") or 0)
    return {"id": str(row["id"]), "problem": problem, "answer": answer, "tolerance": error}


# name: hub id, revision, what to read (a configuration, or files), split, filter of rows, reader of a row
HUB: dict[str, tuple[str, str, dict[str, Any], str, Callable[[Row], bool], Callable[[Row], Row]]] = {
    "math500": (
        "HuggingFaceH4/MATH-500",
        "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        {},
        "test",
        lambda row: True,
        plain,
    ),
    "aime24": (
        "AI-MO/aimo-validation-aime",
        "13f9e12f613e720c2a2b2f345dd04b998a29494d",
        {},
        "train",
        lambda row: "2024_AIME" in row["url"],
        plain,
    ),
    "aime25": (
        "opencompass/AIME2025",
        "a6ad95f611d72cf628a80b58bd0432ef6638f958",
        {"data_files": ["aime2025-I.jsonl", "aime2025-II.jsonl"]},
        "train",
        lambda row: True,
        plain,
    ),
    "amc23": (
        "AI-MO/aimo-validation-amc",
        "69d78a4a2c840e82d69af6bc742bda09005f6316",
        {},
        "train",
        lambda row: "2023_AMC" in row["url"],
        plain,
    ),
    "olympiadbench": (
        "Hothan/OlympiadBench",
        "91184b52131e7fc9455fef848035173aea8cc01a",
        {"name": "OE_TO_maths_en_COMP"},
        "train",
        lambda row: True,
        olympiadbench,
    ),
    "gsm8k": (
        "openai/gsm8k",
        "740312add88f781978c0658806c59bc2815b9866",
        {"name": "main"},
        "test",
        lambda row: True,
        gsm8k,
    ),
    # release_v2 is the first two files; the repository's loader script is never run.
    "livecodebench": (
        "livecodebench/code_generation_lite",
        "0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
        {"data_files": ["test.jsonl", "test2.jsonl"]},
        "train",
        lambda row: True,
        code_row,
    ),
}


def load(name: str, path: str | Path | None = None, start: str = "", end: str = "9999") -> pa.Table:
    """A benchmark's problems: id, problem, answer (for code, the tests as JSON), tolerance.

    `path` is a local file to use instead of the hub. `start` and `end` (ISO dates, inclusive) limit
    LiveCodeBench to contests between them. A data set of reasoning-gym has its own settings here, and GYM
    problems. ValueError names an unknown benchmark or a malformed row.
    """
    if name.startswith(gym.PREFIX):
        return pa.Table.from_pylist(gym.problems(name, GYM))
    if name not in HUB:
        raise ValueError(f"no benchmark {name!r}{nearest(name, HUB)}")
    hub_id, revision, what, split, kept, read = HUB[name]
    if path is None:
        from datasets import load_dataset

        rows: Iterable[Row] = load_dataset(hub_id, revision=revision, split=split, **what)
    else:
        rows = local(Path(path))
    made, names = [], set()
    for i, row in enumerate(rows):
        try:
            if not kept(row) or not start <= str(row.get("contest_date", start)) <= end + "~":
                continue
            found = read(row)
            if not found["answer"]:
                raise ValueError("the answer is empty")
        except (KeyError, TypeError, ValueError, SyntaxError) as error:
            where = path or f"{hub_id} at {revision[:7]}"
            raise ValueError(f"{where}, row {i}: not a problem of {name} ({error!r})") from error
        found["id"] = found["id"] if found["id"] not in (None, *names) else f"{name}-{i}"
        names.add(found["id"])
        made.append({"tolerance": 0.0} | found)
    if not made:
        raise ValueError(f"{path or hub_id} holds no problem of {name}")
    return pa.Table.from_pylist(made, schema=COLUMNS)


def local(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines or Parquet file; ValueError names a damaged line."""
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    with path.open(encoding="utf-8-sig") as file:
        for i, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {i}: not JSON ({error})") from error


def family_of(benchmark: str) -> str:
    """The family of puzzles that a benchmark belongs to, or nothing."""
    name = benchmark.partition("-")[0]
    return name if name in PUZZLES else ""


def prompt(benchmark: str, problem: str, entry: str | None = None) -> str:
    """The user's turn, as in the paper; puzzles are asked unchanged.

    `entry` is the function that a code problem asks for, or None if the program reads standard input. Source:
    the authors' evaluation code (Return your final response ...; their LiveCodeBench templates).
    """
    if family_of(benchmark):
        return problem
    if benchmark.startswith("livecodebench"):
        return (STDIN if entry is None else FUNCTION).format(problem=problem)
    return BOXED.format(problem=problem)

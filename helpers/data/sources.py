"""Sources: where traces come from, other than puzzles. Each has rows, and a reader of one row.

    numbered = hub_rows("openr1-math")          # (0, {"problem": "...", "generations": [...], ...}), ...
    read_openr1(row)                            # [Candidate(problem, response, "7", "correct"), ...]

A reader raises ValueError with a reason that rows can be counted by. collection.py decides what becomes of
candidates and of rows that fail.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.answers.boxed import boxes, final_answer
from helpers.data.traces import END_THINK, KINDS, THINK, render

PROMPT = "Return your final response within \\boxed{}. "  # Sky-T1's instruction before a problem
Row = dict[str, Any]
Numbered = Iterator[tuple[int, Row | ValueError]]  # number from 0, row or what is wrong with it


@dataclass(frozen=True)
class Candidate:
    """A response that may become a trace, of a part of its source. `kind` is None until it is graded."""

    problem: str
    response: str
    answer: str
    kind: str | None
    part: str = ""


def field(row: Row, name: str, kind: type = str) -> Any:
    """A row's field, which must have the given type; ValueError if it is missing or of another type."""
    if name not in row or row[name] is None:
        raise ValueError(f"missing field: {name}")
    if not isinstance(row[name], kind):
        raise ValueError(f"wrong type: {name} is {type(row[name]).__name__}, not {kind.__name__}")
    return row[name]


def read_conversation(row: Row) -> list[Candidate]:
    """Sky-T1 and Bespoke-Stratos: `conversations` with the user's and the assistant's turn.

    The answer is the boxed one: the data sets contain none, but only checked responses.
    """
    texts = {}
    for turn in field(row, "conversations", list):
        if not isinstance(turn, dict):
            raise ValueError("wrong type: a turn of conversations is no dictionary")
        texts.setdefault(field(turn, "from"), field(turn, "value"))
    problem, response = (
        next((texts[n] for n in names if n in texts), None)
        for names in (("user", "human"), ("assistant", "gpt"))
    )
    if problem is None or response is None:
        raise ValueError("missing field: a turn of the user and one of the assistant")
    return [Candidate(without_prompt(problem), with_tags(response), final_answer(response) or "", "correct")]


def without_prompt(problem: str) -> str:
    """A problem without Sky-T1's instruction in front of it."""
    return problem.strip().removeprefix(PROMPT.strip()).strip()


def read_openr1(row: Row) -> list[Candidate]:
    """OpenR1-Math: several generations per problem, right if Math-Verify or the Llama judge says so.

    Wrong are those that were judged and rejected; those not judged, or cut before the end, are no candidates.
    """
    problem, answer = field(row, "problem"), field(row, "answer")
    generations = field(row, "generations", list)
    none = [None] * len(generations)
    verdicts = [row.get(name) or none for name in ("correctness_math_verify", "correctness_llama")]
    complete = row.get("is_reasoning_complete") or none
    if any(
        not isinstance(column, list) or len(column) != len(generations) for column in (*verdicts, complete)
    ):
        raise ValueError("wrong type: as many verdicts as generations are needed")
    found = []
    for k, response in enumerate(generations):
        given = [column[k] for column in verdicts if column[k] is not None]
        if isinstance(response, str) and given and complete[k] is not False:
            found.append(Candidate(problem, response, answer, "correct" if any(given) else "wrong"))
    if not found:
        raise ValueError("no generation that is complete and judged")
    return found


def read_numina(row: Row) -> list[Candidate]:
    """NuminaMath-CoT: the short solution of a problem."""
    solution = field(row, "solution")
    return [Candidate(field(row, "problem"), solution, final_answer(solution) or "", "short")]


def read_human(row: Row) -> list[Candidate]:
    """Nemotron-Math-HumanReasoning: thoughts by people (in four stages) or QwQ-32B-Preview, without tags."""
    response, part = with_tags(field(row, "solution")), row.get("solution_type") or ""
    return [
        Candidate(field(row, "problem"), response, str(field(row, "expected_answer", object)), None, part)
    ]


def read_local(row: Row) -> list[Candidate]:
    """A row of your own file or of `teacher`: `problem`, `response` or `solution`; optional `answer`, `kind`.

    `part` names the part of the file that the row belongs to (see `arms.PARTS`). Sky-T1's `conversations`
    work too. Without a kind the answer is checked; without an answer the response counts as correct. A
    `finish_reason` of "length" means that it was cut.
    """
    if row.get("finish_reason") == "length":
        raise ValueError("cut: the response reached the limit of tokens")
    if row.get("refused"):
        raise ValueError(f"refused by the endpoint: {row['refused']}")
    if "conversations" in row:
        return read_conversation(row)
    response = field(row, "response" if "response" in row or "solution" not in row else "solution")
    kind = row.get("kind")
    if kind not in (None, *KINDS):
        raise ValueError(f"unknown kind: use {', '.join(KINDS)}, or leave it out")
    answer = "" if row.get("answer") is None else str(row["answer"])
    if kind is None and not answer:
        answer, kind = final_answer(response) or "", "correct"
    problem, part = without_prompt(field(row, "problem")), str(row.get("part") or "")
    return [Candidate(problem, response if kind == "short" else with_tags(response), answer, kind, part)]


def with_tags(response: str) -> str:
    """A response in our tags, translated from s1's or added.

    One without tags is cut before the last paragraph that boxes an answer, as for QwQ-32B-Preview and for
    people.
    """
    response = re.sub(r"<\|im_start\|>think\b[ \t]*", THINK, response)
    response = re.sub(r"<\|im_start\|>answer\b[ \t]*", END_THINK, response).removesuffix("<|im_end|>")
    if re.search(r"</?think>|<\|(?:begin|end)_of_(?:thought|solution)\|>", response):
        return response
    found = boxes(response)
    start = response.rfind("\n\n", 0, found[-1][0]) if found else -1
    if start < 0:
        return response
    return render([response[:start].strip()], response[start:].strip())


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub; `gives` says which kinds of traces it has.

    `revision` is a commit; if None, the current one is looked up, loaded and recorded.
    """

    id: str
    revision: str | None
    read: Callable[[Row], list[Candidate]]
    gives: str
    licence: str
    split: str = "train"


HUB = {
    "sky-t1": HubSource(
        "NovaSky-AI/Sky-T1_data_17k", "48d98667126c9d8039a7811d805719f039efcd5b", read_conversation,
        "correct (QwQ-32B-Preview)", "Apache-2.0",
    ),
    "bespoke-stratos": HubSource(
        "bespokelabs/Bespoke-Stratos-17k", "9e9adba943911a9fc44dffcb30aaa18dc96ae6df", read_conversation,
        "correct (DeepSeek-R1)", "Apache-2.0",
    ),
    "openr1-math": HubSource(
        "open-r1/OpenR1-Math-220k", "e4e141ec9dea9f8326f4d347be56105859b2bd68", read_openr1,
        "correct and wrong (DeepSeek-R1)", "Apache-2.0",
    ),
    "numina-cot": HubSource(
        "AI-MO/NuminaMath-CoT", "9d8d210c9f6a36c8f3cd84045668c9b7800ef517", read_numina,
        "short", "Apache-2.0",
    ),
    "human-reasoning": HubSource(
        "nvidia/Nemotron-Math-HumanReasoning", None, read_human,
        "correct and wrong (people, QwQ-32B-Preview)", "CC-BY-NC-4.0",
    ),
}  # fmt: skip


def hub_source(name: str) -> HubSource:
    """The hub source with this name; ValueError names the closest one."""
    if name not in HUB:
        close = get_close_matches(name, HUB, n=1, cutoff=0)[0]
        raise ValueError(f"there is no source {name!r}: did you mean {close!r}? Or a .jsonl or .parquet file")
    return HUB[name]


def resolved(source: HubSource) -> str:
    """The commit to load: the pinned one, or the current one on the hub."""
    if source.revision:
        return source.revision
    from huggingface_hub import HfApi

    return HfApi().dataset_info(source.id).sha


def hub_rows(source: HubSource, revision: str) -> Numbered:
    """The rows of a hub data set, streamed; `revision` is a commit from `resolved`."""
    import datasets

    rows = datasets.load_dataset(source.id, split=source.split, revision=revision, streaming=True)
    yield from enumerate(rows)


def file_rows(path: str | Path) -> Numbered:
    """The rows of a JSON Lines or Parquet file, numbered from 0; a line that is not JSON is a ValueError.

    ValueError at once if the file is missing or of another kind.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"{path} does not exist: give the path of a .jsonl or .parquet file")
    if path.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"{path} is no .jsonl or .parquet file: convert it to one of them")
    return parquet_rows(path) if path.suffix == ".parquet" else json_rows(path)


def json_rows(path: Path) -> Numbered:
    with path.open("rb") as file:
        for number, line in enumerate(file):
            try:
                row = json.loads(line.removeprefix(codecs.BOM_UTF8) if number == 0 else line)
            except (ValueError, RecursionError):
                yield number, ValueError("no JSON")
                continue
            row = row if isinstance(row, dict) else ValueError("wrong type: the row is no object")
            yield number, row


def parquet_rows(path: Path) -> Numbered:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a complete Parquet file: make or download it again") from error
    number = 0
    for batch in file.iter_batches(batch_size=256):
        for k in range(batch.num_rows):
            try:
                yield number, {name: batch[name][k].as_py() for name in batch.schema.names}
            except UnicodeDecodeError:
                yield number, ValueError("no text: bytes that are not UTF-8")
            number += 1


COLUMNS = {  # that identify a data set's layout in a local file; Bespoke-Stratos has Sky-T1's
    "openr1-math": {"problem", "answer", "generations"},
    "sky-t1": {"conversations"},
    "human-reasoning": {"problem", "solution", "expected_answer"},
    "numina-cot": {"problem", "solution", "messages"},
}


def open_source(source: str) -> tuple[Numbered, Callable[[Row], list[Candidate]], str, str]:
    """The rows, their reader, a label with revision or layout, and a prefix for ids, of `HUB` or a file."""
    path = Path(source).expanduser()
    if path.suffix not in (".jsonl", ".parquet"):
        found = hub_source(source)
        revision = resolved(found)
        return hub_rows(found, revision), found.read, f"{found.id}@{revision}", source
    first = next((set(row) for _, row in islice(file_rows(path), 20) if isinstance(row, dict)), set())
    own = first & {"kind", "response"}
    layout = next((name for name, columns in COLUMNS.items() if columns <= first and not own), None)
    label = f"{path.name} (columns of {layout})" if layout else path.name
    return file_rows(path), HUB[layout].read if layout else read_local, label, path.stem

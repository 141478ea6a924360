"""Traces: one Long CoT demonstration each, and their Parquet files.

    Trace(id="countdown-train-7", problem="Use 3, 5 and 19 to make 11.",
          steps=("Let me make 11 from 3, 5 and 19.", "3+5=8. With 19: 27, 11, 152. Yes, 19-8=11."),
          solution="The answer is \\boxed{19-(3+5)}.", answer="11", source="puzzles", kind="correct")

A response is a frame around the thought and the solution: `frame[0] + thought + frame[1] + solution +
frame[2]`. The thought is the steps one after the other; a step that does not end in white space is parted
from the next by a blank line. So steps that were cut from a text join to that text, and steps that were
written one by one join as paragraphs. A trace with `kind="short"` is its solution alone, without a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.answers.boxed import PLACEHOLDER, boxes
from helpers.files import atomic

SEPARATOR = "\n\n"
THINK, END_THINK = "<think>", "</think>"
SKY = ("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>")
KINDS = ("correct", "wrong", "short")
Frame = tuple[str, str, str]
FRAMES: dict[str, Frame] = {
    "think": (f"{THINK}\n", f"\n{END_THINK}\n\n", ""),
    "sky-t1": (f"{SKY[0]}\n\n", f"\n\n{SKY[1]}\n\n{SKY[2]}\n\n", f"\n\n{SKY[3]}"),
}


@dataclass(frozen=True)
class Trace:
    """A problem with one demonstration of its solution.

    `kind` is "correct", "wrong" (the boxed answer is wrong) or "short" (the solution only); `source` says
    where it came from (a hub data set with its revision, a file, a teacher model).
    """

    id: str
    problem: str
    steps: tuple[str, ...]
    solution: str
    answer: str
    source: str
    kind: str = "correct"
    frame: Frame = FRAMES["think"]


def short_traces(traces: Iterable[Trace]) -> list[Trace]:
    """The same problems with their solution only."""
    return [replace(trace, steps=(), kind="short") for trace in traces]


SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # unique within a file; an arm's randomness depends on it
        ("problem", pa.string()),  # without instructions around it
        ("steps", pa.list_(pa.string())),  # of the thought, in order; none for a short trace
        ("solution", pa.string()),  # with the boxed answer
        ("answer", pa.string()),  # the expected one; a wrong trace has another in its box
        ("source", pa.string()),
        ("kind", pa.string()),  # one of KINDS
        ("frame", pa.list_(pa.string())),  # the texts around thought and solution
    ]
)
OPTIONAL = ("frame",)  # files without it use think tags


@dataclass(frozen=True)
class Parsed:
    """A response taken apart: `frame[0] + thought + frame[1] + solution + frame[2]` is the response.

    That holds for every text. `format` is "sky-t1", "think" or "none", and `irregularities` are in words.
    """

    thought: str
    solution: str
    frame: Frame
    format: str
    irregularities: tuple[str, ...]


def spaced(steps: Iterable[str]) -> list[str]:
    """The steps with white space between them: a blank line after each one that ends in none."""
    *first, last = list(steps) or [""]
    return [*(s if s and s[-1].isspace() else s + SEPARATOR for s in first), last]


def thought(steps: Iterable[str]) -> str:
    """The steps as one text."""
    return "".join(spaced(steps))


def render(steps: Iterable[str], solution: str, kind: str = "correct", frame: Frame = FRAMES["think"]) -> str:
    """The response that a model is trained on: the frame around thought and solution.

    A short trace is its solution only. An emptied thought keeps its tags, so deleting every step differs from
    never having had any. White space that a step in the last place brought along is dropped.
    """
    if kind == "short":
        return solution
    return f"{frame[0]}{thought(steps).rstrip()}{frame[1]}{solution}{frame[2]}"


def parse(response: str) -> Parsed:
    """Take a response in either format apart, whatever a model made of its tags.

    The first opening tag and the first closing tag after it count. A thought that is never closed ends at the
    solution's tag or at the end; a missing opening tag is assumed at the start (chat templates put it into
    the prompt). White space at the edges of thought and solution belongs to the frame.
    """
    sky, think = any(tag in response for tag in SKY), THINK in response or END_THINK in response
    if not (sky or think):
        solution = response.strip()
        start = response.index(solution)
        ends = (response[:start], "", response[start + len(solution) :])
        return Parsed("", solution, ends, "none", ("no tags", *boxed_irregularities(solution)))
    begin, end, begin_solution, end_solution = SKY if sky else (THINK, END_THINK, "", "")
    found = ["both formats"] if sky and think else []
    opened = response.find(begin)
    start = opened + len(begin) if opened >= 0 else 0
    closed = response.find(end, start)
    solution_tag = response.find(begin_solution, max(closed, start)) if sky else closed
    stop = closed if closed >= 0 else solution_tag if solution_tag >= 0 else len(response)
    solution_start, solution_stop = len(response), len(response)
    if solution_tag >= 0:
        solution_start = solution_tag + len(begin_solution if sky else end)
    elif closed >= 0:
        solution_start = closed + len(end)
    if sky and (at := response.find(end_solution, solution_start)) >= 0:
        solution_stop = at
    frame, inner, solution = cut(response, start, stop, solution_start, solution_stop)
    between = frame[1].replace(end, "", 1).replace(begin_solution, "", 1)
    after = frame[2].replace(end_solution, "", 1)
    checks = {
        "no opening tag": opened < 0,
        "text before the thought": opened > 0 and response[:opened].strip(),
        "thought never closed": closed < 0,
        "empty thought": not inner,
        "text between thought and solution": between.strip(),
        "no tag before the solution": sky and solution_tag < 0 <= closed,
        "solution never closed": sky and solution and end_solution not in frame[2],
        "text after the solution": after.strip(),
        "repeated tags": any(response.count(tag) > 1 for tag in (SKY if sky else (THINK, END_THINK))),
    }
    found += [name for name, is_so in checks.items() if is_so] + list(boxed_irregularities(solution))
    return Parsed(inner, solution, frame, "sky-t1" if sky else "think", tuple(found))


def cut(response: str, start: int, stop: int, solution_start: int, solution_stop: int) -> tuple:
    """Frame, thought and solution at these offsets; white space at their edges goes to the frame."""

    def trimmed(start: int, stop: int) -> tuple[int, int]:
        text = response[start:stop]
        return (
            (start + len(text) - len(text.lstrip()), start + len(text.rstrip()))
            if text.strip()
            else (start, start)
        )

    a, b = trimmed(start, stop)
    c, d = trimmed(solution_start, solution_stop)
    return (response[:a], response[b:c], response[d:]), response[a:b], response[c:d]


def boxed_irregularities(solution: str) -> tuple[str, ...]:
    """What is unusual about a solution's boxed answers, in words; nothing for one `\\boxed{...}`."""
    if not solution:
        return ("no solution",)
    found = boxes(solution)
    contents = {content for _, content, _ in found}
    checks = {
        "no boxed answer": not found,
        "box never closed": None in contents,
        "empty box": any(content is not None and PLACEHOLDER.fullmatch(content) for content in contents),
        "several boxed answers": len(contents) > 1,
        "box in another form": any(not solution.startswith("\\boxed{", start) for start, _, _ in found),
    }
    return tuple(name for name, is_so in checks.items() if is_so)


def write_table(table: pa.Table, path: str | Path) -> None:
    """Write a Parquet file that is either complete or not there."""
    with atomic(path) as partial:
        pq.write_table(table, partial)


def read_table(path: str | Path) -> pa.Table:
    """Read a Parquet file; a missing or damaged one raises ValueError that names it and the remedy."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist: run the notebook that writes it first")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} is not a complete Parquet file ({reason}): delete it and run again"
        ) from error


def write_traces(traces: Iterable[Trace], path: str | Path) -> None:
    """Write traces to Parquet, columns as in `SCHEMA`; `datasets.load_dataset("parquet", ...)` reads it."""
    rows = [asdict(t) for t in traces]
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


def read_traces(path: str | Path) -> list[Trace]:
    """Read the traces of a Parquet file written by `write_traces`."""
    table = read_table(path)
    present = [name for name in SCHEMA.names if name in table.column_names]
    missing = [name for name in SCHEMA.names if name not in present and name not in OPTIONAL]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}: it is not a file of traces")
    rows = table.select(present).to_pylist()
    return [Trace(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows]

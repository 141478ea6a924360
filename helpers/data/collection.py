"""Collection: candidates become traces or are set aside with a reason; none disappears.

    collected = collect(file_rows("mine.jsonl"), read_local, "mine")
    collected.aside[0]    # Aside(row=17, part=0, reason="lone surrogate", detail="at character 812")
    card(collected)       # what a reader of the data has to know, as numbers

The first filter that fails decides: is the row readable, is the text valid Unicode (filters.py), does the
response have a thought, a solution and a boxed answer, can the answer be compared, are there enough steps, is
the problem new, and is it in no benchmark?
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from helpers.answers.boxed import final_answer
from helpers.conditions import nearest
from helpers.data import gym
from helpers.data.filters import BLOCK, blocks, leak, refuse_text, whole
from helpers.data.segmentation import paragraphs, segment, segment_with_model
from helpers.data.sources import Candidate, Numbered, Row, open_source
from helpers.data.traces import FRAMES, KINDS, SKY, Frame, Trace, parse, write_traces
from helpers.data.words import count_keywords
from helpers.files import write_text

BATCH = 500  # rows graded together


@dataclass(frozen=True)
class Aside:
    """A row, or a part of it (from 0), that became no trace, and why."""

    row: int
    part: int
    reason: str
    detail: str = ""


@dataclass
class Collected:
    """Traces by kind, what was set aside, and irregularities of the responses that were read."""

    source: str
    traces: dict[str, list[Trace]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    aside: list[Aside] = field(default_factory=list)
    irregularities: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    candidates: int = 0


@dataclass
class Read:
    """A candidate as a trace, or the error that refuses it; `kind` is None until it is graded.

    `irregularities` are those of its response; None if the whole row is refused.
    """

    part: int
    made: Trace | ValueError
    irregularities: tuple[str, ...] | None = ()


def collect(
    rows: Numbered,
    read: Callable[[Row], list[Candidate]],
    source: str,
    name: str = "trace",
    n: int | None = None,
    max_characters: int = 65_536,
    min_steps: int = 2,
    benchmarks: Mapping[str, Iterable[str]] | None = None,
    frame: Frame | None = None,
    cut: Callable[[str], Sequence[str]] = segment,
    judge: Callable[[Sequence[tuple[str, str]]], Sequence[str]] = gym.judge,
) -> Collected:
    """Traces from rows, with ids `<name>-<row>` or `<name>-<row>-<part>`.

    At most the first n traces of each kind and, where a source has parts, of each part (named after # in a
    trace's `source`). `max_characters` limits a response. `benchmarks` are problems by name; no trace may
    share `BLOCK` words in a row with one. `frame` puts all responses into one format (None: each as it came).
    `judge` returns verdicts on pairs of expected and given answer; one that is neither "ok" nor "wrong"
    cannot be compared.
    """
    collected = Collected(source)
    seen: set[tuple] = set()
    counts: Counter[tuple[str, str]] = Counter()
    known = blocks(benchmarks or {})
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        made = [
            (number, read_row(row, read, f"{name}-{number}", source, max_characters, frame, cut))
            for number, row in batch
        ]
        set_kinds([one for _, parts in made for one in parts], judge)
        for number, parts in made:
            collected.rows += 1
            for one in parts:
                collected.candidates += one.irregularities is not None
                collected.irregularities.update(one.irregularities or ())
                try:
                    trace = accepted(one.made, seen, known, min_steps)
                except ValueError as error:
                    reason, _, detail = str(error).partition(": ")
                    collected.aside.append(Aside(number, one.part, reason, detail))
                    continue
                if n is None or counts[trace.kind, trace.source] < n:
                    counts[trace.kind, trace.source] += 1
                    collected.traces[trace.kind].append(trace)
                else:
                    collected.aside.append(Aside(number, one.part, "more than were asked for"))
            if n and all(counts[kind, source] >= n for kind in KINDS):
                return collected
    return collected


def from_source(
    source: str,
    steps_by: str = "rule",
    trace_format: str = "as it came",
    ask: Callable[[str], str] | None = None,
    **limits: Any,
) -> Collected:
    """Traces from a data set of `sources.HUB` or from a file; `limits` are as in `collect`.

    Steps are cut by "rule", by "paragraphs" or by a "model", which `ask` puts prompts to. Responses keep
    their format ("as it came") or get one of `FRAMES`. ValueError names the closest valid name.
    """
    cuts = {"rule": segment, "paragraphs": paragraphs, "model": lambda t: segment_with_model(t, ask)[0]}
    frames = {"as it came": None} | FRAMES
    for key, name, valid in (("steps_by", steps_by, cuts), ("trace_format", trace_format, frames)):
        if name not in valid:
            raise ValueError(f"{key}: {name!r} is not valid{nearest(name, valid)}")
    rows, read, label, short = open_source(source)
    return collect(rows, read, label, short, frame=frames[trace_format], cut=cuts[steps_by], **limits)


def read_row(
    row: Row | ValueError, read: Callable[[Row], list[Candidate]], name: str, source: str,
    max_characters: int, frame: Frame | None, cut: Callable[[str], Sequence[str]],
) -> list[Read]:  # fmt: skip
    """The candidates of a row, each as a trace or as the error that refuses it, independent of the others."""
    try:
        if isinstance(row, ValueError):
            raise row
        candidates = read(row)
    except ValueError as error:
        return [Read(0, error, None)]
    found = []
    for part, candidate in enumerate(candidates):
        where = f"{name}-{part}" if len(candidates) > 1 else name
        label = f"{source}#{candidate.part}" if candidate.part else source
        parsed = None if candidate.kind == "short" else parse(candidate.response)
        try:
            made: Trace | ValueError = to_trace(candidate, where, label, max_characters, frame, cut)
        except ValueError as error:
            made = error
        found.append(Read(part, made, parsed.irregularities if parsed else ()))
    return found


def to_trace(
    candidate: Candidate, name: str, source: str, max_characters: int,
    frame: Frame | None, cut: Callable[[str], Sequence[str]],
) -> Trace:  # fmt: skip
    """A candidate as a trace, with kind None if it has to be graded; ValueError if it is refused."""
    for text in (candidate.problem, candidate.response, candidate.answer):
        refuse_text(text, max_characters)
    if not candidate.problem.strip():
        raise ValueError("empty problem")
    solution, steps, frames = candidate.response.strip(), (), {}
    if candidate.kind != "short":
        parsed = parse(candidate.response)
        if parsed.format == "none":
            box = "" if final_answer(candidate.response) else " and no boxed answer"
            raise ValueError(f"no tags{box}: nothing parts the thought from the solution")
        if not parsed.solution:
            raise ValueError("no solution: the thought was never closed, or nothing follows it")
        if not parsed.thought:
            raise ValueError("empty thought")
        solution, steps = parsed.solution, tuple(cut(parsed.thought))
        end = parsed.frame[2].partition(SKY[3])  # text after the last tag is not part of the response
        frames = {"frame": frame or (*parsed.frame[:2], end[0] + end[1] if end[1] else parsed.frame[2])}
    answer = final_answer(solution)
    if not answer:
        raise ValueError("no boxed answer")
    return Trace(
        name, candidate.problem, steps, solution, candidate.answer or answer, source, candidate.kind, **frames
    )


def set_kinds(found: Sequence[Read], judge: Callable[[Sequence[tuple[str, str]]], Sequence[str]]) -> None:
    """Grade the traces without a kind: correct, wrong, or an error if answers cannot be compared."""
    undecided = [one for one in found if isinstance(one.made, Trace) and one.made.kind is None]
    pairs = [(one.made.answer, final_answer(one.made.solution) or "") for one in undecided]
    for one, (expected, answer), verdict in zip(undecided, pairs, judge(pairs), strict=True):
        if verdict in ("ok", "wrong"):
            one.made = replace(one.made, kind="correct" if verdict == "ok" else "wrong")
        else:
            one.made = ValueError(f"answer not comparable: {answer[:80]!r} and {expected[:80]!r}")


def accepted(made: Trace | ValueError, seen: set, known: Mapping[Any, str], min_steps: int) -> Trace:
    """The trace, if it has enough steps and a new problem that is in no benchmark; otherwise ValueError."""
    if isinstance(made, ValueError):
        raise made
    refuse_others(made, seen, known, min_steps)
    return made


def refuse_others(trace: Trace, seen: set, known: Mapping[Any, str], min_steps: int) -> None:
    """ValueError for a trace with too few steps, a known problem, or one from a benchmark."""
    if trace.kind != "short" and len(trace.steps) < min_steps:
        raise ValueError("one step: nothing to reorder" if len(trace.steps) == 1 else "too few steps")
    if (key := (whole(trace.problem, gym.is_entry(trace.answer)), trace.kind, trace.source)) in seen:
        raise ValueError("duplicate: the problem has a trace of this kind already")
    if benchmark := leak(trace.problem, known):
        raise ValueError(f"leak: {BLOCK} words in a row, or all of it, are in {benchmark}")
    seen.add(key)


def card(collected: Collected) -> dict[str, Any]:
    """The data card as plain values: counts per filter, irregularities, and lengths by kind."""
    kinds = {kind: spread(traces) for kind, traces in collected.traces.items() if traces}
    return {
        "source": collected.source,
        "rows": collected.rows,
        "candidates": collected.candidates,
        "set aside": dict(Counter(aside.reason for aside in collected.aside).most_common()),
        "irregularities": dict(collected.irregularities.most_common()),
        "kinds": kinds,
    }


def spread(traces: Sequence[Trace]) -> dict[str, Any]:
    """The number of traces, and the median, 5th and 95th percentile of their sizes."""
    sizes = {
        "steps": [len(t.steps) for t in traces],
        "characters": [sum(map(len, t.steps)) + len(t.solution) for t in traces],
        "keywords": [sum(map(count_keywords, t.steps)) for t in traces],
    }
    return {"traces": len(traces)} | {name: percentiles(values) for name, values in sizes.items()}


def percentiles(values: Sequence[int]) -> list[float]:
    """The 5th percentile, the median and the 95th."""
    if len(values) == 1:
        return [float(values[0])] * 3
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return [cuts[0], cuts[9], cuts[18]]


def write_collected(collected: Collected, folder: str | Path) -> dict[str, list[Trace]]:
    """Write <kind>.parquet for each kind, card.json, and aside.jsonl with one line per row set aside.

    Returns the traces by kind; if a source has no short ones, the solutions of its correct ones serve as
    such.
    """
    folder = Path(folder)
    traces = dict(collected.traces)
    if not traces["short"]:
        traces["short"] = [Trace(**asdict(t) | {"steps": (), "kind": "short"}) for t in traces["correct"]]
    for kind, made in traces.items():
        write_traces(made, folder / f"{kind}.parquet")
    write_text(folder / "card.json", json.dumps(card(collected), indent=1) + "\n")
    write_text(folder / "aside.jsonl", "".join(json.dumps(asdict(aside)) + "\n" for aside in collected.aside))
    if not any(traces.values()):
        often = Counter(aside.reason for aside in collected.aside).most_common(1)
        why = "".join(f", {count} of them for {reason!r}" for reason, count in often)
        raise ValueError(
            f"{collected.source}: none of {collected.rows} rows became a trace{why}; "
            f"{folder / 'aside.jsonl'} has the reason of each"
        )
    return traces

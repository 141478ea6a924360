"""The explorer's third view: what two models answered to one problem, side by side.

    left, right = (read_run("outputs/laptop", run) for run in ("correct.s0", "shuffle-67.s0"))
    HTML(render([("correct.s0", left.iloc[0].to_dict()), ("shuffle-67.s0", right.iloc[0].to_dict())]))

A response is shown paragraph by paragraph with its verdict; reflection keywords and dangling references
(dangling.py) are marked and counted. Texts are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from helpers.data.segmentation import paragraphs
from helpers.data.traces import read_table
from helpers.data.words import KEYWORD
from helpers.explorer.dangling import dangling, is_puzzle
from helpers.explorer.markup import PARTS
from helpers.explorer.trace_view import page

VERDICTS = {
    "ok": "✓ right",
    "wrong": "✗ wrong",
    "unparsed": "✗ no answer found",
    "timeout": "✗ not graded in time",
    "truncated": "✂ cut off before its end",
}
PUZZLE_REFERENCE = "a number that is neither given nor a result so far"
STEP_REFERENCE = "a step that nothing numbered"
LONGEST = 200  # characters shown of an expected answer; a program's tests are longer
KEYS = ["benchmark", "problem_id", "sample"]
Marked = tuple[int, int, str]  # start, end and class of a mark


def runs(output_dir: str | Path) -> list[str]:
    """The runs ("correct.s0") of a folder that have responses and scores."""
    scored = {path.stem for path in (Path(output_dir) / "scores").glob("*.parquet")}
    return sorted(scored & {path.stem for path in (Path(output_dir) / "generations").glob("*.parquet")})


def read_run(output_dir: str | Path, run: str) -> pd.DataFrame:
    """A run's responses with their scores, one row per response; ValueError if a file is missing.

    The index is what identifies a response in both files: benchmark, problem_id and, if there are several,
    sample.
    """
    answers, scores = (
        read_table(Path(output_dir) / kind / f"{run}.parquet").to_pandas()
        for kind in ("generations", "scores")
    )
    keys = [key for key in KEYS if key in answers and key in scores]
    both = answers.merge(scores[[*keys, "status", "correct"]], on=keys, validate="one_to_one")
    return both.set_index(keys)


def in_common(left: pd.DataFrame, right: pd.DataFrame, benchmark: str) -> list[pd.DataFrame]:
    """Two runs' rows for the problems of a benchmark that both answered, in the same order."""
    index = left.index.intersection(right.index)
    index = index[index.get_level_values("benchmark") == benchmark]
    return [left.loc[index], right.loc[index]]


def render(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """HTML of responses to one problem, in columns: the name of each run and its row of `read_run`."""
    names, found = zip(*rows, strict=True)
    first = found[0]
    texts = [list(paragraphs(row["response"])) for row in found]
    same = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip_longest(*texts)))
    columns = [column(row["problem"], parts, same) for row, parts in zip(found, texts, strict=True)]
    meaning = PUZZLE_REFERENCE if is_puzzle(first["problem"]) else STEP_REFERENCE
    return page(
        PARTS.problem(first["problem"], f"expected: {first['answer'][:LONGEST]}"),
        PARTS.references(meaning),
        PARTS.table(names, [[summary(row) for row in found], *zip_longest(*columns)]),
    )


def page_of(tables: Sequence[pd.DataFrame], names: Sequence[str], number: int) -> str:
    """`render` of row `number` of such tables; a sentence if there is no such row."""
    if number >= len(tables[0]):
        return "<p>These two runs have no problem of this benchmark in common.</p>"
    return render([(name, table.iloc[number].to_dict()) for name, table in zip(names, tables, strict=True)])


def summary(row: Mapping[str, Any]) -> Markup:
    """A response's verdict, length and counts, as a cell."""
    text = row["response"]
    counts = (
        f"{row['tokens']} tokens",
        f"{len(KEYWORD.findall(text))} keywords",
        f"{len(dangling(row['problem'], text))} references to nothing",
    )
    return PARTS.verdict(VERDICTS.get(row["status"], row["status"]), ", ".join(counts))


def column(problem: str, parts: Sequence[str], same: int) -> list[Markup]:
    """A response's paragraphs as cells; the first `same` are shared with the other response."""
    text = "".join(parts)
    marked: list[Marked] = [(*m.span(), "keyword") for m in KEYWORD.finditer(text)]
    marked += [(*span, "missing") for span in dangling(problem, text)]
    cells, start = [], 0
    for i, part in enumerate(parts):
        inside = [(a - start, b - start, name) for a, b, name in marked if start <= a < start + len(part)]
        change, words = ("kept", f"= {i} the same") if i < same else ("own", f"{i}")
        cells.append(PARTS.paragraph(change, words, pieces(part.rstrip(), inside)))
        start += len(part)
    return cells


def pieces(text: str, marked: Sequence[Marked]) -> list[tuple[str, str]]:
    """The text in pieces, each with its class or none; of overlapping marks the first counts."""
    parts, at = [], 0
    for start, stop, name in sorted(marked):
        if start >= at:
            parts += [(text[at:start], ""), (text[start:stop], name)]
            at = stop
    return [*parts, (text[at:], "")]

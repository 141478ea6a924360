"""Arms as files: every trace perturbed, one Parquet file per arm, in as many processes as wanted.

    write_arms({"correct": traces, "wrong": wrong}, ["shuffle-67", "wrong"], 0, "outputs/x/arms", processes=2)

The bytes depend on the traces, the arm and the seed, not on the number of processes or their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.conditions import run_of
from helpers.data.traces import Trace
from helpers.files import atomic
from helpers.perturbations.arms import PARTS, Perturbed, applicable, perturb

ORIGIN = pa.struct([("change", pa.string()), ("trace", pa.string()), ("index", pa.int32())])
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "problem", "solution", "kind", "response")),
        ("steps", pa.list_(pa.string())),
        ("origin", pa.list_(ORIGIN)),
    ]
)
ROWS = 1000  # per row group, so a process holds few of an arm's texts at once


def arm_table(perturbed: Sequence[Perturbed]) -> pa.Table:
    """Perturbed traces as rows; columns as in `SCHEMA`. `origin` says where each step came from."""
    columns = (
        *([getattr(p.trace, name) for p in perturbed] for name in ("id", "problem")),
        [p.solution for p in perturbed],
        [p.trace.kind for p in perturbed],
        [p.response for p in perturbed],
        [[s.text for s in p.steps] for p in perturbed],
        [[{"change": s.change, "trace": s.trace, "index": s.index} for s in p.steps] for p in perturbed],
    )
    return pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def write_arm(perturbed: Iterable[Perturbed], path: str | Path) -> int:
    """Write an arm to Parquet, one row per trace, complete or not at all; returns the number of rows.

    At most `ROWS` perturbed traces are in memory at a time.
    """
    rows, rest = 0, iter(perturbed)
    with atomic(path) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
        while part := list(islice(rest, ROWS)):
            writer.write_table(arm_table(part))
            rows += len(part)
    return rows


def make_arm(traces: Mapping[str, Sequence[Trace]], arm: str, seed: int) -> Iterator[Perturbed]:
    """Perturb all traces of the arm's own kind, or the correct ones where it has no kind of its own.

    An arm for one part of a source takes that part's correct traces; ValueError where there are none. Foreign
    steps are drawn from the same traces. ValueError, too, where the arm changes none of them.
    """
    source = traces.get(arm, traces["correct"])
    if arm in PARTS:
        source = [trace for trace in source if trace.source.endswith(f"#{arm}")]
        if not source:
            raise ValueError(f"the arm {arm!r} takes a part of its source, and no trace is of that part")
    if source and not any(applicable(arm, trace, source) for trace in source):
        perturb(source[0], arm, seed, source)  # says why, if the arm knows
        raise ValueError(f"the arm {arm!r} changes none of these traces: leave it out, it would be `correct`")
    return (perturb(trace, arm, seed, source) for trace in source)


def write_arms(
    traces: Mapping[str, Sequence[Trace]],
    arms: Sequence[str],
    seed: int,
    folder: str | Path,
    processes: int = 1,
) -> dict[str, int]:
    """Write each arm to `folder/<arm>.s<seed>.parquet`; returns the number of rows of each.

    With more than one process an arm has to be in `PERTURBATIONS` on import: one defined in a notebook is
    not.
    """
    if processes == 1:
        return {arm: write_one(arm, traces, seed, folder) for arm in arms}
    with ProcessPoolExecutor(processes, get_context("spawn"), receive, (traces, seed, folder)) as pool:
        return dict(zip(arms, pool.map(write_received, arms), strict=True))


def write_one(arm: str, traces: Mapping[str, Sequence[Trace]], seed: int, folder: str | Path) -> int:
    return write_arm(make_arm(traces, arm, seed), Path(folder) / f"{run_of(arm, seed)}.parquet")


received: tuple = ()  # in a worker process: traces, seed, folder, sent once


def receive(*work: object) -> None:
    global received
    received = work


def write_received(arm: str) -> int:
    return write_one(arm, *received)

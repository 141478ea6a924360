"""Requests to responses through an engine, with a journal: nothing finished is lost or asked for twice.

    todo = requests("base", 0, "countdown", problems, max_new_tokens=420, model="sha256...")
    complete(todo, engine, "outputs/laptop/generations")  -> [Response(...), ...]

An engine takes requests and gives (number, Response) as they finish. Each is one line of JSON in
`FOLDER/CONDITION.sSEED.jsonl` at once, under a key made of all that the response depends on: the model's
files, the prompt, the sample, the limits. A killed run goes on with what the journal does not have; a
line that the kill cut in half is dropped. With another model or another limit the old lines count for
nothing, for their keys are others.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.benchmarks import prompt
from helpers.conditions import arm_of
from helpers.generation import Response

SYNC_EVERY = 2.0  # seconds between the moments at which lines are forced onto the disk
LARGE = 100 << 20  # bytes; a larger file is known by its size, its first and its last megabyte

PLAN = b"plan"  # the key in the metadata of a Parquet file

Request = dict[str, Any]
Engine = Callable[[Sequence[Request]], Iterator[tuple[int, Response]]]


def requests(
    condition: str,
    seed: int,
    benchmark: str,
    problems: pa.Table,
    max_new_tokens: int,
    model: str,
    samples: int = 1,
    temperature: float = 0.0,
    system: str | None = None,
) -> list[Request]:
    """A request for each problem and sample, the samples of a problem together.

    `model` identifies the weights (see `fingerprint`). A sample's seed depends on the problem and its
    number alone, so conditions are compared on the same draws. ValueError for samples that would be equal.
    """
    if samples > 1 and temperature == 0:
        raise ValueError("several samples at temperature 0 are all the same: raise it, or ask for one")
    made = []
    for row in problems.to_pylist():
        entry = json.loads(row["answer"])["entry"] if benchmark.startswith("livecodebench") else None
        for sample in range(samples):
            request = {
                "condition": condition,
                "seed": seed,
                "benchmark": benchmark,
                "problem_id": row["id"],
                "problem": prompt(benchmark, row["problem"], entry),
                "system": system,
                "sample": sample,
                "sample_seed": digest([benchmark, row["id"], sample], 4),
                "max_new_tokens": max_new_tokens,
                "temperature": temperature,
            }
            request["key"] = digest([model, *request.values()], 12)
            made.append(request | {"asked": row["problem"], "answer": row["answer"]} | extras(row))
    return made


def extras(row: dict[str, Any]) -> dict[str, Any]:
    """What grading needs beyond the answer, where there is any."""
    return {"tolerance": row["tolerance"]} if row.get("tolerance") else {}


def digest(value: Any, size: int) -> Any:
    """A hash of a value that JSON can write: a number of up to 4 bytes, else 2 * size hexadecimal digits."""
    found = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return int.from_bytes(found[:size], "big") if size <= 4 else found[:size].hex()


def fingerprint(base_model: str, adapters: str | Path, condition: str, seed: int) -> str:
    """A hash of the files that a condition's responses depend on; of the name, for a model from the hub."""
    folders = [Path(base_model)]
    if arm_of(condition) != "base":
        folders.append(Path(adapters) / f"{condition}.s{seed}")
    found = [str(base_model)] if not folders[0].is_dir() else []
    for folder in filter(Path.is_dir, folders):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".safetensors", ".json", ".jinja", ".txt") and path.name != "training.json":
                found.append(content(path))
    return digest(found, 16)


def content(path: Path) -> str | list[Any]:
    """What a file is known by, wherever it is moved: its bytes, of a large one its size and its ends."""
    size = path.stat().st_size
    if size <= LARGE:
        return path.read_bytes().hex()
    with path.open("rb") as file:
        start = file.read(1 << 20)
        file.seek(-(1 << 20), os.SEEK_END)
        return [size, start.hex(), file.read().hex()]


def plan_of(todo: Sequence[Request]) -> str:
    """A hash of all that a condition's table of responses depends on, gold answers included."""
    return digest([[r["key"], r["answer"], r.get("tolerance")] for r in todo], 16)


def is_stored(todo: Sequence[Request], path: Path) -> bool:
    """Whether a file has the responses to just these requests; a line says so where it has others."""
    if not path.exists():
        return False
    try:
        stored = (pq.read_schema(path).metadata or {}).get(PLAN, b"").decode()
    except (pa.ArrowInvalid, OSError):
        stored = ""
    if stored != plan_of(todo):
        print(f"{path}: made under other parameters, weights or problems, so it is made again")
    return stored == plan_of(todo)


def complete(todo: Sequence[Request], engine: Engine, folder: str | Path) -> list[Response]:
    """The responses to requests, in their order: from the journal where it has them, else from the engine."""
    paths = {run_of(r): Path(folder) / f"{run_of(r)}.jsonl" for r in todo}
    found = {key: response for path in paths.values() for key, response in read(path).items()}
    missing = [r for r in todo if r["key"] not in found]
    if missing:
        files = {run: reopened(path) for run, path in paths.items()}
        synced = time.monotonic()
        try:
            for i, response in engine(missing):
                key, file = missing[i]["key"], files[run_of(missing[i])]
                line = {"key": key, **vars(response)}
                os.write(file, json.dumps(line).encode() + b"\n")
                found[key] = response
                if time.monotonic() - synced > SYNC_EVERY:
                    for each in files.values():
                        os.fsync(each)
                    synced = time.monotonic()
        finally:
            for file in files.values():
                os.close(file)
    unanswered = [r for r in todo if r["key"] not in found]
    if unanswered:
        first = unanswered[0]
        raise RuntimeError(
            f"the engine gave no response to {len(unanswered)} of {len(todo)} requests, "
            f"first {first['benchmark']} {first['problem_id']}: run again to ask for those alone"
        )
    return [found[r["key"]] for r in todo]


def run_of(request: Request) -> str:
    """The name of the run that a request belongs to: `correct.full.s0`."""
    return f"{request['condition']}.s{request['seed']}"


def read(path: Path) -> dict[str, Response]:
    """The responses in a journal by key; lines that are not whole are passed over."""
    found = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            row = json.loads(line)
            key = row.pop("key")
            found[key] = Response(**row)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


def reopened(path: Path) -> int:
    """A journal's file, open for appending; half a line at its end is ended, so that the next is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file


def table(todo: Sequence[Request], responses: Sequence[Response]) -> pa.Table:
    """A row for each response with the problem's own columns, and the plan as metadata (see `plan_of`).

    Sample and its seed are there where there may be several.
    """
    rows = []
    for r, response in zip(todo, responses, strict=True):
        row = {k: r[k] for k in ("benchmark", "problem_id")}
        row |= {"problem": r["asked"], "answer": r["answer"]}
        row |= {"tolerance": r["tolerance"]} if "tolerance" in r else {}
        row |= {k: r[k] for k in ("sample", "sample_seed")} if r["temperature"] > 0 else {}
        row |= {"response": response.text, "tokens": response.tokens, "finished": response.finished}
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    made = pa.table({name: [row.get(name) for row in rows] for name in columns})
    return made.replace_schema_metadata({PLAN: plan_of(todo)})

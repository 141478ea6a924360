"""From requests to responses through an engine; nothing finished is lost or generated twice.

    todo = requests("base", 0, "countdown", problems, max_new_tokens=420, model="sha256...")
    complete(todo, engine, "outputs/laptop/generations")  -> [Response(...), ...]

An engine takes requests and yields (number, Response) as they finish. Each is appended at once, as a line of
JSON, to the journal `FOLDER/CONDITION.sSEED.jsonl`, under a key made from everything that the response
depends on: the model's files, the prompt, the sample, the limits. After a kill, only what the journal lacks
is asked for; a line that was cut in half is ignored. For another model or limit the keys differ, so old lines
do not count. A finished table keeps its keys in a file next to it, so the same request is never generated
again, by hand or in the chain.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.conditions import parse, run_of
from helpers.data.traces import write_table
from helpers.evaluation.benchmarks import prompt
from helpers.files import contents, digest, sha256, write_text

SYNC_EVERY = 2.0  # seconds between flushes to the disk


@dataclass(frozen=True)
class Request:
    """One response to ask for. The model sees `prompt`; `key` stands for all that the response depends on.

    `shots` are problems and responses that the model sees before, and the response goes on from `opening`.
    """

    condition: str
    seed: int
    benchmark: str
    problem_id: str
    prompt: str
    system: str | None
    sample: int
    sample_seed: int
    max_new_tokens: int
    temperature: float
    key: str
    problem: str
    answer: str
    tolerance: float
    shots: Sequence[tuple[str, str]] = ()
    opening: str = ""

    @property
    def run(self) -> str:
        return run_of(self.condition, self.seed)


@dataclass(frozen=True)
class Response:
    """A response, its length in tokens (without the end token), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


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
    """One request per problem and sample, the samples of a problem together.

    `model` identifies the weights (see `fingerprint`). A sample's seed depends only on the problem and the
    sample's number, so conditions are compared on the same draws. ValueError where samples would all be
    equal.
    """
    if samples > 1 and temperature == 0:
        raise ValueError("several samples at temperature 0 are all the same: raise it, or ask for one")
    made = []
    for row in problems.to_pylist():
        entry = json.loads(row["answer"])["entry"] if benchmark.startswith("livecodebench") else None
        for sample in range(samples):
            asked = (
                condition, seed, benchmark, row["id"], prompt(benchmark, row["problem"], entry), system,
                sample, digest([benchmark, row["id"], sample], 4), max_new_tokens, temperature,
            )  # fmt: skip
            key = digest([model, *asked], 12)
            made.append(Request(*asked, key, row["problem"], row["answer"], row.get("tolerance") or 0.0))
    return made


def continued(request: Request, **changes: Any) -> Request:
    """The request with other fields, and a key of its own that says which."""
    return replace(request, **changes, key=digest([request.key, changes], 12))


def answer(
    conditions: Sequence[str],
    seed: int,
    problems: Mapping[str, pa.Table],
    engine: Engine,
    name: str,
    out: Path,
    base_model: str,
    together: bool = False,
    **sampling: Any,
) -> dict[str, Path]:
    """Have each condition answer every benchmark's problems; returns its tables below OUT/generations.

    `name` is the engine's, `sampling` goes to `requests`, but a benchmark NAME-greedy is answered greedily.
    With `together` the engine gets all conditions at once. Responses stored under the same plan are kept; a
    line per condition says what is left to ask for.
    """
    greedy = {"samples": 1, "temperature": 0.0}
    drawn = {b: sampling | (greedy if b.endswith("-greedy") else {}) for b in problems}
    folder, todo = out / "generations", {}
    paths = {c: folder / f"{run_of(c, seed)}.parquet" for c in conditions}
    for condition in conditions:
        model = f"{name} {fingerprint(base_model, out / 'adapters', condition, seed)}"
        asked = [
            requests(condition, seed, b, table, model=model, **drawn[b]) for b, table in problems.items()
        ]
        todo[condition] = [request for part in asked for request in part]
        print(f"{condition}: {missing(todo[condition], folder)}")
    for group in [conditions] if together else [[condition] for condition in conditions]:
        responses = iter(complete([r for c in group for r in todo[c]], engine, folder))
        for condition in group:
            found = [next(responses) for _ in todo[condition]]
            store(todo[condition], found, paths[condition])
    return paths


def fingerprint(base_model: str, adapters: str | Path, condition: str, seed: int) -> str:
    """A digest of the model files that a condition's responses depend on."""
    adapter = Path(adapters) / run_of(condition, seed)
    trained = not parse(condition).is_base and adapter.is_dir()
    return digest([contents(base_model), contents(adapter) if trained else ""])


def complete(todo: Sequence[Request], engine: Engine, folder: str | Path) -> list[Response]:
    """The responses to requests, in order: from the stored table or the journal, else from the engine."""
    paths = {r.run: Path(folder) / f"{r.run}.jsonl" for r in todo}
    found = {key: response for path in paths.values() for key, response in answered(path).items()}
    missing = [r for r in todo if r.key not in found]
    if missing:
        files = {run: reopened(path) for run, path in paths.items()}
        synced = time.monotonic()
        try:
            for i, response in engine(missing):
                key, file = missing[i].key, files[missing[i].run]
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
    unanswered = [r for r in todo if r.key not in found]
    if unanswered:
        first = unanswered[0]
        raise RuntimeError(
            f"the engine gave no response to {len(unanswered)} of {len(todo)} requests, "
            f"first {first.benchmark} {first.problem_id}: run again to ask for those alone"
        )
    return [found[r.key] for r in todo]


def answered(path: Path) -> dict[str, Response]:
    """A run's responses by key, from its journal and from the finished table next to it."""
    return stored(path.with_suffix(".parquet")) | read(path)


def stored(path: Path) -> dict[str, Response]:
    """The responses in a table that `store` wrote, by key; none if the file was changed since."""
    try:
        plan = json.loads(plan_of(path).read_text())
        if plan["table"] != sha256(path):
            return {}
        columns = pq.read_table(path, columns=["response", "tokens", "finished"]).to_pydict().values()
        return {k: Response(*row) for k, *row in zip(plan["keys"], *columns, strict=True)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def plan_of(path: Path) -> Path:
    """The file next to a table of responses that has their keys."""
    return path.with_name(f".{path.stem}.plan.json")


def missing(todo: Sequence[Request], folder: str | Path) -> str:
    """A line saying what is left to ask for in a run, and whether what is stored has another plan."""
    path = Path(folder) / f"{todo[0].run}.jsonl"
    found = answered(path)
    left = sum(r.key not in found for r in todo)
    if not left:
        return f"{len(todo)} responses stored, none to ask for"
    line = f"{left} of {len(todo)} responses to ask for"
    if left == len(todo) and path.with_suffix(".parquet").exists():
        line += "; those stored are of another plan (model, data or parameters) and are replaced"
    return line


def store(todo: Sequence[Request], responses: Sequence[Response], path: Path) -> None:
    """Write a run's table and the keys of its rows, and delete the journal."""
    write_table(table(todo, responses), path)
    keys = {"table": sha256(path), "keys": [r.key for r in todo]}
    write_text(plan_of(path), json.dumps(keys))
    path.with_suffix(".jsonl").unlink(missing_ok=True)


def read(path: Path) -> dict[str, Response]:
    """The responses in a journal by key; incomplete lines are skipped."""
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
    """A journal opened for appending; an incomplete last line is ended, so that the next is valid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file


def table(todo: Sequence[Request], responses: Sequence[Response]) -> pa.Table:
    """One row per response, with what grading needs; sample and its seed where there may be several."""
    rows = []
    for r, response in zip(todo, responses, strict=True):
        names = ["benchmark", "problem_id", "problem", "answer"]
        names += ["tolerance"] if r.tolerance else []
        names += ["sample", "sample_seed"] if r.temperature > 0 else []
        row = {name: getattr(r, name) for name in names}
        row |= {"response": response.text, "tokens": response.tokens, "finished": response.finished}
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in columns})

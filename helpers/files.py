"""Files: digests that recognise finished work, and files that appear complete or not at all.

digest({"rank": 32, "seed": 0})     # "1f0c...": the same for the same values, in any order of the keys
contents("base_model")              # the same wherever the folder is moved or copied
with atomic("results/grid.csv") as path: ...
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A path to write to; what is there at the end of the block becomes the file, after an error nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, complete or not at all."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def digest(value: Any, size: int = 16) -> Any:
    """SHA-256 of a value that JSON can write: a number of up to 4 bytes, else 2 * size hexadecimal digits."""
    found = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return int.from_bytes(found[:size], "big") if size <= 4 else found[:size].hex()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; an unchanged file is read once per process, as weights may be gigabytes."""
    return _sha256(path, path.stat().st_size, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(model: str | Path) -> str:
    """A digest of a model folder's weights, configuration and tokenizer; the name of a model on the hub.

    `training.json` is left out: it records how long a training took.
    """
    if not Path(model).is_dir():
        return str(model)
    kinds = (".safetensors", ".json", ".jinja", ".txt", ".model")
    paths = sorted(p for p in Path(model).iterdir() if p.suffix in kinds and p.name != "training.json")
    return digest([[path.name, sha256(path.resolve())] for path in paths])

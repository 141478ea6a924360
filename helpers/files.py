"""Values and files by their content: finished work is recognised by a digest of all that it depends on.

digest({"rank": 32, "seed": 0})     # "1f0c...": the same for the same values, in any order of the keys
contents("base_model")              # the same wherever the folder is moved or copied to
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any


def digest(value: Any, size: int = 16) -> Any:
    """A hash of a value that JSON can write: a number of up to 4 bytes, else 2 * size hexadecimal digits."""
    found = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return int.from_bytes(found[:size], "big") if size <= 4 else found[:size].hex()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; a process reads an unchanged file once, as weights may be many gigabytes."""
    return _sha256(path, path.stat().st_size, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(model: str | Path) -> str:
    """A digest of a model folder's weights, configuration and tokenizer; the name of a model from the hub.

    Not of `training.json`, which tells how long a training took.
    """
    if not Path(model).is_dir():
        return str(model)
    kinds = (".safetensors", ".json", ".jinja", ".txt", ".model")
    paths = sorted(p for p in Path(model).iterdir() if p.suffix in kinds and p.name != "training.json")
    return digest([[path.name, sha256(path.resolve())] for path in paths])

"""Provenance: the manifest next to a run's results, and the recipe as it was run.

    {"recipe": "laptop", "commit": "3f2a...", "dirty": false, "seeds": [0], "versions": {"torch": "2.13.0"},
     "machine": {"cpu": "...", "cores": 2, "memory_gb": 8}, "seconds": {"01_data_preparation": 9.1}, ...}

Times appear here and nowhere else, so the tables of two runs can be equal byte for byte.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from helpers.files import digest, write_text

PACKAGES = (
    *("torch", "transformers", "trl", "peft", "datasets", "accelerate", "numpy", "scipy", "pandas"),
    *("pyarrow", "papermill", "snakemake", "latex2sympy2_extended", "vllm", "bitsandbytes"),
)


def write(recipe: dict[str, Any], out: Path, cores: int, wall_seconds: float) -> None:
    """Write results/manifest.json and results/recipe.yaml below a run."""
    lines = yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, width=110)
    write_text(out / "results" / "recipe.yaml", lines)
    found = manifest(recipe, out, cores, wall_seconds)
    write_text(out / "results" / "manifest.json", json.dumps(found, indent=1) + "\n")


def manifest(recipe: dict[str, Any], out: Path, cores: int, wall_seconds: float) -> dict[str, Any]:
    """Everything that a reader needs to judge or repeat a run.

    `seconds` are those of the executed notebooks; `wall_seconds` is the last command's, which only did what
    an interrupted one had left over.
    """
    times = notebook_seconds(out)
    return {
        "recipe": recipe["recipe"],
        "recipe_sha256": digest(recipe, 32),
        "parameters": recipe,
        "seeds": recipe["seeds"],
        "traces_from": traces_from(out),
        **commit(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | versions(),
        "machine": machine() | {"cores_used": cores},
        "seconds": times,
        "total_seconds": round(sum(times.values()), 1),
        "wall_seconds": round(wall_seconds, 1),
    }


def traces_from(out: Path) -> str:
    """The source of a run's traces according to its data card, for example a hub data set with its commit."""
    card = out / "traces" / "card.json"
    return json.loads(card.read_text())["source"] if card.exists() else "unknown"


def commit() -> dict[str, Any]:
    """The commit, and whether tracked files differ from it; "unknown" and None outside a checkout."""
    try:
        head = git("rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": None}


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    """Versions of the installed packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, number of cores, memory in GB, system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def notebook_seconds(out: Path) -> dict[str, float]:
    """How long each executed notebook of a run took, by papermill's clock."""
    found = {}
    for path in sorted((out / "notebooks").glob("*.ipynb")):
        if not path.name.endswith(".failed.ipynb"):
            metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]["papermill"]
            found[path.name.removesuffix(".ipynb")] = round(metadata["duration"], 1)
    return found


def seconds(out: Path) -> dict[str, list[float]]:
    """Seconds per condition of earlier executions, by notebook, for estimates."""
    return by_notebook(notebook_seconds(out))


def reference_seconds(recipe: str) -> dict[str, list[float]]:
    """The same from the committed reference run of a recipe, if there is one."""
    path = Path("outputs", "reference", recipe, "manifest.json")
    return by_notebook(json.loads(path.read_text())["seconds"]) if path.exists() else {}


def by_notebook(times: dict[str, float]) -> dict[str, list[float]]:
    """Seconds for each condition of a job, by the notebook that it executed."""
    grouped: dict[str, list[float]] = {}
    for job, time in times.items():
        grouped.setdefault(job.partition(".")[0], []).append(time / conditions_in(job))
    return grouped


def conditions_in(job: str) -> int:
    """How many conditions a job takes: 4 for `03_lora_training.correct+3.s0`."""
    found = re.search(r"\+(\d+)\.s\d+$", job)
    return 1 + int(found[1]) if found else 1

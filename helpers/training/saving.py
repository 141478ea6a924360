"""What a training saves: checkpoints to resume from, and the trained weights.

    outputs/laptop/checkpoints/correct.s0-5c1f.../checkpoint-200/   adapter, optimiser, generators, state
    outputs/laptop/adapters/correct.s0/{adapter_model.safetensors, adapter_config.json, README.md, ...}

Transformers writes a checkpoint file by file, and its own search takes the highest number, complete or not.
So each checkpoint gets a seal as its last file: the names and sizes of all others. A folder belongs to one
plan (data, model, settings), whose digest is in its name, so no training resumes from weights of another
plan.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCard, ModelCardData
from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback

from helpers.conditions import run_of
from helpers.files import digest, write_text

SEAL = "seal.json"


class Clock(TrainerCallback):
    """Seals each checkpoint with the seconds trained so far; `before` counts those of earlier runs."""

    def __init__(self, before: float = 0.0) -> None:
        self.before = before

    def on_train_begin(self, args, state, control, **kwargs):
        self.started = time.monotonic()

    def on_save(self, args, state, control, **kwargs):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes its own files
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.seconds())

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


def seal(folder: Path, seconds: float) -> None:
    """Write the names and sizes of a checkpoint's files next to them, once all of them are on the disk."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    found = {
        "seconds": round(seconds, 1),
        "files": {str(p.relative_to(folder)): p.stat().st_size for p in paths},
    }
    write_text(folder / SEAL, json.dumps(found, indent=1))


def fault(folder: Path) -> str:
    """What is wrong with a checkpoint, in words; "" for a complete one. Nothing in it is unpickled."""
    try:
        sealed = json.loads((folder / SEAL).read_text())["files"]
    except FileNotFoundError:
        return "it was not finished"
    except (ValueError, KeyError, TypeError):
        return f"{SEAL} cannot be read"
    for name, size in sealed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size:,} bytes of {size:,}"
        try:
            check(path)
        except (SafetensorError, zipfile.BadZipFile, ValueError, OSError) as error:
            return f"{name} cannot be read ({str(error).splitlines()[0]})"
    return ""


def check(path: Path) -> None:
    """Raise the error of its format's own reader for a damaged file; torch's archives have checksums."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as tensors:
            tensors.keys()
    elif path.suffix in (".pt", ".pth", ".bin"):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
    elif path.suffix == ".json":
        json.loads(path.read_text())


def last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint of a folder, or None. Broken ones are removed with a warning."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)
    for path in found:
        if not (reason := fault(path)):
            return path
        warnings.warn(f"{path} is not complete ({reason}): an earlier one is used", stacklevel=2)
        shutil.rmtree(path)
    return None


def seconds(checkpoint: Path | None) -> float:
    """How long training took up to a checkpoint; 0 without one."""
    return json.loads((checkpoint / SEAL).read_text())["seconds"] if checkpoint else 0.0


def folder_of(parent: Path, run: str, plan: Any) -> Path:
    """The folder for a run's checkpoints under one plan; those of the run's other plans are removed.

    `plan` is anything that JSON can write: everything that the trained weights depend on.
    """
    folder = parent / f"{run}-{digest(plan, 8)}"
    for other in parent.glob(f"{run}-*"):
        if other != folder and other.name[: -len(digest(0, 8))] == f"{run}-":
            shutil.rmtree(other, ignore_errors=True)
    return folder


PAPER = "2502.07374"
CARD = """# {name}

{what}, as one condition of a study of what language models learn from long chains of thought: the paper
[arXiv {paper}](https://arxiv.org/abs/{paper}) and its perturbations of the demonstrations. The weights are an
experiment's, not an assistant's: most conditions are spoiled on purpose.

| | |
|---|---|
{rows}

The loss is the mean over the response's tokens, in nats; it says how predictable this arm's text is, not how
good the answers are.
"""
ABOUT = {
    "recipe": "recipe",
    "condition": "condition",
    "seed": "seed",
    "base_model": "base model",
    "method": "method",
    "rank": "LoRA rank",
    "alpha": "LoRA alpha",
    "learning_rate": "learning rate",
    "epochs": "epochs",
    "batch_size": "traces a step",
    "max_length": "length limit (tokens)",
    "traces": "traces",
    "cut": "traces that the limit cut",
    "unlabelled": "traces of which it left no label",
    "data_sha256": "SHA-256 of the problems and responses",
    "trained_parameters": "trained parameters",
    "steps": "steps",
    "tokens": "tokens",
    "seconds": "seconds",
    "first_loss": "first loss",
    "last_loss": "last loss",
}


def card(record: dict[str, Any]) -> ModelCard:
    """The model card for a `training.json`; what the record does not say is left out."""
    loss = record.get("loss") or []
    ends = {"first_loss": loss[0]["loss"], "last_loss": loss[-1]["loss"]} if loss else {}
    record = record | {key: round(value, 4) for key, value in ends.items()}
    name = run_of(record.get("condition", "model"), record.get("seed", 0))
    what = "All weights fine-tuned" if record.get("method") == "full" else "A LoRA adapter"
    rows = [f"| {words} | {shown(record[key])} |" for key, words in ABOUT.items() if key in record]
    base = str(record.get("base_model", ""))
    data = ModelCardData(
        base_model=base if is_hub_id(base) else None,
        library_name="transformers" if record.get("method") == "full" else "peft",
        pipeline_tag="text-generation",
        tags=["reproduction", f"arxiv:{PAPER}"],
    )
    text = CARD.format(name=name, what=what, paper=PAPER, rows="\n".join(rows))
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def shown(value: Any) -> str:
    """A value as a table cell."""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value).replace("|", "\\|")


def is_hub_id(name: str) -> bool:
    """Whether a base model is a hub id rather than a local folder."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def finish(partial: Path, record: dict[str, Any], folder: Path) -> None:
    """Add the record and the card to trained weights and move them into place, complete or not at all."""
    (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle, and not needed
    (partial / "training.json").write_text(json.dumps(record, indent=1))
    card(record).save(partial / "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def is_kept(folder: str | Path, condition: str, plan: dict[str, Any]) -> bool:
    """Whether a folder holds weights that this plan made; prints a line that says so.

    Weights made under another plan, or by an earlier version that recorded none, are trained again.
    """
    path = Path(folder, "training.json")
    if not path.exists():
        return False
    try:
        old = json.loads(path.read_text()).get("plan") or {}
    except (ValueError, AttributeError):
        old = {}
    if digest(old) == digest(plan):
        print(f"{condition}: already trained, {folder}")
        return True
    other = ", ".join(name for name in plan | old if plan.get(name) != old.get(name))
    why = f"under another plan ({other})" if old else "by a version that recorded no plan"
    print(f"{condition}: {folder} was trained {why} and is trained again")
    return False


def push(folder: Path, repository: str) -> str:
    """Upload trained weights to a private repository on the hub, created if needed; returns its address.

    The token is that of `hf auth login`. Errors of the hub are raised as huggingface_hub raises them.
    """
    api = HfApi()
    name = api.create_repo(repository, private=True, exist_ok=True).repo_id
    record = json.loads((folder / "training.json").read_text())
    said = f"{record.get('condition', 'model')} of the recipe {record.get('recipe', 'by hand')}"
    return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message=said))

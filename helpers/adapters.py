"""Trained weights as a folder: safetensors, tokenizer, `training.json`, a model card; to the hub, if asked.

outputs/laptop/adapters/shuffle-67.s0/{adapter_model.safetensors, adapter_config.json, README.md, ...}
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, ModelCardData

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
    """The model card of a `training.json`; what the record does not say is left out."""
    loss = record.get("loss") or []
    ends = {"first_loss": loss[0]["loss"], "last_loss": loss[-1]["loss"]} if loss else {}
    record = record | {key: round(value, 4) for key, value in ends.items()}
    name = f"{record.get('condition', 'model')}.s{record.get('seed', 0)}"
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
    """A value in a table's cell."""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value).replace("|", "\\|")


def is_hub_id(name: str) -> bool:
    """Whether a base model is named by the hub, not by a folder here."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def finish(partial: Path, record: dict[str, Any], folder: Path) -> None:
    """Add record and card to trained weights and move them to their place, whole or not at all."""
    (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle: nothing here needs it
    (partial / "training.json").write_text(json.dumps(record, indent=1))
    card(record).save(partial / "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def push(folder: Path, repository: str) -> str:
    """Put trained weights into a private repository of the hub, made where it is not there; its address.

    The token is the one of `hf auth login`. What the hub refuses is raised as huggingface_hub raises it.
    """
    api = HfApi()
    name = api.create_repo(repository, private=True, exist_ok=True).repo_id
    record = json.loads((folder / "training.json").read_text())
    said = f"{record.get('condition', 'model')} of the recipe {record.get('recipe', 'by hand')}"
    return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message=said))

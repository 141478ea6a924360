"""MMLU, ARC-Challenge, IFEval and MGSM through lm-evaluation-harness, on the same adapters.

    evaluate("Qwen/Qwen2.5-7B-Instruct", "outputs/x/adapters/correct.s0", ["ARC-C"], limit=20)

The harness is the optional extra `harness`; nothing else in the package needs it.
Not covered: a full fine-tune is given as base model, without an adapter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.names import nearest
from helpers.vllm_engine import max_lora_rank

# The names of the paper's Table 3 and the harness's tasks. Its tag mgsm_direct has Spanish twice.
LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
TASKS = {
    "MMLU": ["mmlu"],
    "ARC-C": ["arc_challenge"],
    "IFEval": ["ifeval"],
    "MGSM": [f"mgsm_direct_{language}" for language in LANGUAGES],
}


def evaluate(
    base_model: str,
    adapter: str | None,
    names: list[str],
    engine: str = "hf",
    limit: int | None = None,
    batch_size: str | int = "auto",
    chat_template: bool = True,
) -> pd.DataFrame:
    """A row a task and metric: task, metric, filter, value, standard_error.

    `engine` is "hf" or "vllm"; `limit` takes that many problems of each task. ValueError for a name that is
    not in TASKS; RuntimeError where the harness is not installed.
    """
    tasks = tasks_of(names)
    try:
        import torch
        from lm_eval import simple_evaluate
    except ImportError as error:
        raise RuntimeError("lm-evaluation-harness is not installed: pip install -e '.[harness]'") from error
    found = simple_evaluate(
        model=engine,
        model_args=model_arguments(base_model, adapter, engine),
        tasks=tasks,
        limit=limit,
        batch_size=batch_size,
        device="cuda" if torch.cuda.is_available() else "cpu",
        apply_chat_template=chat_template,
        random_seed=0,
        numpy_random_seed=0,
        torch_random_seed=0,
        fewshot_random_seed=0,
    )
    return table(found["results"])


def tasks_of(names: list[str]) -> list[str]:
    """The harness's tasks for the paper's names."""
    for name in names:
        if name not in TASKS:
            raise ValueError(f"no task {name!r}{nearest(name, TASKS)}")
    return [task for name in names for task in TASKS[name]]


def model_arguments(base_model: str, adapter: str | None, engine: str) -> dict[str, Any]:
    """What the harness needs to know of a model; ValueError for an adapter that is not there."""
    if engine not in ("hf", "vllm"):
        raise ValueError(f"no engine {engine!r}{nearest(engine, ['hf', 'vllm'])}")
    arguments: dict[str, Any] = {"pretrained": base_model, "dtype": "auto", "trust_remote_code": False}
    if adapter is None:
        return arguments
    path = Path(adapter) / "adapter_config.json"
    if not path.exists():
        raise ValueError(f"{adapter} holds no LoRA adapter: give a full fine-tune as base_model")
    if engine == "hf":
        return arguments | {"peft": str(adapter)}
    rank = max_lora_rank([json.loads(path.read_text())["r"]])
    return arguments | {"lora_local_path": str(adapter), "max_lora_rank": rank}


def table(results: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The harness's results, one row a task and metric ("acc,none" is metric acc, filter none)."""
    rows = []
    for task, metrics in results.items():
        for key, value in metrics.items():
            metric, comma, filter_name = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            error = metrics.get(f"{metric}_stderr,{filter_name}")
            error = error if isinstance(error, float) else None
            rows.append((task, metric, filter_name, value, error))
    return pd.DataFrame(rows, columns=["task", "metric", "filter", "value", "standard_error"])

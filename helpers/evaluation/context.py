"""How many tokens a model has room for, prompt and response together, from its configuration alone.

    positions(config_of("Qwen/Qwen2.5-32B-Instruct"))         # 32768
    rooms([1000, 40000], max_new_tokens=32768, limit=32768)   # [31768, 0]

Not covered: sliding windows, which forget but do not end a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.training.shapes import config_of

NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
PARTS = ("text_config", "llm_config", "language_config")  # in the configuration of a multimodal model
ALREADY_SCALED = ("default", "llama3", "longrope", "su", "mrope")  # positions include the scaling


def positions(config: dict[str, Any]) -> int | None:
    """The number of positions a model has, extended by its RoPE scaling; None for no limit.

    This is vLLM 0.32's rule for the largest `max_model_len`: plain YaRN multiplies the original positions,
    linear and dynamic scaling multiply those in the configuration, and the other kinds already include the
    scaling.
    """
    config = next((config[part] for part in PARTS if config.get(part)), config)
    limits = [config[name] for name in NAMES if isinstance(config.get(name), int)]
    if not limits:
        return None
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind in ALREADY_SCALED or (kind != "yarn" and "yarn" in kind):
        return min(limits)
    start = rope.get("original_max_position_embeddings") if kind == "yarn" else None
    return int((start or min(limits)) * (rope.get("factor") or 1))


def rooms(lengths: Sequence[int], max_new_tokens: int, limit: int | None) -> list[int]:
    """For each prompt, the tokens its response may have: `max_new_tokens`, or what the positions leave."""
    return [
        max_new_tokens if limit is None else max(0, min(max_new_tokens, limit - length)) for length in lengths
    ]


def capped(found: Sequence[int], asked: Sequence[int], limit: int | None) -> str:
    """A line saying how many responses are shortened by the positions; "" if none is."""
    short = [room for room, wish in zip(found, asked, strict=True) if room < wish]
    if not short:
        return ""
    nothing = f", and {short.count(0)} prompts are too long to be answered" if 0 in short else ""
    return (
        f"{len(short)} of {len(found)} responses are capped at {min(short):,} to {max(short):,} tokens "
        f"instead of {max(asked):,}: the model has {limit:,} positions for prompt and response{nothing}"
    )


def warnings(base_models: Sequence[str], max_new_tokens: int, folder: str | Path) -> list[str]:
    """A line for each base model (a hub id, or a path relative to `folder`) that is sure to cap responses.

    Models whose configuration cannot be read are skipped: loading them will report that.
    """
    found = []
    for name in dict.fromkeys(base_models):
        try:
            limit = positions(config_of(Path(folder, name) if Path(folder, name).is_dir() else name))
        except (OSError, ValueError):
            continue
        if limit is not None and max_new_tokens >= limit:
            found.append(
                f"{name} has {limit:,} positions: of max_new_tokens: {max_new_tokens} "
                f"a response gets what its prompt leaves"
            )
    return found

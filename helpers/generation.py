"""Responses from a model: problems in, responses out, with token counts and finish reason.

generate(model, tokenizer, ["Use 5, 19 and 20 to make 11."], max_new_tokens=400)
-> [Response(text="<think>...", tokens=57, finished=True)]
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

COMPACT_EVERY = 8


@dataclass(frozen=True)
class Response:
    """A response, its length in tokens (end token not counted), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


def prompt_text(tokenizer: PreTrainedTokenizerBase, problem: str, system: str | None = None) -> str:
    """The problem in the model's chat template, ready for the assistant's turn."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": problem})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: list[str],
    max_new_tokens: int,
    batch_size: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Response]:
    """Responses in the order of the problems; greedy at temperature 0.

    Prompts are sorted by length, so a batch needs little left padding, and rows that have finished
    leave their batch. Lengths are in tokens.
    """
    prompts = [tokenizer(prompt_text(tokenizer, p), add_special_tokens=False)["input_ids"] for p in problems]
    order = sorted(range(len(problems)), key=lambda i: len(prompts[i]))
    model.eval()
    torch.manual_seed(seed)
    responses: dict[int, Response] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        made = decode(model, tokenizer, [prompts[i] for i in rows], max_new_tokens, temperature)
        for i, ids in zip(rows, made, strict=True):
            finished = bool(ids) and ids[-1] == tokenizer.eos_token_id
            text = tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=False)
            responses[i] = Response(text, len(ids) - finished, finished)
    return [responses[i] for i in range(len(problems))]


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
) -> list[list[int]]:
    """The tokens that follow each prompt, the end token included where it came."""
    width, eos = max(map(len, prompts)), tokenizer.eos_token_id
    padded = [[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts]
    ids = torch.tensor(padded, device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    made: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts))
    positions, cache = mask.cumsum(-1).sub(1).clamp(min=0), None
    for step in range(max_new_tokens):
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, logits = out.past_key_values, out.logits[:, -1]
        ids = choose(logits, temperature)
        for row, token in zip(rows.tolist(), ids[:, 0].tolist(), strict=True):
            if not made[row] or made[row][-1] != eos:
                made[row].append(token)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        if step % COMPACT_EVERY == COMPACT_EVERY - 1:
            keep = torch.tensor([k for k, row in enumerate(rows.tolist()) if made[row][-1] != eos])
            if len(keep) == 0:
                break
            if len(keep) < len(rows):
                rows, ids, mask, positions = rows[keep], ids[keep], mask[keep], positions[keep]
                cache.batch_select_indices(keep.to(model.device))
    return made


def choose(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """The next token of each row (rows x vocabulary -> rows x 1)."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial(torch.softmax(logits.float() / temperature, -1), 1)


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    benchmark: str,
    problems: pa.Table,
    max_new_tokens: int,
    batch_size: int,
) -> pa.Table:
    """One greedy response to each problem of a benchmark, beside the problem's own columns."""
    responses = generate(model, tokenizer, problems["problem"].to_pylist(), max_new_tokens, batch_size)
    rows = [
        {"benchmark": benchmark, "problem_id": row["id"], "problem": row["problem"], "answer": row["answer"]}
        | {"response": r.text, "tokens": r.tokens, "finished": r.finished}
        for row, r in zip(problems.to_pylist(), responses, strict=True)
    ]
    return pa.Table.from_pylist(rows)

"""The transformers engine: problems in, responses with token counts and finish reason out.

    generate(model, tokenizer, ["Use 5, 19 and 20 to make 11."], max_new_tokens=400)
    -> [Response(text="<think>...", tokens=57, finished=True)]

`stream` yields each response as soon as it is finished. `respond` is the engine for journal.py;
vllm_engine.py has the other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from helpers.evaluation.context import capped, positions, rooms
from helpers.evaluation.journal import Request, Response
from helpers.training import models
from helpers.training.models import prompt_text

COMPACT_EVERY = 8
ROOM = 64  # tokens of spare cache


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: list[str],
    max_new_tokens: int,
    batch_size: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Response]:
    """Responses in the order of the problems; greedy at temperature 0. Lengths are in tokens."""
    texts = [prompt_text(tokenizer, p) for p in problems]
    seeds = [seed + i for i in range(len(texts))]
    found = dict(stream(model, tokenizer, texts, max_new_tokens, batch_size, 0, temperature, seeds))
    return [found[i] for i in range(len(problems))]


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_new_tokens: int,
    batch_size: int = 128,
    batch_tokens: int = 0,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
) -> Iterator[tuple[int, Response]]:
    """Yield the number of each prompt (already in the chat template) with its response, as they finish.

    Prompts are sorted by length, so a batch needs little left padding, and finished rows leave their batch. A
    batch has `batch_size` rows, or fewer if they could grow beyond `batch_tokens` (0: no such limit). At a
    temperature above 0 each response is drawn with its own seed, independent of its batch. A response gets no
    more tokens than the model has positions left.
    """
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    model.eval()
    group_attention(model)
    lengths, limit = [len(p) for p in prompts], positions(model.config.to_dict())
    limits = rooms(lengths, max_new_tokens, limit)
    if line := capped(limits, [max_new_tokens] * len(limits), limit):
        print(line)
    ends = models.end_tokens(tokenizer, model.generation_config)
    for rows in batches(lengths, batch_size, batch_tokens, max_new_tokens):
        draws = None if temperature == 0 else [np.random.default_rng(seeds[i]) for i in rows]
        some = [prompts[i] for i in rows], [limits[i] for i in rows]
        for k, ids in decode(model, tokenizer, *some, temperature, draws):
            yield rows[k], response_of(ids, tokenizer, ends)


def response_of(ids: list[int], tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Response:
    """The response that a model's tokens are, without the end token if there is one."""
    finished = bool(ids) and ids[-1] in ends
    text = tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=False)
    return Response(text, len(ids) - finished, finished)


def batches(
    lengths: Sequence[int], batch_size: int, batch_tokens: int, max_new_tokens: int
) -> Iterator[list[int]]:
    """Prompt numbers, shortest prompt first, in batches within both limits, at least one row each."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batch: list[int] = []
    for i in order:
        grown = (len(batch) + 1) * (lengths[i] + max_new_tokens)
        if batch and (len(batch) == batch_size or (batch_tokens and grown > batch_tokens)):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    max_new_tokens: int | list[int],
    temperature: float = 0.0,
    draws: list[np.random.Generator] | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """Yield each prompt's number with the tokens that follow it, end token included, soon after they end.

    `max_new_tokens` is one limit for all prompts, or one for each. Every `COMPACT_EVERY` tokens finished rows
    leave the batch, with their part of the cache.
    """
    width, ends = max(map(len, prompts)), models.end_tokens(tokenizer, model.generation_config)
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else max_new_tokens
    padded = [
        [tokenizer.pad_token_id or 0] * (width - len(p)) + p for p in prompts
    ]  # masked: any token will do
    ids = torch.tensor(padded, device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    made: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts))
    places, cache = mask.cumsum(-1).sub(1).clamp(min=0), cache_of(model)

    def is_done(row: int) -> bool:
        return len(made[row]) >= limits[row] or bool(made[row]) and made[row][-1] in ends

    for step in range(max(limits)):
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1]
        ids = choose(logits, temperature, None if draws is None else [draws[row] for row in rows.tolist()])
        for row, token in zip(rows.tolist(), ids[:, 0].tolist(), strict=True):
            if not is_done(row):
                made[row].append(token)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        places = places[:, -1:] + 1
        if step % COMPACT_EVERY == COMPACT_EVERY - 1:
            keep = torch.tensor([k for k, row in enumerate(rows.tolist()) if not is_done(row)])
            if len(keep) < len(rows):
                yield from ((row, made[row]) for row in rows.tolist() if is_done(row))
                if len(keep) == 0:
                    return
                rows, ids, mask, places = rows[keep], ids[keep], mask[keep], places[keep]
                cache.batch_select_indices(keep.to(model.device))
    yield from ((row, made[row]) for row in rows.tolist())


class RoomyLayer(DynamicLayer):
    """A cache layer with spare room for the next tokens; DynamicLayer copies everything at every token."""

    room: list[torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, new = self.get_seq_length(), (key_states, value_states)
        end = start + key_states.shape[-2]
        if self.room is None or end > self.room[0].shape[-2]:
            self.room = [x.new_empty(*x.shape[:2], end + ROOM, x.shape[-1]) for x in new]
            if start:
                for place, x in zip(self.room, (self.keys, self.values), strict=True):
                    place[:, :, :start] = x
        for place, x in zip(self.room, new, strict=True):
            place[:, :, start:end] = x
        self.keys, self.values = (place[:, :, :end] for place in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        end = self.get_seq_length()
        self.room = [place[indices] for place in self.room or ()]
        self.keys, self.values = (place[:, :, :end] for place in self.room)


def cache_of(model: PreTrainedModel) -> DynamicCache:
    """An empty cache for a model, with spare room in the layers that keep every token."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """SDPA with native grouped-query attention, instead of copying keys to every query head.

    With a mask, transformers copies the keys once per query head, which on a CPU takes longer than attention.
    """
    causal = attention_mask is None and query.shape[2] > 1
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, is_causal=causal, enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None


def group_attention(model: PreTrainedModel) -> None:
    """Have a model on a CPU use `grouped_attention` in place of its SDPA."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("grouped")


AttentionInterface.register("grouped", grouped_attention)
AttentionMaskInterface.register("grouped", sdpa_mask)


def choose(
    logits: torch.Tensor, temperature: float, draws: list[np.random.Generator] | None = None
) -> torch.Tensor:
    """The next token of each row (rows x vocabulary -> rows x 1), drawn with the row's own generator."""
    if temperature == 0 or draws is None:
        return logits.argmax(-1, keepdim=True)
    shares = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    at = torch.tensor([[draw.random()] for draw in draws], dtype=shares.dtype, device=shares.device)
    return torch.searchsorted(shares, at * shares[:, -1:], right=True).clamp(max=shares.shape[-1] - 1)


def respond(
    requests: Sequence[Request],
    base_model: str,
    adapters: str | Path,
    batch_size: int = 128,
    batch_tokens: int = 0,
) -> Iterator[tuple[int, Response]]:
    """The transformers engine: each request's number and response, as they finish.

    Consecutive requests with the same condition, seed, benchmark and limits share batches. One model is
    loaded at a time, with its LoRA adapter merged into it.
    """
    alike = attrgetter("condition", "seed", "benchmark", "max_new_tokens", "temperature")
    loaded: tuple[Any, ...] = ()
    for (condition, seed, _, limit, heat), group in groupby(enumerate(requests), lambda pair: alike(pair[1])):
        if loaded[:2] != (condition, seed):
            loaded = ()  # frees the previous model before the next is loaded
            loaded = (condition, seed, *models.load_condition(base_model, Path(adapters), condition, seed))
        model, tokenizer = loaded[2:]
        part = list(group)
        texts = [prompt_text(tokenizer, r.prompt, r.system, r.shots) + r.opening for _, r in part]
        seeds = [r.sample_seed for _, r in part]
        for k, response in stream(model, tokenizer, texts, limit, batch_size, batch_tokens, heat, seeds):
            yield part[k][0], response

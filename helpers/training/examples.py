"""Examples: an arm's texts as tokens and labels, and the order in which training sees them."""

from __future__ import annotations

import random
import re
from typing import Any

from datasets import Dataset
from transformers import BatchEncoding, PreTrainedTokenizerBase

from helpers.files import digest
from helpers.training.models import end_token, prompt_text


def encode(
    tokenizer: PreTrainedTokenizerBase, problems: list[str], responses: list[str], max_length: int
) -> tuple[Dataset, int]:
    """Examples with `input_ids` and `labels`, and the number of them that the length limit cut.

    Labels are -100 in the prompt. A cut example loses its end, where the answer is, so watch that number. An
    example whose prompt alone reaches the limit has no labels and is left out; ValueError if all of them do.
    """
    prompts = tokenizer([prompt_text(tokenizer, p) for p in problems], add_special_tokens=False)["input_ids"]
    completions = completion(tokenizer, responses)["input_ids"]
    rows, cut = [], 0
    for prompt, ids in zip(prompts, completions, strict=True):
        cut += len(prompt) + len(ids) > max_length
        labels = [-100] * len(prompt) + ids
        if len(prompt) < max_length:
            rows.append({"input_ids": (prompt + ids)[:max_length], "labels": labels[:max_length]})
    if prompts and not rows:
        lengths = sorted(map(len, prompts))
        raise ValueError(
            f"no trace has a token to learn from: the prompts of all {len(prompts)} have {lengths[0]:,} to "
            f"{lengths[-1]:,} tokens and max_length is {max_length:,}: raise it"
        )
    return Dataset.from_list(rows), cut


def completion(tokenizer: PreTrainedTokenizerBase, responses: list[str], **options: Any) -> BatchEncoding:
    """The tokens of responses, each followed by one end token.

    Control tokens that occur in a response (`<|im_end|>` in the middle of a text) are encoded as plain text,
    so labels decode to the arm's text and only the end token ends it. Tags that a tokenizer has as ordinary
    tokens, such as Qwen3's `<think>`, stay tokens.
    """
    end = end_token(tokenizer)  # once: it fills the chat template
    texts = [unended(tokenizer, response, end) for response in responses]
    coded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, **options)
    for ids in coded["input_ids"]:
        ids.append(tokenizer.convert_tokens_to_ids(end))
    return coded


def unended(tokenizer: PreTrainedTokenizerBase, response: str, end: str = "") -> str:
    """A response without end tokens of its own at its end; `end` is `end_token`'s if already known."""
    ends = "|".join({re.escape(tokenizer.eos_token), re.escape(end or end_token(tokenizer))})
    return re.sub(rf"(?:(?:{ends})\s*)+\Z", "", response)


def controls(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    """How many texts contain the name of a control token, such as `<|im_end|>`."""
    names = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sum(any(name in text for name in names) for text in texts)


def altered(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    """How many texts the tokenizer's normaliser changes (Qwen's composes accents: NFC)."""
    normaliser = tokenizer.backend_tokenizer.normalizer
    return sum(normaliser.normalize_str(text) != text for text in texts) if normaliser else 0


def bucketed(lengths: list[int], batch_size: int, epochs: int, seed: int) -> list[int]:
    """The order of examples: batches of similar length, in random order.

    This needs little padding and, unlike a sampler that sorts long stretches, does not drift from long to
    short examples within an epoch. Every example occurs once per epoch. Lengths are jittered by up to 20%, so
    batches differ between epochs. Incomplete batches come last.
    """
    rng, batches = random.Random(f"order:{seed}"), []
    for _ in range(epochs):
        order = sorted(range(len(lengths)), key=lambda i: lengths[i] * rng.uniform(0.8, 1.2))
        cut = [order[k : k + batch_size] for k in range(0, len(order), batch_size)]
        rng.shuffle(cut)
        batches += cut
    return [i for batch in sorted(batches, key=len, reverse=True) for i in batch]


def data_hash(problems: list[str], responses: list[str]) -> str:
    """SHA-256 of the texts that are trained on, whatever file they are in."""
    return digest([problems, responses], 32)


def first(values: list, n: int) -> list:
    """The first n values, or all for 0; ValueError where there are fewer."""
    if n > len(values):
        raise ValueError(
            f"{n} traces are asked for and the arm has {len(values)}: raise n_traces in notebook 01"
        )
    return values[:n] if n else values

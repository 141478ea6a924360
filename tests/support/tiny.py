"""Tiny models in the hub's format, for tests: real tokenizers, random weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from helpers.training import saving

# Qwen2.5's, as its tokenizer.json has it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Qwen2.5's chat template without its branches for tools.
TEMPLATE = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant") %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""  # noqa: E501
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def qwen_tokenizer(texts: Iterable[str], words: int = 600) -> PreTrainedTokenizerFast:
    """A byte-level BPE with Qwen2.5's normaliser, splitting, special tokens and chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=words, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


def qwen(folder: Path, texts: Iterable[str], layers: int = 2, width: int = 64) -> Path:
    """A random Qwen2 model with such a tokenizer, saved as the hub has models."""
    tokenizer = qwen_tokenizer(texts)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=4096,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, record: dict, folder: Path) -> None:
    """A trained model in its condition's folder, as `training.train` leaves it."""
    partial = folder.with_name(f".{folder.name}.partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    saving.finish(partial, record, folder)


SIZES = {
    "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"


@dataclass(frozen=True)
class Family:
    """An architecture's own configuration, and what its tokenizer and chat template look like.

    `special` starts with the token that ends a text. Without a template it is a base model; without `pad`
    its tokenizer has no padding token.
    """

    special: tuple[str, ...]
    template: str | None
    config: dict[str, object] = field(default_factory=dict)
    bos: str | None = None
    pad: str | None = None
    ends: tuple[str, ...] = ()


FAMILIES = {
    "qwen2": Family(("<|im_end|>", "<|im_start|>", "<|endoftext|>"), TEMPLATE, pad="<|endoftext|>"),
    "qwen3": Family(
        ("<|im_end|>", "<|im_start|>", "<|endoftext|>"), CHATML, {"head_dim": 32}, pad="<|endoftext|>",
        ends=("<|im_end|>", "<|endoftext|>"),
    ),
    "llama": Family(
        ("<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
        " + m['content'] + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        {"tie_word_embeddings": False}, bos="<|begin_of_text|>", ends=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "gemma3_text": Family(
        ("<eos>", "<bos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        "{{ bos_token }}" + NO_SYSTEM + "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role']"
        " == 'assistant' else m['role']) + '\n' + m['content'] + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        {"head_dim": 32, "sliding_window": 16, "num_hidden_layers": 6, "query_pre_attn_scalar": 32},
        bos="<bos>", pad="<pad>", ends=("<eos>", "<end_of_turn>"),
    ),
    "mistral": Family(
        ("</s>", "<s>", "[INST]", "[/INST]"),
        "{{ bos_token }}" + NO_SYSTEM + "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' +"
        " m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}",
        {"sliding_window": 16, "tie_word_embeddings": False}, bos="<s>",
    ),
    "phi3": Family(
        ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        {"tie_word_embeddings": False}, pad="<|endoftext|>", ends=("<|endoftext|>", "<|end|>"),
    ),
    "olmo2": Family(("<|endoftext|>", "<|pad|>"), None, {"tie_word_embeddings": False}, pad="<|pad|>"),
    "smollm3": Family(
        ("<|im_end|>", "<|im_start|>", "<|end_of_text|>"), CHATML, {"no_rope_layer_interval": 2},
        ends=("<|im_end|>", "<|end_of_text|>"),
    ),
}  # fmt: skip


def model_of(kind: str, folder: Path, texts: Iterable[str]) -> Path:
    """A random model of an architecture, its tokenizer and chat template in its manner, as on the hub."""
    family = FAMILIES[kind]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), list(family.special)
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=family.bos, eos_token=special[0], pad_token=family.pad,
        chat_template=family.template,
    )  # fmt: skip
    torch.manual_seed(0)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(kind, **SIZES | {"vocab_size": len(tokenizer)} | family.config | ids)
    model = AutoModelForCausalLM.from_config(config)
    if family.ends:
        model.generation_config.eos_token_id = [tokenizer.convert_tokens_to_ids(end) for end in family.ends]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

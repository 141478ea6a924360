"""Models: loading them from a folder or the hub, fine-tuned ones too, with tokenizer and chat template.

model, tokenizer = load("base_model")
model, tokenizer = load_condition("base_model", Path("outputs/laptop/adapters"), "shuffle-67", seed=0)
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from helpers.conditions import parse, run_of
from helpers.data.traces import END_THINK, SKY, THINK

# A thought that a chat template opens, or opens and closes, at the end of the prompt.
OPENED = re.compile(rf"(?:{re.escape(THINK)}|{re.escape(SKY[0])})\s*(?:{re.escape(END_THINK)}\s*)?\Z")


def load(path: str | Path, method: str = "lora") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer from a folder or the hub; in NF4 for QLoRA.

    Precision: on a GPU bf16 from compute capability 8.0 on and fp16 below (a T4 claims to have bf16 and is
    very slow at it); fp32 for full fine-tuning, where small updates would be lost, and on a CPU. Only
    safetensors are read, and no code from a repository is run.
    """
    if torch.cuda.is_available() and method != "full":
        dtype = torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    else:
        dtype = torch.float32
    quantization = None
    if method == "qlora":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    model = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=dtype,
        quantization_config=quantization,
        device_map=devices(method),
        use_safetensors=True,
        trust_remote_code=False,
    )
    return model, tokenizer_of(path)


def devices(method: str) -> str | dict[str, int] | None:
    """Where the weights go: spread over the visible GPUs, or on the process's own one in a distributed run.

    In a distributed run the trainer places and shards them itself, except that a quantised model has to be on
    its GPU beforehand.
    """
    if not torch.cuda.is_available():
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return "auto"
    return {"": int(os.environ["LOCAL_RANK"])} if method == "qlora" else None


def tokenizer_of(path: str | Path) -> PreTrainedTokenizerBase:
    """A model's tokenizer exactly as saved; without a padding token it pads with its end token.

    AutoTokenizer would replace the splitting rules of a Qwen2 model's tokenizer.json by Qwen's own.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    if tokenizer.pad_token is None:  # any token will do: padding is masked and has no label
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def generation_settings(path: str | Path) -> GenerationConfig:
    """A model's generation settings, or those implied by its configuration."""
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(path, trust_remote_code=False))


def end_tokens(tokenizer: PreTrainedTokenizerBase, settings: GenerationConfig) -> set[int]:
    """All tokens that end a response: the tokenizer's own, and those in the generation settings."""
    own = settings.eos_token_id
    return {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}


def load_condition(
    base: str | Path, adapters: Path, condition: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model, or a condition's fine-tuned model with its LoRA adapter merged.

    ValueError where the condition has not been trained.
    """
    if parse(condition).is_base:
        return load(base)
    folder = adapters / run_of(condition, seed)
    if (folder / "adapter_config.json").exists():
        model, tokenizer = load(base)
        return PeftModel.from_pretrained(model, folder).merge_and_unload(), tokenizer
    if (folder / "config.json").exists():
        return load(folder)
    raise ValueError(f"{folder} holds no trained model: run 03_lora_training for {condition!r} first")


def prompt_text(tokenizer: PreTrainedTokenizerBase, problem: str, system: str | None = None) -> str:
    """The problem in the model's chat template, ready for the assistant's turn.

    If the template opens a thought itself (`<think>`, as for R1's distilled models), that tag is left out:
    the arms' responses open their own or have none on purpose, and their text is exactly what is trained on.
    """
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": problem})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return OPENED.sub("", text)

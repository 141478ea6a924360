"""Models: loading them from a folder or the hub, fine-tuned ones too, with tokenizer and chat template.

model, tokenizer = load("base_model")
model, tokenizer = load_condition("base_model", Path("outputs/laptop/adapters"), "shuffle-67", seed=0)

    python -m helpers.training.models FILE.gguf FOLDER     # a model from a GGUF file, in the hub's format
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from jinja2 import TemplateError
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from helpers.conditions import parse, run_of
from helpers.data.traces import END_THINK, SKY, THINK
from helpers.training.shapes import check

# A thought that a chat template opens, or opens and closes, at the end of the prompt.
OPENED = re.compile(rf"(?:{re.escape(THINK)}|{re.escape(SKY[0])})\s*(?:{re.escape(END_THINK)}\s*)?\Z")

# What a template that names the date is told (Llama 3.2, SmolLM3), or prompts would change from day to day.
TODAY = datetime(2025, 2, 11)
# For a base model without a chat template: what is said, with an empty line after each turn.
PLAIN = "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"


def load(path: str | Path, method: str = "lora") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer from a folder or the hub; in NF4 for QLoRA.

    Precision: on a GPU bf16 from compute capability 8.0 on and fp16 below (a T4 claims to have bf16 and is
    very slow at it); fp32 for full fine-tuning, where small updates would be lost, and on a CPU. Only
    safetensors are read, and no code from a repository is run. ValueError for what is no causal language
    model of an architecture that Transformers knows.
    """
    check(path)
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
    """A model's tokenizer exactly as saved; one without a padding token pads with its end token.

    A base model without a chat template gets `PLAIN`, after the token that its tokenizer starts texts with,
    if any. AutoTokenizer, which would replace the splitting rules of a Qwen2 model's tokenizer.json by Qwen's
    own, is used only where there is no such file. ValueError for a tokenizer without an end token.
    """
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    except (OSError, ValueError, TypeError):  # an older model: a vocabulary to be converted
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if tokenizer.eos_token is None:
        raise ValueError(f"{path}: the tokenizer names no eos_token, so no response would end: set one in it")
    if tokenizer.pad_token is None:  # any token will do: padding is masked and has no label
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        starts = tokenizer.bos_token is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
        tokenizer.chat_template = ("{{ bos_token }}" if starts else "") + PLAIN
    return tokenizer


def end_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that ends a response: what the chat template puts after one, else the tokenizer's own.

    They differ in some models: Gemma's turns end with `<end_of_turn>`, its texts with `<eos>`.
    """
    turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a_a"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    after = tokenizer(text.rpartition("a_a")[2].lstrip(), add_special_tokens=False)["input_ids"]
    known = tokenizer.added_tokens_decoder
    return known[after[0]].content if after and after[0] in known else tokenizer.eos_token


def generation_settings(path: str | Path) -> GenerationConfig:
    """A model's generation settings, or those implied by its configuration."""
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(path, trust_remote_code=False))


def end_tokens(tokenizer: PreTrainedTokenizerBase, settings: GenerationConfig) -> set[int]:
    """All tokens that end a response: the tokenizer's own, its chat template's, the generation settings'."""
    own, turn = settings.eos_token_id, tokenizer.convert_tokens_to_ids(end_token(tokenizer))
    return {tokenizer.eos_token_id, turn, *(own if isinstance(own, list) else [own])} - {None}


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


def prompt_text(
    tokenizer: PreTrainedTokenizerBase,
    problem: str,
    system: str | None = None,
    shots: Sequence[tuple[str, str]] = (),
) -> str:
    """The problem in the model's chat template, ready for the assistant's turn.

    `shots` are problems and responses that come before it, as turns of their own.

    If the template opens a thought itself (`<think>`, as for R1's distilled models), that tag is left out:
    the arms' responses open their own or have none on purpose, and their text is exactly what is trained on.
    A template without a system turn, such as Gemma 2's, gets the system prompt in front of the problem.
    """

    def filled(*messages: dict[str, str]) -> str:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, strftime_now=TODAY.strftime
        )

    said = [text for shot in (*shots, (problem, "")) for text in shot][:-1]
    roles = itertools.cycle(["user", "assistant"])
    text, turns = "", [{"role": role, "content": words} for role, words in zip(roles, said, strict=False)]
    if system:
        with contextlib.suppress(TemplateError):
            text = filled({"role": "system", "content": system}, *turns)
        if system not in text:
            text = filled(turns[0] | {"content": f"{system}\n\n{said[0]}"}, *turns[1:])
    return OPENED.sub("", text or filled(*turns))


def unpack(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to a folder in the hub's format, in fp32.

    Weights that the file has quantised stay as coarse as they are there. The package `gguf` is needed.
    """
    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    settings = model.config.to_dict()
    settings.pop("quantization_config", None)  # Transformers would not save a model that has one
    fresh = AutoModelForCausalLM.from_config(type(model.config).from_dict(settings))
    fresh.load_state_dict(model.state_dict())
    fresh.generation_config = model.generation_config
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))

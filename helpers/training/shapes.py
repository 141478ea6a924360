"""What a model of any architecture consists of, without loading it.

    shape = shape_of("Qwen/Qwen2.5-7B-Instruct")
    shape.parameters, 64 * shape.adapter       # 7615616512, 161480704: the model's, and LoRA's of rank 64
    kept(shape, "lora", "bf16", rank=64)       # bytes per token that a layer keeps for its backward pass

The model is built without memory, on torch's meta device: Transformers says what its parameters are, peft
what LoRA adds, and a forward pass on fake tensors what autograd would keep. Not covered: mixtures of
experts, whose activations depend on the routing.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

KNOWN = Path(__file__).with_name("shapes.json")


@dataclass(frozen=True, eq=False)
class Shape:
    """What the count takes from a model: numbers of parameters, and sizes of its hidden states and words.

    `matrices` are those of the decoder layers, `adapter` is a LoRA adapter's number of parameters per rank.
    """

    config: PreTrainedConfig
    layers: int
    hidden: int
    widest: int
    vocabulary: int
    matrices: int
    embeddings: int
    rest: int
    adapter: int

    @property
    def parameters(self) -> int:
        return self.matrices + self.embeddings + self.rest


def config_of(base_model: str | Path) -> dict[str, Any]:
    """A model's configuration: from its folder, the committed table, or config.json on the hub."""
    local, known = Path(base_model) / "config.json", json.loads(KNOWN.read_text())
    if local.is_file():
        return json.loads(local.read_text())
    if local.parent.is_dir():
        raise ValueError(f"{base_model} has no config.json: it holds no model in the hub's format")
    if str(base_model) in known:
        return known[str(base_model)]
    from huggingface_hub import hf_hub_download

    return json.loads(Path(hf_hub_download(str(base_model), "config.json")).read_text())


def check(base_model: str | Path) -> PreTrainedConfig:
    """A model's configuration; ValueError, in one line, unless Transformers has it as a causal model."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    found = config_of(base_model)
    kind, classes = found.get("model_type", ""), found.get("architectures") or []
    if kind not in CONFIG_MAPPING:
        raise ValueError(
            f"{base_model}: transformers {transformers.__version__} does not know the architecture {kind!r}: "
            "a newer version may; code that comes with a model is never run"
        )
    named = {name for names in CAUSAL.values() for name in ([names] if isinstance(names, str) else names)}
    if kind not in CAUSAL or classes and not named & set(classes):
        raise ValueError(
            f"{base_model} is no causal language model ({', '.join(classes) or kind}): only a model that "
            "continues a text from left to right can be trained on traces"
        )
    return CONFIG_MAPPING[kind].from_dict(found)


@lru_cache(maxsize=16)
def shape_of(base_model: str) -> Shape | None:
    """A model's shape; None, with a line that says why, where its memory cannot be estimated.

    ValueError for what cannot be trained here at all (see `check`).
    """
    config = check(base_model)
    try:
        shape = counted(config)
        kept(shape, "lora", "fp32")
    except Exception as error:  # of an architecture that nobody has tried: training it may work all the same
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        print(f"{base_model}: memory is not estimated ({config.model_type}: {reason})")
        return None
    return shape


def empty(
    config: PreTrainedConfig, method: str = "full", rank: int = 1, layers: int | None = None
) -> PreTrainedModel:
    """A model without memory, on the meta device: all of it or its first layers, with LoRA unless "full"."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with no_init_weights(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.tie_weights()
        if layers is not None:
            lists = [m for m in model.get_decoder().modules() if isinstance(m, torch.nn.ModuleList)]
            del max(lists, key=len)[layers:]
        if method == "full":
            return model
        return get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))


def counted(config: PreTrainedConfig) -> Shape:
    """Count a model's parameters on the meta device; ValueError for a mixture of experts."""
    model, text = empty(config), config.get_text_config()
    decoder, tables = model.get_decoder(), {}
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        tables |= {id(parameter): parameter.numel() for parameter in table.parameters()}  # tied: once
    sizes = [(tuple(p.shape), p.numel()) for p in decoder.parameters() if id(p) not in tables]
    if any(len(shape) > 2 for shape, _ in sizes):
        raise ValueError("a mixture of experts, whose activations depend on the routing")
    matrices = sum(number for shape, number in sizes if len(shape) == 2)
    embeddings, every = sum(tables.values()), sum(p.numel() for p in model.parameters())
    adapter = empty(config, "lora").get_nb_trainable_parameters()[0]
    widest = max(max(shape) for shape, _ in sizes if len(shape) == 2)
    return Shape(
        config, text.num_hidden_layers, text.hidden_size, widest, text.vocab_size,
        matrices, embeddings, every - matrices - embeddings, adapter,
    )  # fmt: skip


@lru_cache(maxsize=64)
def kept(shape: Shape, method: str, precision: str, rank: int = 1) -> float:
    """Bytes per token that autograd saves in one of the first decoder layers, without checkpointing.

    The difference of two lengths, so that copies of weights, which do not grow with the text, are left out.
    """
    some = min(2, shape.layers)
    return sum(
        sign * saved(shape.config, method, precision, rank, layers, length)
        for sign, layers, length in ((1, some, 128), (-1, some, 64), (-1, 0, 128), (1, 0, 64))
    ) / (64 * some)


def causal(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention by a kernel that keeps no square of the length; keys repeated, as padded batches need."""
    from torch.nn.functional import scaled_dot_product_attention

    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    out = scaled_dot_product_attention(query, key, value, scale=scaling, is_causal=True)
    return out.transpose(1, 2).contiguous(), None


def saved(config: PreTrainedConfig, method: str, precision: str, rank: int, layers: int, length: int) -> int:
    """Bytes that autograd saves in a decoder's first layers for one text, besides the parameters."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register("causal", causal)
    AttentionMaskInterface.register("causal", lambda *_, **__: None)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    model = empty(config, method if layers else "full", rank, layers)
    model.train()
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner.set_attn_implementation("causal")
    decoder, stored = inner.get_decoder(), {}
    with FakeTensorMode():

        def fake(tensor: torch.Tensor, name: str) -> torch.Tensor:
            frozen = half is not None and method != "full" and "lora_" not in name
            dtype = half if frozen and tensor.is_floating_point() else tensor.dtype
            return torch.empty(tensor.shape, dtype=dtype, requires_grad=tensor.requires_grad)

        named = [*decoder.named_parameters(), *decoder.named_buffers()]
        weights = {name: fake(tensor, name) for name, tensor in named}
        own = {tensor.untyped_storage()._cdata for tensor in weights.values()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            stored[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
            return tensor

        cast = torch.autocast("cpu", half) if half else contextlib.nullcontext()
        inputs = {"input_ids": torch.zeros((1, length), dtype=torch.long), "use_cache": False}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), cast:
            torch.func.functional_call(decoder, weights, (), inputs)
    return sum(storage.nbytes() for key, storage in stored.items() if key not in own)

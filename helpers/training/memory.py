"""Does it fit? Memory, time and cost of a training, from the model's configuration alone.

    shape = shapes.shape_of("Qwen/Qwen2.5-7B-Instruct")
    plan = Plan("lora", rank=64, micro_batch=1, length=16384, checkpointing=True, precision="bf16")
    memory(shape, plan)                 # {"weights": 15.2e9, "adapters": ..., "activations": ...}, in bytes
    check(shape, plan, GPUS["a100-80"]) # ValueError naming the closest plan that fits

shapes.py says what the model consists of and what a layer keeps for its backward pass. Added to that are
TRL's loss, in tiles of 4,096 tokens by 32,768 words, and AdamW in fp32. tests/benchmarks/memory.py compares
the sum with measured memory. Not covered: allocator overhead beyond `RESERVE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from helpers.devices import Gpu
from helpers.training.shapes import Shape, kept

if TYPE_CHECKING:
    import pandas as pd

TILE_TOKENS, TILE_WORDS = 4096, 32768  # of TRL's loss
CPU_TILES = 8.25  # fp32 copies of a tile, and a mask, in TRL's fold without Triton (_backward_tile)
RESERVE = 0.05  # of a GPU's memory, for its context and what its allocator loses: an assumption
UTILISATION = 0.35  # of a GPU's peak rate, while training: an assumption, not a measurement
NF4_BYTES = 0.5 + 4 / 64  # of a quantised weight: 4 bits, and a scale in fp32 for every 64


@dataclass(frozen=True)
class Plan:
    """What memory depends on: traces per GPU and pass, their longest length in tokens, and how they train."""

    method: str
    rank: int
    micro_batch: int
    length: int
    checkpointing: bool
    precision: str = "bf16"
    gpus: int = 1
    sharding: str = "ddp"

    @property
    def shards(self) -> int:
        return 1 if self.sharding == "ddp" else self.gpus


def trained(shape: Shape, plan: Plan) -> tuple[int, float]:
    """The number of trained parameters, and their share of the model's."""
    number = shape.parameters if plan.method == "full" else plan.rank * shape.adapter
    return number, number / shape.parameters


def memory(shape: Shape, plan: Plan) -> dict[str, float]:
    """The parts of the peak memory on one GPU, in bytes; they add up to the peak.

    The peak is reached when the loss is computed or, after it, in the first layer's backward pass. In full
    fine-tuning it may also be at the end, when all gradients and no activations are left.
    """
    number = trained(shape, plan)[0]
    full, table = plan.method == "full", 4 * shape.vocabulary * shape.hidden
    gradients = 4 * number / plan.shards
    at_loss, at_layer = activations(shape, plan)
    backward = max(at_loss + loss(shape, plan), at_layer + layer(shape, plan))
    if full:
        backward = max(backward + table, gradients + table)
    return {
        "weights": weights(shape, plan) / plan.shards,
        "optimiser": 8 * number / plan.shards,
        **({} if full else {"adapter and its gradients": 4 * number / plan.shards + gradients}),
        ("gradients or activations" if full else "activations"): backward,
        **({"a gathered layer": gathered(shape, plan)} if plan.shards > 1 else {}),
    }


def weights(shape: Shape, plan: Plan) -> float:
    """Bytes of the model: fp32 if all of it is trained; next to NF4 matrices peft keeps the rest in fp32."""
    if plan.method == "qlora":
        return shape.matrices * NF4_BYTES + (shape.embeddings + shape.rest) * 4
    return shape.parameters * (4 if plan.method == "full" else size(plan))


def size(plan: Plan) -> int:
    """Bytes of a number in the computing precision."""
    return 4 if plan.precision == "fp32" else 2


def activations(shape: Shape, plan: Plan) -> tuple[float, float]:
    """Bytes kept for the backward pass: while the loss is computed, and in the first layer after it."""
    layers, tokens = shape.layers, plan.micro_batch * plan.length
    layer = kept(shape, plan.method, plan.precision, plan.rank) * tokens
    if plan.method == "full" and plan.precision != "fp32":  # the matrices as they were cast for the products
        layer += 2 * shape.matrices / layers
    if not plan.checkpointing:
        return layers * layer, layers * layer
    inputs = layers * (size(plan) if plan.method == "lora" else 4) * shape.hidden * tokens
    return inputs, inputs + layer


def loss(shape: Shape, plan: Plan) -> float:
    """Bytes of a tile of logits, and of the loss's gradient in fp32.

    Triton turns a tile into its gradient in place; torch on a CPU makes copies.
    """
    tokens, words = plan.micro_batch * plan.length, min(shape.vocabulary, TILE_WORDS)
    copies = CPU_TILES if plan.precision == "fp32" else 1
    table = 2 * words * shape.hidden if plan.method != "lora" and plan.precision != "fp32" else 0
    tile = min(tokens, TILE_TOKENS) * words * size(plan) * copies
    return tile + table + 4 * tokens * shape.hidden


def layer(shape: Shape, plan: Plan) -> float:
    """Bytes of a layer's gradients in flight: three of the MLP's width, and for QLoRA the matrix in use."""
    matrix = size(plan) * shape.hidden * shape.widest if plan.method == "qlora" else 0
    return 3 * size(plan) * plan.micro_batch * plan.length * shape.widest + matrix


def gathered(shape: Shape, plan: Plan) -> float:
    """Bytes of this and the next decoder layer and the output table, gathered from their shards."""
    return 2 * (2 * shape.matrices / shape.layers + shape.vocabulary * shape.hidden)


def flops_per_token(shape: Shape, plan: Plan) -> float:
    """FLOPs per trained token at the plan's length.

    Per parameter: 2 forward, 2 for gradients of activations and, in full fine-tuning, 2 for those of weights.
    Causal attention: 2 * length * width per layer forward and twice that backward. Checkpointing runs the
    layers forward twice.
    """
    used, adapter = shape.matrices + shape.vocabulary * shape.hidden, plan.rank * shape.adapter
    attention = 2 * plan.length * shape.hidden * shape.layers
    once = 6 if plan.method == "full" else 4
    again = 2 * shape.matrices + attention if plan.checkpointing else 0
    return once * used + 6 * adapter * (plan.method != "full") + 3 * attention + again


def hours(shape: Shape, plan: Plan, gpu: Gpu, tokens: int, utilisation: float = UTILISATION) -> float:
    """Hours for this many trained tokens, at a share of the GPU's data-sheet rate."""
    rate = gpu.tflops * 1e12 * plan.gpus * utilisation
    return tokens * flops_per_token(shape, plan) / rate / 3600


def fits(shape: Shape, plan: Plan, gpu: Gpu) -> bool:
    return sum(memory(shape, plan).values()) <= gpu.memory * 1e9 * (1 - RESERVE)


def smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that need less, closest first: same results, then another method, then shorter traces."""
    methods = [plan.method] if plan.method == "qlora" else list(dict.fromkeys([plan.method, "lora", "qlora"]))
    length = plan.length
    while length >= 256:
        for method in methods:
            for checkpointing in sorted({plan.checkpointing, True}):
                micro = plan.micro_batch
                while micro:
                    made = {"method": method, "checkpointing": checkpointing, "micro_batch": micro}
                    yield replace(plan, length=length, **made)
                    micro //= 2
        length //= 2


def changes(plan: Plan, other: Plan) -> str:
    """What to set for another plan, in the words of a recipe."""
    named = {
        "method": "default_method: {}",
        "checkpointing": "checkpointing: true",
        "micro_batch": "micro_batch: {}",
        "length": "max_length: {}",
    }
    values = {name: getattr(other, name) for name in named if getattr(other, name) != getattr(plan, name)}
    return ", ".join(named[name].format(value) for name, value in values.items())


def check(shape: Shape, plan: Plan, gpu: Gpu) -> None:
    """ValueError, naming the closest settings that fit, where a plan does not fit into a GPU's memory."""
    if fits(shape, plan, gpu):
        return
    needs = f"about {sum(memory(shape, plan).values()) / 1e9:.1f} GB are needed"
    has = f"{gpu.memory:g} GB are there, {RESERVE:.0%} of it in reserve"
    other = next((p for p in smaller(plan) if fits(shape, p, gpu)), None)
    if other is None:
        raise ValueError(f"does not fit: {needs}, {has}; no setting of this model fits: take a larger GPU")
    then = sum(memory(shape, other).values()) / 1e9
    raise ValueError(f"does not fit: {needs}, {has}. It fits ({then:.1f} GB) with {changes(plan, other)}")


def table(
    shape: Shape, plans: dict[str, Plan], gpu: Gpu, tokens: dict[str, int], price: float = 0.0
) -> pd.DataFrame:
    """One row per plan: trained parameters and share, peak memory in GB, tokens, hours, and cost if priced.

    `tokens` are all tokens that are trained on, `price` is that of one GPU for an hour.
    """
    import pandas as pd  # seconds that the chain does without

    rows = {}
    for name, plan in plans.items():
        number, share = trained(shape, plan)
        spent = hours(shape, plan, gpu, tokens[name])
        rows[name] = {
            "method": plan.method,
            "trained parameters": f"{number:,} ({share:.2%})",
            "peak GB": round(sum(memory(shape, plan).values()) / 1e9, 2),
            "of GB": round(gpu.memory, 1),
            "tokens": f"{tokens[name]:,}",
            "hours": "no rate known" if spent != spent else f"{spent:.2f}",
            "cost": f"{spent * plan.gpus * price:.2f}" if price and spent == spent else "no price given",
        }
    return pd.DataFrame(rows).T

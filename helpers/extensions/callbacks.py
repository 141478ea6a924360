"""What happens at each update of a reinforcement: T1's moving reference, validation, live curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from peft import PeftModel, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from helpers.data.traces import read_table
from helpers.evaluation import generation
from helpers.evaluation.benchmarks import prompt
from helpers.extensions.rewards import measures, outcomes
from helpers.processes import Place, in_notebook
from helpers.training import models
from helpers.training.live import png

if TYPE_CHECKING:
    from helpers.extensions.reinforcement import Job

PANELS = {  # of the live curves: a column of the trainer's log, and what it says
    "reward": "reward",
    "right": "right, as sampled",
    "frac_reward_zero_std": "groups that teach nothing",
    "tokens": "tokens per response",
    "tries": "tries per response",
    "keywords_per_try": "keywords per try",
    "entropy": "entropy (nats per token)",
    "finished": "finished",
}


@contextmanager
def merged(model: PeftModel) -> Iterator[PreTrainedModel]:
    """The model with its adapter merged, for decoding; afterwards every weight is what it was, to the bit.

    Subtracting the adapter again would leave rounding errors that a training which resumes does not have.
    """
    plain, how = model.get_base_model(), model.config._attn_implementation
    layers = [layer.get_base_layer().weight for layer in model.modules() if isinstance(layer, LoraLayer)]
    before = [weight.detach().clone() for weight in layers]
    model.eval()
    model.merge_adapter()
    generation.group_attention(plain)
    try:
        yield plain
    finally:
        model.unmerge_adapter()
        for weight, kept in zip(layers, before, strict=True):
            weight.data.copy_(kept)
        plain.set_attn_implementation(how)
        model.train()


class Following(TrainerCallback):
    """T1's moving reference: at each update the `ref` adapter goes a share of the way to the policy's.

    Of a checkpoint with two adapters, Transformers 5.19 loads `ref` and leaves the policy as it was at the
    start, so it is loaded here.
    """

    def __init__(self, share: float, checkpoint: Path | None) -> None:
        self.share, self.checkpoint = share, checkpoint

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if self.checkpoint:
            set_peft_model_state_dict(model, load_file(self.checkpoint / "adapter_model.safetensors"))

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        for name, weight in model.named_parameters():
            if ".default." in name:
                model.get_parameter(name.replace(".default.", ".ref.")).lerp_(weight, self.share)


class Watching(TrainerCallback):
    """Shows the curves so far, and answers validation problems at the start, in the middle and at the end.

    Answers are greedy and sampled, which are two models: their measures go to the trainer's log, which its
    checkpoints keep.
    """

    def __init__(self, job: Job, tokenizer: PreTrainedTokenizerBase) -> None:
        self.job, self.tokenizer, self.place = job, tokenizer, Place()
        rows = read_table(job.validation).slice(0, job.n_validation).to_pylist()
        self.rows = [row | {"benchmark": job.benchmark} for row in rows]
        texts = [models.prompt_text(tokenizer, prompt(job.benchmark, row["problem"])) for row in rows]
        self.ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        self.ends = models.end_tokens(tokenizer, models.generation_settings(job.base_model))

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if not state.global_step:
            self.validate(model, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step in (math.ceil(self.job.updates / 2), self.job.updates):
            self.validate(model, state)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "reward" in logs:
            line = f"{self.job.condition}: update {state.global_step}/{self.job.updates}"
            line += f", reward {logs['reward']:.2f}, right {logs['right']:.0%}, {logs['tokens']:.0f} tokens"
            rows = {self.job.condition: [row for row in state.log_history if "reward" in row]}
            self.place.show(line, png(panels(rows)) if in_notebook() else None)

    def validate(self, model: PeftModel, state: Any) -> None:
        """Answer the problems both ways and append a row of measures to the log."""
        row: dict[str, Any] = {"step": state.global_step}
        with merged(model) as plain:
            for name, heat in (("sampled", self.job.temperature), ("greedy", 0.0)):
                draws = [np.random.default_rng([self.job.seed, i]) for i in range(len(self.ids))]
                limit = self.job.max_new_tokens
                made = dict(generation.decode(plain, self.tokenizer, self.ids, limit, heat, draws))
                responses = [made[i] for i in range(len(self.ids))]
                found = measures(outcomes(self.tokenizer, self.ends, responses, self.rows))
                row |= {name: found.pop("right")} | {f"{name}_{k}": value for k, value in found.items()}
        state.log_history.append(row)


def panels(curves: Mapping[str, Sequence[dict]]) -> Figure:
    """A small picture for each of `PANELS`, with a line per condition over the updates."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True).flat
    for ax, (column, title) in zip(axes, PANELS.items(), strict=True):
        for condition, rows in curves.items():
            curve = pd.DataFrame(rows)
            ax.plot(curve["step"], curve[column], label=condition)
        ax.set_title(title, fontsize=9, loc="left")
    figure.supxlabel("update", fontsize=9)
    if len(curves) > 1:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure

"""Reinforcement learning that goes on from a condition's LoRA adapter, with TRL's GRPOTrainer.

    record = train(Job(base_model, start="outputs/laptop/adapters/shuffle-67.s0", ...))
    record["curve"][0]       # {"step": 1, "reward": 0.41, "right": 0.41, "tries": 6.2, ...}
    record["validation"][0]  # {"step": 0, "greedy": 0.34, "sampled": 0.39, ...}

The result is an adapter like any other, so notebooks 04 and 05 take it unchanged. Responses come from the
package's own decoder, which on a CPU is six times as fast as TRL's, or from vLLM. Each is drawn with a seed
of its own, so a training that was killed goes on to the same weights. Departures from the papers: GRPO in
place of PPO with a critic, which TRL does not have, and no grade by another model.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from helpers.data.traces import read_table
from helpers.evaluation import generation
from helpers.evaluation.benchmarks import prompt
from helpers.extensions.callbacks import Following, Watching, merged
from helpers.extensions.rewards import REWARDS, measures, outcomes
from helpers.files import contents, digest
from helpers.training import finetune, models, saving

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL calls `rollout_func` an experiment at each use
UPDATES = 2  # of the weights, with one round of responses
# Rewards are divided by their spread in a group, by that in a round (as in RLSP's code), or not at all.
SCALES = {"rl": "group", "rlsp": "batch", "t1": "none"}
HOW = ("folder", "micro_batch", "checkpoint_rounds")  # changes no result


@dataclass(frozen=True)
class Job:
    """One reinforcement: from the adapter in `start` ("": a fresh one) to one in `folder`, OUT/adapters/RUN.

    A round asks `problems_per_round` of the problems (a file) for `group` responses each, and makes two
    updates with them; the rate falls to 0 over all `updates`. `entropy` and `kl` are weights of T1's bonus
    and penalty, `ema` the share by which its reference follows the policy at each update; 0: none.
    """

    base_model: str
    start: str
    folder: str
    condition: str
    seed: int
    reward: str
    problems: str
    benchmark: str
    validation: str
    group: int
    problems_per_round: int
    updates: int
    learning_rate: float
    max_new_tokens: int
    temperature: float
    n_validation: int
    rank: int
    alpha: int
    entropy: float = 0.0
    kl: float = 0.0
    ema: float = 0.0
    engine: str = "transformers"
    micro_batch: int = 16
    checkpoint_rounds: int = 2


def plan_of(job: Job) -> dict[str, Any]:
    """All that the trained weights depend on: files by their contents, and the settings."""
    found = {name: value for name, value in vars(job).items() if name not in HOW}
    tables = {name: digest(read_table(found[name]).to_pylist()) for name in ("problems", "validation")}
    return found | tables | {name: contents(found[name]) for name in ("base_model", "start") if found[name]}


def train(job: Job) -> dict[str, Any]:
    """Train one condition and save its adapter; returns the record that is saved as `training.json`.

    `curve` has a row per update, with means over a round's responses; `validation` has one for the start, the
    middle and the end. After a kill, another call resumes from the last complete checkpoint. ValueError where
    a round's responses cannot be divided into micro-batches.
    """
    folder, plan = Path(job.folder), plan_of(job)
    work = saving.folder_of(folder.parents[1] / "checkpoints", folder.name, plan)
    config = GRPOConfig(output_dir=str(work), **arguments(job))
    set_seed(job.seed)
    model, tokenizer = models.load(job.base_model)
    if job.start:
        model = PeftModel.from_pretrained(model, job.start, is_trainable=True)
    else:
        model = finetune.prepare(model, "lora", job.rank, job.alpha, job.seed)
    rows = read_table(job.problems).select(["problem", "answer"]).to_pylist()
    texts = [models.prompt_text(tokenizer, prompt(job.benchmark, row["problem"])) for row in rows]
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=paying(job, tokenizer),
        args=config,
        train_dataset=Dataset.from_list([row | {"prompt": t} for row, t in zip(rows, texts, strict=True)]),
        processing_class=tokenizer,
        rollout_func=rollout(job, tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    resume = saving.last_complete(work)
    clock = saving.Clock(saving.seconds(resume))
    for callback in [*([Following(job.ema, resume)] if job.ema else []), Watching(job, tokenizer), clock]:
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    trainer.model.save_pretrained(work / "weights", selected_adapters=["default"])
    log = trainer.state.log_history
    record = {"recipe": folder.parents[1].name, "method": "lora", "steps": trainer.state.global_step}
    record |= {**vars(job), "seconds": round(clock.seconds(), 1), "plan": plan, "loss": []}
    record |= {"curve": [r for r in log if "reward" in r], "validation": [r for r in log if "greedy" in r]}
    folder.parent.mkdir(parents=True, exist_ok=True)
    saving.finish(work / "weights", record, folder)
    shutil.rmtree(work, ignore_errors=True)
    return record


def arguments(job: Job) -> dict[str, Any]:
    """GRPOConfig's arguments; ValueError where a round cannot be divided into updates and micro-batches."""
    share, over = divmod(job.group * job.problems_per_round, UPDATES * job.micro_batch)
    if over or not share:
        raise ValueError(
            f"{job.condition}: {job.problems_per_round} problems with {job.group} responses each are not "
            f"{UPDATES} updates in micro-batches of {job.micro_batch}: choose another micro_batch or number"
        )
    return {
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 0.5,
        "max_steps": job.updates,
        "per_device_train_batch_size": job.micro_batch,
        "gradient_accumulation_steps": share,
        "steps_per_generation": share * UPDATES,
        "num_generations": job.group,
        "max_completion_length": job.max_new_tokens,
        "temperature": job.temperature,
        "loss_type": "dr_grpo",
        "scale_rewards": SCALES[job.reward],
        "beta": job.kl,
        "entropy_coef": job.entropy,
        **finetune.precision(),
        "use_vllm": job.engine == "vllm",
        "vllm_mode": "colocate",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": UPDATES * job.checkpoint_rounds,  # never in the middle of a round
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": job.seed,
    }


def paying(job: Job, tokenizer: PreTrainedTokenizerBase) -> Callable[..., list[float]]:
    """The reward function that GRPOTrainer calls; it logs the round's `measures` as well."""
    ends = models.end_tokens(tokenizer, models.generation_settings(job.base_model))

    def reward(completion_ids, problem, answer, log_metric, **_: Any) -> list[float]:
        pairs = zip(problem, answer, strict=True)
        rows = [{"benchmark": job.benchmark, "problem": p, "answer": a} for p, a in pairs]
        found = outcomes(tokenizer, ends, completion_ids, rows)
        for name, value in measures(found).items():
            log_metric(name, value)
        return [REWARDS[job.reward](outcome, job.max_new_tokens) for outcome in found]

    return reward


def rollout(job: Job, tokenizer: PreTrainedTokenizerBase) -> Callable[..., dict[str, Any]]:
    """GRPOTrainer's `rollout_func`: one response to each prompt, and prompts come `group` times each."""

    def sample(prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts]
        if trainer.use_vllm:
            made, logprobs = trainer._generate_single_turn(ids, None, {}, job.group)
            return {"prompt_ids": ids, "completion_ids": made, "logprobs": logprobs}
        draws = [np.random.default_rng([job.seed, trainer.state.global_step, i]) for i in range(len(ids))]
        with merged(trainer.accelerator.unwrap_model(trainer.model)) as plain:
            made = dict(generation.decode(plain, tokenizer, ids, job.max_new_tokens, job.temperature, draws))
        return {"prompt_ids": ids, "completion_ids": [made[i] for i in range(len(ids))], "logprobs": None}

    return sample

"""Fine-tuning on one arm: LoRA, QLoRA or full, with TRL's SFTTrainer.

    rows, cut = encode(tokenizer, problems, responses, max_length=1024)   # cut: how many were too long
    model = prepare(models.load(path)[0], method="lora", rank=16, alpha=32, seed=0)
    log = fit(model, tokenizer, rows, learning_rate=1e-3, epochs=2, batch_size=32, seed=0, out=folder)

`train` does all of it, from an arm's file to a folder of weights. Notebook 03 calls it in its own kernel or,
for several GPUs, through launch.py. Training uses exactly the arm's text: the prompt is tokenised as for
generation, the response separately, and the labels are the response and the end token. Trained weights are in
fp32 whatever the base model's precision, because fp16 on a T4 needs it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, set_seed
from trl import SFTConfig, SFTTrainer

from helpers.data.traces import read_table
from helpers.files import contents, digest
from helpers.training import live, models, saving
from helpers.training.examples import bucketed, data_hash, encode, first

LORA = ("rank", "alpha")
PLAN = ("seed", "method", *LORA, "learning_rate", "epochs", "batch_size", "max_length")


@dataclass(frozen=True)
class Job:
    """One fine-tune: the first `traces` (0: all) of an arm's file, to weights in `folder`, OUT/adapters/RUN.

    `micro_batch`, `checkpointing`, `checkpoint_steps` and `report_to` say how the work is done and do not
    change the result.
    """

    base_model: str
    arm: str | Path
    folder: str | Path
    condition: str
    seed: int
    method: str
    rank: int
    alpha: int
    learning_rate: float
    epochs: int
    batch_size: int
    max_length: int
    traces: int = 0
    micro_batch: int = 0
    checkpointing: bool = False
    checkpoint_steps: int = 0
    report_to: str = "none"


def prepare(model: PreTrainedModel, method: str, rank: int, alpha: int, seed: int) -> PreTrainedModel:
    """Add a fresh LoRA adapter on all linear layers; for full fine-tuning the model is returned as it is."""
    set_seed(seed)
    if method == "full":
        return model
    if method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def processes() -> int:
    """The number of processes that train together: 1 unless `accelerate launch` started more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def micro_batches(batch_size: int, micro_batch: int) -> tuple[int, int]:
    """Traces per process and forward pass, and passes per step; a `micro_batch` of 0 is the whole share.

    ValueError where the batch cannot be divided evenly.
    """
    share, over = divmod(batch_size, processes())
    micro_batch = micro_batch or share
    if over or not share or share % micro_batch:
        raise ValueError(
            f"a batch of {batch_size} traces cannot be dealt out to {processes()} processes in micro-batches "
            f"of {micro_batch or 1}: choose a batch_size that is a multiple of their product"
        )
    return micro_batch, share // micro_batch


def filled(rows: Dataset, batch_size: int) -> Dataset:
    """Pad with unlabelled rows so that every process gets the same number of batches.

    The loss is a sum over labels divided by their number in all processes, so the added rows do not count.
    """
    missing = -len(rows) % batch_size
    if processes() == 1 or not missing:
        return rows
    ids = min(rows["input_ids"], key=len)
    blank = {"input_ids": ids, "labels": [-100] * len(ids)}
    return concatenate_datasets([rows, Dataset.from_list([blank] * missing, features=rows.features)])


def precision() -> dict[str, bool]:
    """What TRL's configurations are told of this machine: fp32 on a CPU, bf16 or, before Ampere, fp16."""
    on_cpu = not torch.cuda.is_available()
    modern = not on_cpu and torch.cuda.get_device_capability() >= (8, 0)
    on_old = not on_cpu and not modern
    return {"use_cpu": on_cpu, "bf16": modern, "fp16": on_old, "gradient_checkpointing": not on_cpu}


def fit(
    model: PreTrainedModel | Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    learning_rate: float,
    epochs: int,
    batch_size: int,
    seed: int,
    out: Path,
    label: str = "",
    micro_batch: int = 0,
    checkpoint_steps: int = 0,
    weights: Path | None = None,
    **settings: object,
) -> dict:
    """Train; returns {"loss": [{step, loss}], "tokens", "seconds", "steps", "trained_parameters"}.

    Linear warm-up over a tenth of the steps, then cosine decay, as in the paper's released configurations. A
    step takes `batch_size` traces, `micro_batch` at a time in each process. With `checkpoint_steps` there is
    a checkpoint below `out` every so many steps, and an interrupted training resumes from the last complete
    one. `model` may be a factory; it is called after torch.distributed is initialised. `weights` is where the
    trained weights go, gathered from all shards. `settings` are passed to SFTConfig and override what is set
    here.
    """
    at_once, times = micro_batches(batch_size, micro_batch)
    arguments = {
        "output_dir": str(out),
        "learning_rate": learning_rate,
        "num_train_epochs": 1,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": times,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "weight_decay": 0.0,
        "max_length": None,
        **precision(),
        "train_sampling_strategy": "sequential",
        "logging_steps": 5,
        "logging_first_step": True,
        "save_strategy": "steps" if checkpoint_steps else "no",
        "save_steps": checkpoint_steps or 500,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
    }
    config = SFTConfig(**arguments | settings)
    lengths = [len(ids) for ids in rows["input_ids"]]
    order = bucketed(lengths, batch_size, epochs, seed)
    trainer = SFTTrainer(
        model=model if isinstance(model, torch.nn.Module) else model(),
        args=config,
        train_dataset=filled(rows.select(order), batch_size),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    for parameter in trained:  # TRL casts those of a quantised model to bf16, which a T4 cannot train
        if parameter.dtype != torch.float32 and not hasattr(
            parameter, "ds_numel"
        ):  # ZeRO-3 keeps fp32 copies
            parameter.data = parameter.data.float()
    with trainer.accelerator.main_process_first():
        resume = saving.last_complete(Path(out)) if checkpoint_steps else None
    clock = saving.Clock(saving.seconds(resume))
    trainer.add_callback(clock)
    if label:
        seen = live.tokens_by_step([lengths[i] for i in order], batch_size)
        trainer.add_callback(live.Live(label, seen))
    trained_parameters = sum(getattr(p, "ds_numel", p.numel()) for p in trained)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if weights:
        trainer.save_model(str(weights))
    losses = [
        {"step": row["step"], "loss": row["loss"]} for row in trainer.state.log_history if "loss" in row
    ]
    tokens = sum(lengths) * epochs
    return {"loss": losses, "tokens": tokens, "steps": trainer.state.global_step,
            "seconds": round(clock.seconds(), 1), "trained_parameters": trained_parameters}  # fmt: skip


def tracking(report_to: str, folder: Path) -> dict[str, Any]:
    """SFTConfig's arguments for a tracker ("none" for none), which gets tokens per second as well.

    The recipe is the project, the run is OUT/adapters/RUN; TensorBoard's files go to OUT/tensorboard/RUN.
    """
    if report_to == "none":
        return {}
    out = folder.parents[1]
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard" / folder.name)
    os.environ.setdefault("WANDB_PROJECT", out.name)
    names = {"project": out.name, "run_name": folder.name}
    return {"report_to": report_to, **names, "include_num_input_tokens_seen": "non_padding"}


def texts(arm: str | Path, traces: int = 0) -> tuple[list[str], list[str]]:
    """Problems and responses from an arm's file: its first `traces`, or all for 0."""
    table = read_table(arm)
    return first(table["problem"].to_pylist(), traces), first(table["response"].to_pylist(), traces)


def plan_of(job: Job, problems: list[str], responses: list[str]) -> dict[str, Any]:
    """All that trained weights depend on: the base model's files, the texts and the settings in `PLAN`."""
    wanted = {name: getattr(job, name) for name in PLAN if name not in LORA or job.method != "full"}
    wanted |= {"learning_rate": float(job.learning_rate)}  # 1 and 1.0 are the same rate
    return wanted | {"base model": contents(job.base_model), "data": data_hash(problems, responses)}


def is_trained(job: Job) -> bool:
    """Whether a job is already done under the same plan; prints a line that says so."""
    return saving.is_kept(job.folder, job.condition, plan_of(job, *texts(job.arm, job.traces)))


def train(job: Job) -> dict[str, Any]:
    """Train one condition and save its weights; returns the record that is saved as `training.json`.

    Checkpoints go to OUT/checkpoints and are removed at the end. After a kill, another call resumes from the
    last complete one.
    """
    folder, (problems, responses) = Path(job.folder), texts(job.arm, job.traces)
    plan = plan_of(job, problems, responses)
    tokenizer = models.tokenizer_of(job.base_model)
    rows, cut = encode(tokenizer, problems, responses, job.max_length)
    main = int(os.environ.get("RANK", "0")) == 0
    if main and len(rows) < len(problems):
        print(f"{job.condition}: {len(problems) - len(rows)} of {len(problems)} traces have no label left")
    # all processes compute the same folder, so none depends on what another has written
    work = saving.folder_of(
        folder.parents[1] / "checkpoints", folder.name, [digest(plan), processes(), job.micro_batch]
    )
    log = fit(
        lambda: prepare(
            models.load(job.base_model, job.method)[0], job.method, job.rank, job.alpha, job.seed
        ),
        tokenizer, rows, job.learning_rate, job.epochs, job.batch_size, job.seed, work, job.condition,
        job.micro_batch, job.checkpoint_steps, work / "weights", gradient_checkpointing=job.checkpointing,
        **tracking(job.report_to, folder),
    )  # fmt: skip
    record = {"recipe": folder.parents[1].name, "condition": job.condition, "base_model": job.base_model}
    record |= {name: getattr(job, name) for name in PLAN}
    record |= {"traces": len(problems), "data_sha256": plan["data"], "cut": cut}
    record |= {"unlabelled": len(problems) - len(rows), **log, "plan": plan}
    record |= {"tokens_per_second": round(log["tokens"] / max(log["seconds"], 0.1))}
    if main:
        folder.parent.mkdir(parents=True, exist_ok=True)
        saving.finish(work / "weights", record, folder)
        shutil.rmtree(work, ignore_errors=True)
    return record

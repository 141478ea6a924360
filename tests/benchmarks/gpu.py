"""Training speed and memory on one GPU: Qwen2.5's shapes with random weights, LoRA on all linear layers.

    python tests/benchmarks/gpu.py                     # the whole table, to outputs/reference/gpu/
    python tests/benchmarks/gpu.py --models 7B --lengths 16384
    python tests/benchmarks/gpu.py --colab             # the recipe colab, 0.5B and 1.5B, fp16 below 15 GB

Every row is a process of its own, so one that runs out of memory costs nothing but its row, and rows that
are in the table already are not run again. One trace of the full length a step; the first two steps do not
count. TFLOP/s are 4 FLOPs a parameter and token (forward, and the gradients of activations): attention and
what is computed twice do not count. Memory is the peak that torch reserved, beside
helpers/training/memory.py's.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
STEPS, LEFT_OUT, RANK = 7, 2, 64
LENGTHS, MODELS = (4096, 8192, 16384), ("7B", "32B")
# What a row is called: TRL's loss in tiles or all logits at once, and what is computed twice.
SETTINGS = {
    "logits, layers twice": {"logits": True, "checkpointing": True},
    "tiled loss": {"checkpointing": False},
    "tiled loss, layers twice": {"checkpointing": True},
    "tiled loss, all but products twice": {"checkpointing": True, "selective": True},
}
COLUMNS = (
    "gpu", "model", "length", "setting", "tokens/s", "TFLOP/s", "peak GB", "estimated GB", "trained", "note",
)  # fmt: skip


def model_of(shape: dict, dtype: str, rank: int):
    """A random model on the GPU, with an adapter."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from helpers.training import finetune

    config = Qwen2Config(**shape, bos_token_id=None, pad_token_id=0)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM._from_config(config, dtype=getattr(torch, dtype))
    return finetune.prepare(model, "lora", rank, 2 * rank, 0)


def by_the_project(
    shape: dict, length: int, at_once: int, rank: int, setting: dict, half: str
) -> list[float]:
    """The seconds of each step, by helpers/training/finetune.py."""
    import torch
    from datasets import Dataset

    from helpers.base_model import pretraining
    from helpers.training import finetune, saving

    times: list[float] = []

    def note(self, args, state, control, **kwargs):
        torch.cuda.synchronize()
        times.append(time.perf_counter())

    saving.Clock.on_step_begin = saving.Clock.on_step_end = note
    ids = torch.randint(4, 150_000, (STEPS * at_once, length)).tolist()
    more = {"gradient_checkpointing_kwargs": {"selective": True}} if setting.get("selective") else {}
    with tempfile.TemporaryDirectory() as folder:
        finetune.fit(
            lambda: model_of(shape, {"bf16": "bfloat16", "fp16": "float16"}[half], rank),
            pretraining.build_tokenizer(["a b c"]), Dataset.from_dict({"input_ids": ids, "labels": ids}),
            1e-4, 1, at_once, 0, Path(folder), gradient_checkpointing=setting["checkpointing"],
            bf16=half == "bf16", fp16=half == "fp16", **more,
        )  # fmt: skip
    return [end - begin for begin, end in zip(times[::2], times[1::2], strict=True)]


def by_a_plain_loop(shape: dict, length: int, rank: int) -> list[float]:
    """The seconds of each step with the model's own loss, on all logits at once, and AdamW."""
    import torch

    model = model_of(shape, "bfloat16", rank)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4, fused=True)
    times = []
    for _ in range(STEPS):
        ids = torch.randint(4, 150_000, (1, length), device="cuda")
        torch.cuda.synchronize()
        begin = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return times


def measure(model: str, length: int, name: str, at_once: int, rank: int, half: str, cap: float) -> dict:
    """One row; `cap` is how many GB torch may take, 0 for all."""
    import torch

    from helpers.training import memory, shapes

    if cap:
        torch.cuda.set_per_process_memory_fraction(
            cap * 1e9 / torch.cuda.get_device_properties(0).total_memory
        )
    name_on_hub, setting = f"Qwen/Qwen2.5-{model}-Instruct", SETTINGS[name]
    shape, config = shapes.shape_of(name_on_hub), shapes.config_of(name_on_hub)
    plan = memory.Plan("lora", rank, at_once, length, setting["checkpointing"], half)
    number, share = memory.trained(shape, plan)
    row = {"gpu": torch.cuda.get_device_name(), "model": model, "length": length, "setting": name}
    row |= {"estimated GB": round(sum(memory.memory(shape, plan).values()) / 1e9, 1)}
    row |= {"trained": f"{number:,} ({share:.2%})", "note": ""}
    try:
        if setting.get("logits"):
            times = by_a_plain_loop(config, length, rank)
        else:
            times = by_the_project(config, length, at_once, rank, setting, half)
    except torch.cuda.OutOfMemoryError:
        return row | {"note": "out of memory"}
    rate = at_once * length / statistics.median(times[LEFT_OUT:])
    row |= {"tokens/s": round(rate), "TFLOP/s": round(4 * shape.parameters * rate / 1e12)}
    return row | {"peak GB": round(torch.cuda.max_memory_reserved() / 1e9, 1)}


def run(*arguments: object) -> dict:
    """A row from a process of its own; its error as a note where it fails otherwise than by memory."""
    command = [sys.executable, __file__, "--worker", json.dumps(arguments)]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        said = found.stderr.strip().splitlines() or ["no word"]
        model, length, name = arguments[:3]
        return {"model": model, "length": length, "setting": name, "note": f"failed: {said[-1][:200]}"}
    return json.loads(found.stdout.splitlines()[-1])


def read(path: Path) -> list[dict]:
    return list(csv.DictReader(path.open())) if path.exists() else []


def write(rows: list[dict], path: Path, command: str) -> None:
    """The table as CSV, and as Markdown with its command."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(str(row.get(c, '')) for c in COLUMNS)} |" for row in rows]
    about = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    path.with_suffix(".md").write_text(f"`{command}`\n\n" + "\n".join(lines) + f"\n\n{about}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--colab", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "reference" / "gpu")
    parser.add_argument("--worker", type=json.loads)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure(*given.worker)))
        return
    work = [
        (model, length, name, 1, RANK, "bf16", 0)
        for model in given.models
        for length in given.lengths
        for name in given.settings
    ]
    if given.colab:
        from helpers.workflow import recipe

        section = recipe.load("colab", ROOT / "notebooks")["03_lora_training"]
        sizes = (
            section["max_length"],
            "tiled loss, layers twice",
            section["micro_batch"],
            section["lora_rank"],
        )
        work = [(model, *sizes, "fp16", 15) for model in ("0.5B", "1.5B")]
    path = given.out / ("colab.csv" if given.colab else "lora.csv")
    rows = read(path)
    done = {(row["model"], int(row["length"]), row["setting"]) for row in rows}
    for arguments in work:
        if arguments[:3] not in done:
            rows.append(run(*arguments))
            print(", ".join(f"{k} {v}" for k, v in rows[-1].items() if v != ""), flush=True)
            write(rows, path, "python tests/benchmarks/gpu.py" + " --colab" * given.colab)


if __name__ == "__main__":
    main()

"""Speed of training and generation beside a plain, untuned run of the same work, in the same run.

    python tests/benchmarks/speed.py [--traces 320] [--problems 256] [--cores 2]

Ours: as many processes as cores, one thread each, the way the chain runs its arms. Plain: SFTTrainer and
`model.generate` as they come, one process with all cores. Same model, same texts, the laptop recipe's batch
and adapter, same number of optimiser steps and greedy tokens. Rates are of the tokens in the texts, padding
not counted. The last line is the time of a laptop run's tokens, trained on and generated, at those rates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
MAX_NEW_TOKENS = 420
# Of a laptop run with one seed: the sums of "tokens" in its adapters' training.json and in its scores.
GRID = {"train": 7_511_025, "generate": 5_307_523}


def matrix_peak(threads: int, size: int = 2048) -> float:
    """GFLOP/s of the best of ten fp32 matrix products."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(10):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9


def train(how: str, threads: int, n: int) -> dict:
    """Seconds and tokens of one epoch over n correct traces, with the laptop recipe's adapter and batch."""
    import torch
    from trl import SFTConfig, SFTTrainer

    from helpers.data.traces import render
    from helpers.puzzles import countdown
    from helpers.training import examples, finetune, models
    from helpers.workflow import recipe

    torch.set_num_threads(threads)
    settings = recipe.load("laptop", ROOT / "notebooks")["03_lora_training"]
    rank, alpha, batch = (settings[key] for key in ("lora_rank", "lora_alpha", "batch_size"))
    traces = countdown.correct_traces("train", n, 0)
    model, tokenizer = models.load(ROOT / "base_model")
    responses = [render(t.steps, t.solution) for t in traces]
    rows, _ = examples.encode(tokenizer, [t.problem for t in traces], responses, 1024)
    model = finetune.prepare(model, "lora", rank, alpha, 0)
    tokens = sum(map(len, rows["input_ids"]))
    with tempfile.TemporaryDirectory() as folder:
        if how == "ours":
            log = finetune.fit(model, tokenizer, rows, settings["learning_rate"], 1, batch, 0, Path(folder))
            return {"tokens": tokens, "seconds": log["seconds"]}
        config = SFTConfig(
            output_dir=folder, per_device_train_batch_size=batch, num_train_epochs=1, use_cpu=True,
            bf16=False, save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
        started = time.perf_counter()
        trainer.train()
        return {"tokens": tokens, "seconds": time.perf_counter() - started}


def generate(how: str, threads: int, n: int) -> dict:
    """Seconds and tokens of greedy responses to n dictations, which the base model answers at length."""
    import torch

    from helpers.base_model import countdown_skills, pretraining
    from helpers.evaluation import generation
    from helpers.training import models

    torch.set_num_threads(threads)
    model, tokenizer = models.load(ROOT / "base_model")
    documents = next(pretraining.documents(countdown_skills, seed=77, batch=10 * n))
    prompts = [p for skill, p, _ in documents if skill == "given_tries"][:n]
    started = time.perf_counter()
    if how == "ours":
        tokens = sum(r.tokens for r in generation.generate(model, tokenizer, prompts, MAX_NEW_TOKENS))
        return {"tokens": tokens, "seconds": time.perf_counter() - started}
    tokens = 0
    for k in range(0, n, 128):
        texts = [generation.prompt_text(tokenizer, p) for p in prompts[k : k + 128]]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
            max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
        )  # fmt: skip
        made = out[:, batch["input_ids"].shape[1] :]
        tokens += int(((made != tokenizer.pad_token_id) & (made != tokenizer.eos_token_id)).sum())
    return {"tokens": tokens, "seconds": time.perf_counter() - started}


def run(task: str, how: str, processes: int, threads: int, n: int) -> float:
    """Tokens per second of several processes together, each doing the same work."""
    command = [sys.executable, __file__, "--worker", task, how, str(threads), str(n)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    workers = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        for _ in range(processes)
    ]
    results = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
    return sum(r["tokens"] for r in results) / max(r["seconds"] for r in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=320)
    parser.add_argument("--problems", type=int, default=256)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--worker", nargs=4)
    arguments = parser.parse_args()
    if arguments.worker:
        task, how, threads, n = arguments.worker
        print(json.dumps({"train": train, "generate": generate}[task](how, int(threads), int(n))))
        return
    from helpers.training import models

    cores, peak = arguments.cores, matrix_peak(arguments.cores)
    parameters = models.load(ROOT / "base_model")[0].num_parameters()
    print(f"{cores} cores, matrix-product peak {peak:.0f} GFLOP/s, model of {parameters:,} parameters")
    grid = {"plain": 0.0, "ours": 0.0}
    for task, n, flops in (("train", arguments.traces, 4), ("generate", arguments.problems, 2)):
        plain = run(task, "plain", 1, cores, n)
        ours = run(task, "ours", cores, 1, n)
        for name, rate in (("plain", plain), ("ours", ours)):
            grid[name] += GRID[task] / rate
            share = rate * flops * parameters / 1e9 / peak
            counted = f"{share:6.1%} of peak ({flops} FLOP per parameter and token)"
            print(f"{task:9s} {name:6s} {rate:8.0f} tokens/s  {counted}")
        print(f"{task:9s} ours / plain = {ours / plain:.2f}")
    plain, ours = (seconds / 60 for seconds in grid.values())
    print(f"laptop run  plain {plain:.0f} min, ours {ours:.0f} min")
    print(f"laptop run  ours / plain = {plain / ours:.2f}")


if __name__ == "__main__":
    main()

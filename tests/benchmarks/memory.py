"""The estimator's peak memory beside the measured one, each training in a process of its own.

    python tests/benchmarks/memory.py [--only 0 2]

Models are random, of Qwen2's architecture, 54 to 114M parameters; on a processor in fp32, on a GPU as they
train there. Measured on a processor is the peak of the resident memory (VmHWM) above what the process had
after training a tiny model the same way; on a GPU, the peak that torch allocated. glibc is told to give large
blocks back at once, so that resident memory is what is alive.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SMALL = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "vocab_size": 16000}
WIDE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 6, "vocab_size": 12000}
# shape, tied embeddings, method, rank, traces at once, their length, checkpointing
CASES = [
    (SMALL, True, "lora", 16, 2, 256, False),
    (SMALL, True, "full", 0, 1, 256, False),
    (SMALL, True, "lora", 64, 2, 512, True),
    (WIDE, False, "full", 0, 2, 256, True),
    (WIDE, True, "lora", 32, 1, 512, False),
    (WIDE, True, "qlora", 16, 2, 256, False),
]


def shape_of(case: tuple) -> dict:
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "tie_word_embeddings": case[1]}
    return {"model_type": "qwen2"} | case[0] | heads


def resident(name: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024


def anew() -> None:
    """The peak starts anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def measure(case: tuple) -> dict:
    """Bytes that training took at its peak, and the estimate of it."""
    import torch
    from transformers import Qwen2Config

    from helpers import devices
    from helpers.training import memory, shapes

    shape, (_, _, method, rank, at_once, length, checkpointing) = shape_of(case), case
    plan = memory.Plan(method, rank, at_once, length, checkpointing, devices.machine("").precision)
    tiny = shape | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 500}
    train(tiny, memory.Plan(method, 4, 2, 16, checkpointing, plan.precision))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else resident("VmRSS")
    anew()
    train(shape, plan)
    after = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM")
    counted = shapes.counted(Qwen2Config(**shape))
    return {"measured": after - before, "predicted": sum(memory.memory(counted, plan).values())}


def train(shape: dict, plan) -> None:
    """Two steps on random tokens, by the project's own path."""
    import torch
    from datasets import Dataset
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from helpers.base_model import pretraining
    from helpers.training import finetune, models

    tokenizer = pretraining.build_tokenizer(["a b c"])
    generator = torch.Generator().manual_seed(0)
    size = (2 * plan.micro_batch, plan.length)
    ids = torch.randint(4, shape["vocab_size"], size, generator=generator).tolist()
    config = Qwen2Config(**shape, max_position_embeddings=4096, bos_token_id=None, pad_token_id=0)
    with tempfile.TemporaryDirectory() as folder:

        def load():
            if plan.method != "qlora" and not torch.cuda.is_available():
                return finetune.prepare(Qwen2ForCausalLM(config), plan.method, plan.rank, 16, 0)
            Qwen2ForCausalLM(config).save_pretrained(f"{folder}/model")
            tokenizer.save_pretrained(f"{folder}/model")
            model = models.load(f"{folder}/model", plan.method)[0]
            for weight in model.parameters():  # else they are pages of the file, and all of it is resident
                weight.data = weight.data.clone()
            anew()
            return finetune.prepare(model, plan.method, plan.rank, 16, 0)

        finetune.fit(
            load, tokenizer, Dataset.from_dict({"input_ids": ids, "labels": ids}), 1e-4, 1, plan.micro_batch,
            0, Path(folder), gradient_checkpointing=plan.checkpointing,
        )  # fmt: skip


def run(number: int) -> dict:
    """One case in a process of its own."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
    command = [sys.executable, __file__, "--worker", str(number)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    if found.returncode:
        raise RuntimeError(found.stderr[-3000:])
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, nargs="+", default=range(len(CASES)), help="numbers of cases")
    parser.add_argument("--worker", type=int)
    given = parser.parse_args()
    if given.worker is not None:
        print(json.dumps(measure(CASES[given.worker])))
        return
    print(
        "method  rank  layers x width       words   traces x tokens  twice  predicted MB  measured MB  ratio"
    )
    for number in given.only:
        shape, _, method, rank, at_once, length, checkpointing = CASES[number]
        found = run(number)
        sizes = f"{shape['num_hidden_layers']:>6} x {shape['hidden_size']:<5}  {shape['vocab_size']:>8}"
        batch = f"{at_once:>6} x {length:<7}  {str(checkpointing):>7}"
        ratio = found["predicted"] / found["measured"]
        megabytes = f"{found['predicted'] / 1e6:>12.0f}  {found['measured'] / 1e6:>11.0f}  {ratio:>5.2f}"
        print(f"{method:6}  {rank:>4}  {sizes}  {batch}  {megabytes}", flush=True)


if __name__ == "__main__":
    main()

"""The vLLM engine: one engine for the base model and all its LoRA adapters.

    engine = partial(respond, base_model="Qwen/Qwen2.5-7B-Instruct", adapters="outputs/x/adapters")
    journal.complete(todo, engine, "outputs/x/generations")

The engine runs in processes of its own, so their GPU memory is freed at the end and nothing else needs vLLM.
`data_parallel` processes share the requests, each on `tensor_parallel` GPUs. Prompts and responses are
exchanged as tokens, because vLLM, too, would use Qwen's own splitting rules for a Qwen2 tokenizer. Not
covered: several machines.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from helpers.conditions import parse, run_of
from helpers.evaluation.context import capped, positions, rooms
from helpers.evaluation.journal import Request, Response
from helpers.training import models
from helpers.training.shapes import config_of

ROOT = Path(__file__).parents[2]
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's choices of max_lora_rank; newer versions have 1, too
NOTE = b"note: "  # prefix of lines meant for the user


def respond(
    requests: Sequence[Request],
    base_model: str,
    adapters: str | Path,
    tensor_parallel: int = 1,
    data_parallel: int = 1,
    merged: bool = False,
    options: dict[str, Any] | None = None,
) -> Iterator[tuple[int, Response]]:
    """The vLLM engine: each request's number and response, as they finish.

    Adapters are served through LoRARequest or, if `merged`, each as a copy of the model with its own engine.
    A full fine-tune always has its own engine, and so has the base model on a CPU. `options` go to vllm.LLM
    (gpu_memory_utilization, ...). RuntimeError, with the end of the log, where an engine dies.
    """
    groups: dict[tuple[str, bool, bool], list[dict[str, Any]]] = {}
    on_cpu = not torch.cuda.is_available()
    for i, request in enumerate(requests):
        run = Path(adapters) / run_of(request.condition, request.seed)
        trained, lora = not parse(request.condition).is_base, (run / "adapter_config.json").exists()
        served = trained and lora and not merged
        model = str(run) if trained and not served else str(base_model)
        entry = asdict(request) | {"number": i, "adapter": str(run) if served else None}
        # vLLM 0.32 on a CPU also applies the adapter to base-model requests in the same batch (vllm#48421)
        groups.setdefault((model, trained and lora and merged, served and on_cpu), []).append(entry)
    for (model, merge, _), part in groups.items():
        with tempfile.TemporaryDirectory() as copy:
            if merge:
                merge_adapter(str(base_model), model, copy)
            job = {"model": copy if merge else model, "tensor_parallel": tensor_parallel}
            yield from _share(part, job | {"options": options or {}}, tensor_parallel, data_parallel)


def merge_adapter(base_model: str, adapter: str, folder: str) -> None:
    """Write the base model with a LoRA adapter merged into it, and its tokenizer."""
    from peft import PeftModel

    model, tokenizer = models.load(base_model)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _share(
    part: list[dict[str, Any]], job: dict[str, Any], tensor_parallel: int, data_parallel: int
) -> Iterator[tuple[int, Response]]:
    """Responses of `data_parallel` processes, each with every n-th request, as they finish."""
    shares = [s for k in range(data_parallel) if (s := part[k::data_parallel])]
    lines: queue.Queue[bytes | None] = queue.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes, logs = [], []
        for k, share in enumerate(shares):
            path, log = Path(folder, f"{k}.json"), Path(folder, f"{k}.log")
            path.write_text(json.dumps(job | {"requests": share}))
            logs.append(log)
            with log.open("wb") as file:
                command = [
                    sys.executable,
                    "-m",
                    "helpers.evaluation.vllm_engine",
                    str(path),
                    str(os.getpid()),
                ]
                environment = _environment(k, tensor_parallel, data_parallel)
                processes.append(
                    subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, env=environment)
                )
        for process in processes:
            threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
        try:
            running = len(processes)
            while running:
                line = lines.get()
                if line is None:
                    running -= 1
                elif line.startswith(b"{"):
                    row = json.loads(line)
                    yield row.pop("number"), Response(**row)
                elif line.startswith(NOTE):
                    print(line.removeprefix(NOTE).decode().strip())
            for process, log in zip(processes, logs, strict=True):
                if process.wait() != 0:
                    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                    raise RuntimeError(f"vLLM ended with status {process.returncode}:\n{tail}")
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _listen(process: subprocess.Popen, lines: queue.Queue[bytes | None]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def _environment(k: int, tensor_parallel: int, data_parallel: int) -> dict[str, str]:
    """The environment of process k, with its own GPUs if there are several processes."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    found = os.environ | {"PYTHONPATH": path}
    if data_parallel > 1 and found.get("VLLM_TARGET_DEVICE") != "cpu":
        devices = found.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if devices == [""]:
            devices = [str(i) for i in range(tensor_parallel * data_parallel)]
        found["CUDA_VISIBLE_DEVICES"] = ",".join(devices[k * tensor_parallel : (k + 1) * tensor_parallel])
    return found


def engine_arguments(job: dict[str, Any], longest: int, ranks: Sequence[int]) -> dict[str, Any]:
    """The arguments of vllm.LLM for a job whose longest prompt and response together have `longest` tokens.

    By default vLLM halves the precision of fp32 weights, even on a CPU.
    """
    found = {
        "model": job["model"],
        "skip_tokenizer_init": True,
        "tensor_parallel_size": job["tensor_parallel"],
        "max_model_len": longest,
        "dtype": "auto" if torch.cuda.is_available() else "float32",
        "trust_remote_code": False,
        "disable_log_stats": True,
        "seed": 0,
    }
    if ranks:
        found |= {"enable_lora": True, "max_lora_rank": max_lora_rank(ranks)}
        found |= {"max_loras": min(len(ranks), 8)}
    return found | job["options"]


def max_lora_rank(ranks: Sequence[int]) -> int:
    """The smallest `max_lora_rank` that vLLM accepts for adapters of these ranks (its default is 16)."""
    if max(ranks) > RANKS[-1]:
        raise ValueError(
            f"vLLM serves LoRA adapters up to rank {RANKS[-1]}, not {max(ranks)}: merge the adapter into the "
            f"model, or train with a lower lora_rank"
        )
    return next(rank for rank in RANKS if rank >= max(ranks))


def work(job: dict[str, Any], answers: Any) -> None:
    """Run one engine and write each finished response as a line of JSON; what a child process does."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import RequestOutputKind

    requests = job["requests"]
    tokenizer = models.tokenizer_of(job["model"])
    texts = [
        models.prompt_text(tokenizer, r["prompt"], r["system"], r["shots"]) + r["opening"] for r in requests
    ]
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    adapters = sorted({r["adapter"] for r in requests if r["adapter"]})
    ranks = [json.loads(Path(a, "adapter_config.json").read_text())["r"] for a in adapters]
    asked, limit = [r["max_new_tokens"] for r in requests], positions(config_of(job["model"]))
    limits = [rooms([len(p)], wish, limit)[0] for p, wish in zip(prompts, asked, strict=True)]
    if line := capped(limits, asked, limit):
        answers.write(NOTE + line.encode() + b"\n")

    def answer(number: int, ids: Sequence[int], finished: bool) -> None:
        text = tokenizer.decode(ids, skip_special_tokens=False)
        row = {"number": number, "text": text, "tokens": len(ids), "finished": finished}
        answers.write(json.dumps(row).encode() + b"\n")
        answers.flush()

    longest = max((len(p) + n for p, n in zip(prompts, limits, strict=True) if n), default=0)
    engine = LLM(**engine_arguments(job, longest, ranks)).llm_engine if longest else None
    ends = models.end_tokens(tokenizer, models.generation_settings(job["model"]))
    for r, ids, room in zip(requests, prompts, limits, strict=True):
        if not room:
            answer(r["number"], [], False)
            continue
        lora = (
            LoRARequest(r["adapter"], adapters.index(r["adapter"]) + 1, r["adapter"])
            if r["adapter"]
            else None
        )
        sampling = SamplingParams(
            temperature=r["temperature"],
            max_tokens=room,
            seed=r["sample_seed"] if r["temperature"] > 0 else None,
            stop_token_ids=sorted(ends),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        engine.add_request(str(r["number"]), {"prompt_token_ids": ids}, sampling, lora_request=lora)
    while engine and engine.has_unfinished_requests():
        for output in engine.step():
            if output.finished:
                ids = list(output.outputs[0].token_ids)
                finished = output.outputs[0].finish_reason == "stop"
                ended = finished and ids and ids[-1] in ends
                answer(int(output.request_id), ids[:-1] if ended else ids, finished)


if __name__ == "__main__":
    from helpers.processes import die_with_parent

    die_with_parent(int(sys.argv[2]))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # vLLM's own output goes to the log
    work(json.loads(Path(sys.argv[1]).read_text()), out)

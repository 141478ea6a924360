"""Training in several processes through `accelerate launch`, and the progress that a training shows.

    run(Job("Qwen/Qwen2.5-32B-Instruct", ...), processes=8, sharding="fsdp2")   # as finetune.train

The configurations are notebooks/accelerate/{ddp,fsdp2,zero3}.yaml: the whole model on every GPU, or its
weights, gradients and optimiser state in shards, by torch or by DeepSpeed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import deque
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from helpers.conditions import nearest
from helpers.processes import die_with_parent

if TYPE_CHECKING:
    from helpers.training.finetune import Job


def tokens_by_step(lengths: list[int], batch_size: int) -> list[int]:
    """How many tokens have been seen after each step (entry 0: before the first)."""
    batches = [sum(lengths[k : k + batch_size]) for k in range(0, len(lengths), batch_size)]
    return [0, *accumulate(batches)]


class Live(TrainerCallback):
    """Shows step, loss, tokens per second and time left every few seconds.

    `tokens` comes from `tokens_by_step`: padding does not count as throughput.
    """

    def __init__(self, label: str, tokens: list[int], every: float = 10.0) -> None:
        self.label, self.tokens, self.every = label, tokens, every
        self.place = Place()

    def on_train_begin(self, args, state, control, **kwargs):
        self.started = self.shown = time.monotonic()
        self.first = state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        late = time.monotonic() - self.shown > self.every
        if state.is_world_process_zero and logs and "loss" in logs and late:
            self.shown, line = time.monotonic(), self.line(state, logs["loss"])
            self.place.show(line, picture(line, state.log_history) if in_notebook() else None)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.place.show(self.line(state, None))

    def line(self, state, loss: float | None) -> str:
        """The state of the training as one line; without a loss, the summary at its end."""
        passed = time.monotonic() - self.started
        rate = (self.tokens[state.global_step] - self.tokens[self.first]) / max(passed, 1e-9)
        if loss is None:
            return f"{self.label}: {state.global_step} steps in {passed:.0f} s, {rate:,.0f} tokens/s"
        left = (self.tokens[-1] - self.tokens[state.global_step]) / max(rate, 1e-9)
        at = f"{self.label}: step {state.global_step}/{state.max_steps}, loss {loss:.3f}"
        return f"{at}, {rate:,.0f} tokens/s, {left:.0f} s left"


class Place:
    """A notebook output that is updated in place; outside a notebook, printed lines."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, line: str, png: bytes | None = None) -> None:
        if not in_notebook():
            print(line, flush=True)
            return
        from IPython.display import display

        data = {"text/plain": line} | ({"image/png": b64encode(png).decode()} if png else {})
        if self.handle:
            self.handle.update(data, raw=True)
        else:
            self.handle = display(data, raw=True, display_id=True)


def in_notebook() -> bool:
    """Whether this is a notebook kernel, whose outputs can be updated."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def picture(title: str, history: list[dict]) -> bytes:
    """The loss so far as a PNG."""
    from matplotlib.figure import Figure

    rows = [(row["step"], row["loss"]) for row in history if "loss" in row]
    figure = Figure(figsize=(6, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*rows, strict=True))
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.set_title(title, fontsize=9, loc="left")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()


ROOT = Path(__file__).parents[2]
CONFIGURATIONS = ROOT / "notebooks" / "accelerate"


def command(job_file: str | Path, processes: int, sharding: str, *options: str) -> list[str]:
    """The command that trains a job in several processes; ValueError for an unknown sharding."""
    known = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
    if sharding not in known:
        raise ValueError(f"sharding: {sharding!r} has no configuration{nearest(sharding, known)}")
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(CONFIGURATIONS / f"{sharding}.yaml")),
        *("--num_processes", str(processes), "--main_process_port", "0", *options),
        *("--module", "helpers.training.launch", str(job_file)),
    ]


def run(job: Job, processes: int, sharding: str, *options: str) -> dict[str, Any]:
    """Train a job in several processes; returns the record that they wrote.

    Their progress is shown in one place. If they fail, RuntimeError has the end of what they printed; the
    next run resumes from the last complete checkpoint. `options` go to accelerate.
    """
    names = ("arm", "folder", "base_model") if Path(job.base_model).is_dir() else ("arm", "folder")
    job = replace(job, **{name: str(Path(getattr(job, name)).resolve()) for name in names})
    place, said = Place(), deque(maxlen=40)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.json")
        file.write_text(json.dumps(asdict(job)))
        process = subprocess.Popen(
            command(file, processes, sharding, *options), cwd=ROOT, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        )  # fmt: skip
        for line in process.stdout or ():
            said.append(line)
            if line.startswith(f"{job.condition}: "):
                place.show(line.rstrip())
        if process.wait():
            raise RuntimeError(f"training in {processes} processes failed:\n{''.join(said)}")
    return json.loads(Path(job.folder, "training.json").read_text())


if __name__ == "__main__":
    die_with_parent(os.getppid())
    # imported late: first make sure that this process ends with its parent
    from torch.distributed.elastic.multiprocessing.errors import record

    from helpers.training.finetune import Job, train

    # prints the error last, after the launcher's own traceback
    record(train)(Job(**json.loads(Path(sys.argv[1]).read_text())))

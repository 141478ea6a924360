"""Training in several processes: `accelerate launch` as a subprocess, with a configuration that ships here.

    run({"base_model": "Qwen/Qwen2.5-32B-Instruct", ...}, processes=8, sharding="fsdp2")   # as training.train

The configurations are notebooks/accelerate/{ddp,fsdp2,zero3}.yaml: the whole model on every GPU, or its
weights, gradients and optimiser in shards, by torch or by DeepSpeed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from helpers.live import Place
from helpers.names import nearest
from helpers.processes import die_with_parent

ROOT = Path(__file__).parents[1]
CONFIGURATIONS = ROOT / "notebooks" / "accelerate"


def command(job_file: str | Path, processes: int, sharding: str, *options: str) -> list[str]:
    """The command that trains a job in several processes; ValueError for a sharding that has no file."""
    known = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
    if sharding not in known:
        raise ValueError(f"sharding: {sharding!r} has no configuration{nearest(sharding, known)}")
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(CONFIGURATIONS / f"{sharding}.yaml")),
        *("--num_processes", str(processes), "--main_process_port", "0", *options),
        *("--module", "helpers.launch", str(job_file)),
    ]


def run(job: dict[str, Any], processes: int, sharding: str, *options: str) -> dict[str, Any]:
    """Train a job (arguments of `training.train`) in several processes; the record that they wrote.

    What they tell of their progress is shown in one place. RuntimeError with the end of what they printed
    where they fail; a run after that goes on from the last whole checkpoint. `options` go to accelerate.
    """
    job = job | {key: str(Path(job[key]).resolve()) for key in ("arm", "folder")}
    if Path(job["base_model"]).is_dir():
        job["base_model"] = str(Path(job["base_model"]).resolve())
    place, said = Place(), deque(maxlen=40)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.json")
        file.write_text(json.dumps(job))
        process = subprocess.Popen(
            command(file, processes, sharding, *options), cwd=ROOT, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        )  # fmt: skip
        for line in process.stdout or ():
            said.append(line)
            if line.startswith(f"{job['condition']}: "):
                place.show(line.rstrip())
        if process.wait():
            raise RuntimeError(f"training in {processes} processes failed:\n{''.join(said)}")
    return json.loads(Path(job["folder"], "training.json").read_text())


if __name__ == "__main__":
    die_with_parent(os.getppid())
    # after the process is sure to end with the one that started it
    from torch.distributed.elastic.multiprocessing.errors import record

    from helpers.training import train

    # what is recorded stands at the end of all that is printed, after the launcher's own trace
    record(train)(**json.loads(Path(sys.argv[1]).read_text()))

"""Training in several processes through `accelerate launch`.

    run(Job("Qwen/Qwen2.5-32B-Instruct", ...), processes=8, sharding="fsdp2")   # as finetune.train

The configurations are notebooks/accelerate/{ddp,fsdp2,zero3}.yaml: the whole model on every GPU, or its
weights, gradients and optimiser state in shards, by torch or by DeepSpeed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.conditions import nearest
from helpers.processes import Place, child, die_with_parent

if TYPE_CHECKING:
    from helpers.training.finetune import Job


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
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        with child(command(file, processes, sharding, *options), cwd=ROOT, **pipes) as process:
            for line in process.stdout or ():
                said.append(line)
                if line.startswith(f"{job.condition}: "):
                    place.show(line.rstrip())
            process.wait()
        if process.returncode:
            raise RuntimeError(f"training in {processes} processes failed:\n{''.join(said)}")
    return json.loads(Path(job.folder, "training.json").read_text())


if __name__ == "__main__":
    die_with_parent(os.getppid())
    # imported late: first make sure that this process ends with its parent
    from torch.distributed.elastic.multiprocessing.errors import record

    from helpers.training.finetune import Job, train

    # prints the error last, after the launcher's own traceback
    record(train)(Job(**json.loads(Path(sys.argv[1]).read_text())))

"""GPUs: what data sheets say of them, which ones are here, and holding some for a job.

    GPUS["h200"]              # Gpu(memory=141, tflops=989, precision="bf16")
    with held(2) as names:    # "0,3", for CUDA_VISIBLE_DEVICES; held exclusively until the block ends

Snakemake counts GPUs without saying which, so each has a lock file, which is released with its holder. In a
Slurm job all visible GPUs are the job's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.conditions import nearest

LOCKS = Path(tempfile.gettempdir(), f"gpus-{os.getuid()}")


@dataclass(frozen=True)
class Gpu:
    """Memory in GB (10^9 bytes), dense TFLOP/s in `precision` with fp32 sums; both from the data sheet."""

    memory: float
    tflops: float
    precision: str = "bf16"


GPUS = {
    "t4": Gpu(16, 65, "fp16"),
    "v100": Gpu(32, 125, "fp16"),
    "l4": Gpu(24, 121),
    "a10": Gpu(24, 125),
    "rtx-3090": Gpu(24, 71),
    "rtx-4090": Gpu(24, 165),
    "a100-40": Gpu(40, 312),
    "rtx-a6000": Gpu(48, 155),
    "l40s": Gpu(48, 362),
    "a100-80": Gpu(80, 312),
    "h100": Gpu(80, 989),
    "h200": Gpu(141, 989),
    "b200": Gpu(180, 2250),
}


def visible() -> list[str]:
    """The GPUs that may be used: those in CUDA_VISIBLE_DEVICES, otherwise all that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(i) for i, line in enumerate(x for x in listed.splitlines() if x.startswith("GPU "))]


@contextlib.contextmanager
def held(count: int, folder: Path = LOCKS, patience: float = 24 * 3600) -> Iterator[str]:
    """Hold `count` GPUs, waiting until they are free; yields their names, separated by commas.

    ValueError where the machine has fewer, or after `patience` seconds.
    """
    names = visible()
    if count > len(names):
        raise ValueError(
            f"{count} GPUs are asked for and {len(names)} are here: set gpus in the recipe's section of "
            f"notebook 03, 0 for the processor"
        )
    if "SLURM_JOB_ID" in os.environ:
        yield ",".join(names)
        return
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        while True:
            mine: list[str] = []
            for name in names:
                if len(mine) == count:
                    break
                with contextlib.suppress(Timeout):
                    stack.enter_context(FileLock(folder / name, timeout=0))
                    mine.append(name)
            if len(mine) == count:
                break
            stack.close()
            if time.monotonic() > deadline:
                raise ValueError(f"no {count} GPUs came free: other jobs hold them (locks in {folder})")
            time.sleep(0.5)
        yield ",".join(mine)


def machine(name: str) -> Gpu:
    """A GPU of the table, or this machine for "". A CPU trains in fp32 and has no rate (nan).

    ValueError names the closest GPU of the table.
    """
    if name and name not in GPUS:
        raise ValueError(f"gpu: {name!r} is not in the table{nearest(name, GPUS)}")
    if name:
        return GPUS[name]
    import torch

    if not torch.cuda.is_available():
        return Gpu(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, float("nan"), "fp32")
    found = torch.cuda.get_device_properties(0)
    known = next((gpu for key, gpu in GPUS.items() if is_named(key, found.name, found.total_memory)), None)
    precision = "bf16" if (found.major, found.minor) >= (8, 0) else "fp16"
    return Gpu(found.total_memory / 1e9, known.tflops if known else float("nan"), precision)


def is_named(key: str, name: str, memory: float) -> bool:
    """Whether the driver's name and memory (bytes) are those of this entry of the table."""
    words = re.split("[^a-z0-9]+", name.lower())
    model = [part for part in key.split("-") if part not in ("40", "80")]
    return all(part in words for part in model) and memory < GPUS[key].memory * 1.1e9

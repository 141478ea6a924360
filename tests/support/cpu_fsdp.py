"""The worker of launch.py with FSDP2 on the processor, for tests: `accelerate` admits it on GPUs alone.

torch's FSDP2 runs on a processor with gloo; the one thing changed is that accelerate takes the processes for
such of an accelerator, with the processor as their device. All that follows is the code that runs on GPUs.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import state

from helpers.processes import die_with_parent


def backend(self, *arguments, **options):
    return "gloo", state.DistributedType.MULTI_XPU


def device(self):
    self.device = torch.device("cpu")


if __name__ == "__main__":
    die_with_parent(os.getppid())
    torch.distributed.init_process_group("gloo")
    state.PartialState._prepare_backend = backend
    state.PartialState.set_device = device
    from helpers.training.finetune import Job, train

    train(Job(**json.loads(Path(sys.argv[1]).read_text())))

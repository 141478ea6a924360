"""What the chain's processes start with, and with whom they end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have Linux kill this process when its parent ends; elsewhere only Ctrl-C stops the whole chain.

    `parent` is the process that it was started by, which may have ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        sys.exit("the chain has ended")


def quiet_environment(threads: int) -> None:
    """What a kernel inherits: its number of threads, no progress bars, this very Python."""
    kernels = [str(Path(sys.prefix, "share", "jupyter")), os.environ.get("JUPYTER_PATH", "")]
    os.environ |= {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "JUPYTER_PATH": os.pathsep.join(filter(None, kernels)),
    }


def socket_folder() -> tempfile.TemporaryDirectory:
    """A folder for sockets, whose names the system limits to 107 bytes: in /tmp where TMPDIR is too long."""
    usual = tempfile.gettempdir()
    return tempfile.TemporaryDirectory(dir=usual if len(os.fsencode(usual)) < 70 else "/tmp")

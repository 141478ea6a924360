"""Child processes: their environment, ending them with their parent, and one place to show their progress."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have Linux kill this process when its parent ends; on other systems only Ctrl-C ends all of them.

    `parent` is the id of the process that started this one; it may have ended before this call.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see interrupt_later
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        sys.exit("the chain has ended")


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back while a process is started: Python prints and forgets one that comes as it forks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """A process that ends with this one; an exception, above all Ctrl-C, kills it and what it started."""

    def kill(error: type[BaseException] | None, *_: object) -> None:
        if error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    with contextlib.ExitStack() as ending:
        with interrupt_later():
            process = subprocess.Popen(
                command, text=True, start_new_session=True, preexec_fn=die_with_parent, **options
            )
            ending.push(kill)
        yield process


def quiet_environment(threads: int) -> None:
    """Set what a kernel inherits: number of threads, no progress bars, kernels of this Python."""
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
    """A folder for sockets, whose paths may have 107 bytes: in /tmp where TMPDIR is too long."""
    usual = tempfile.gettempdir()
    return tempfile.TemporaryDirectory(dir=usual if len(os.fsencode(usual)) < 70 else "/tmp")


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

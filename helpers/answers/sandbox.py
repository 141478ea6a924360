"""A sandbox for programs written by a model: what they print, and how they end.

    run("print(int(input()) + 1)", stdin="41\\n")  -> Outcome(status="ok", output="42\\n", error="")

A program sees an empty file system with the system's libraries and this Python's, read-only, and a small
/tmp; no network, no other process, none of the user's environment variables. Processor time, memory,
processes, files and output are limited. It is built with bubblewrap if that is installed and works, otherwise
with user namespaces through util-linux; where neither works, `run` refuses. What a program prints is never
taken for a verdict: the expected answers stay outside (evaluation/programs.py). Packages beyond the standard
library are there only if their folders are named. Not covered: kernel bugs.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
PROCESSES = 16
FILES = 64 << 20  # bytes in /tmp altogether
OUTPUT = 8 << 20  # bytes of output; the rest is not read and the program is stopped
PATIENCE = 10  # wall-clock seconds per second of processor time, as the machine may be busy
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/alternatives", "/etc/ld.so.cache")
DEVICES = ("null", "zero", "random", "urandom")

# Runs inside, before the program: lowers the limits for good, then becomes the program. As LiveCodeBench's
# runner does, it gives the program the names of the usual modules and a deep recursion. They are there as
# globals, not as lines before the program, which may have to begin with `from __future__`.
DRIVER = """
import builtins, json, os, resource, runpy, sys
seconds, memory, processes, files, entry, modules = json.loads(sys.argv[1])
sys.argv = ["main.py"]
for name, value in [("CPU", seconds), ("AS", memory), ("NPROC", processes), ("FSIZE", files),
                    ("CORE", 0), ("NOFILE", 256)]:
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value + (name == "CPU")))
most = resource.getrlimit(resource.RLIMIT_STACK)[1]
stack = 120 << 20 if most == resource.RLIM_INFINITY else min(120 << 20, most)
resource.setrlimit(resource.RLIMIT_STACK, (stack, most))
sys.setrecursionlimit(50000)
builtins.exit = builtins.quit = sys.exit
names = {}
for module in modules.split():
    exec("from " + module + " import *\\nimport " + module, names)
exec("from builtins import *", names)
del names["__builtins__"]
try:
    open("/proc/self/oom_score_adj", "w").write("1000")
except OSError:
    pass
if entry is None:
    runpy.run_path("/program/main.py", names, "__main__")
else:
    answers = os.dup(1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    arguments = [json.loads(line) for line in sys.stdin.read().split("\\n") if line.strip()]
    found = runpy.run_path("/program/main.py", names, "program")
    owner = found["Solution"]() if "Solution" in found else None
    result = (getattr(owner, entry) if owner is not None else found[entry])(*arguments)
    os.write(answers, json.dumps(result).encode())
"""
MODULES = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io "
    "sys json typing"
)

# Gives up what it still may do. Root becomes nobody: the kernel does not limit root's processes.
POWERLESS = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
AS_NOBODY = [*POWERLESS, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

# $1 new root, $2 the program's folder, $3 bytes of /tmp, then the folders to show, "--", the command.
NAMESPACES = """
set -e
root=$1 program=$2 size=$3
shift 3
mount -t tmpfs -o mode=755,size=1m tmpfs "$root"
cd "$root"
mkdir -p proc dev tmp program old
mount -t tmpfs -o mode=777,size=$size tmpfs tmp  # before the folders, which may be below /tmp
while [ "$1" != "--" ]; do
  if [ -L "$1" ]; then
    ln -s "$(readlink "$1")" ".$1"
  elif [ -d "$1" ]; then
    mkdir -p ".$1" && mount --rbind "$1" ".$1" && mount -o remount,bind,ro ".$1"
  elif [ -e "$1" ]; then
    mkdir -p ".$(dirname "$1")" && : > ".$1" && mount --bind "$1" ".$1"
  fi
  shift
done
shift
mount --bind "$program" program && mount -o remount,bind,ro program
mount -t proc proc proc
mount -o remount,bind,ro "$root"
pivot_root . old
umount -l /old
cd /tmp
code=0
"$@" || code=$?  # this shell stays: when it ends, or is killed from outside, nothing in here is left
exit $code
"""


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it printed.

    `status` is "ok" (exit status 0), "error", "timeout" (of processor time, or of patience) or "output" (it
    printed more than OUTPUT bytes). `error` is the end of its standard error.
    """

    status: str
    output: str
    error: str


def run(
    program: str,
    stdin: str = "",
    entry: str | None = None,
    seconds: int = 6,
    memory: int = 1 << 30,
    packages: Sequence[str] = (),
) -> Outcome:
    """Run a program on an input; with `entry`, call that function with one JSON argument per line.

    `seconds` of processor time and `memory` in bytes apply to each of its processes, PROCESSES at most.
    `packages` are further folders that it sees. RuntimeError where no sandbox is available.
    """
    return _run(how(), program, stdin, entry, seconds, memory, packages)


@functools.cache
def how() -> str:
    """ "bubblewrap" or "namespaces", whichever works here; RuntimeError if neither does."""
    probe = (
        "import os\nothers = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "print(os.listdir('/program'), os.path.exists('/etc/passwd'), len(others) < 10)"
    )
    for candidate, tool in (("bubblewrap", "bwrap"), ("namespaces", "unshare")):
        if sys.platform == "linux" and shutil.which(tool):
            outcome = _run(candidate, probe, "", None, 20, 1 << 30)
            if (outcome.status, outcome.output) == ("ok", "['main.py'] False True\n"):
                return candidate
    raise RuntimeError(
        "code that a model wrote is not run without a sandbox, and none works here: install bubblewrap, "
        "or allow unprivileged user namespaces (Linux), or leave out code and reasoning-gym"
    )


def _run(
    candidate: str, program: str, stdin: str, entry: str | None, seconds: int, memory: int,
    packages: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """`run` in the given kind of sandbox."""
    import json

    limits = json.dumps([seconds, memory, PROCESSES, FILES, entry, MODULES])
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        paths = [Path(folder, name) for name in ("program", "root")]
        for path in (Path(folder), *paths):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        (paths[0] / "main.py").write_text(program, encoding="utf-8", errors="replace")
        (paths[0] / "main.py").chmod(0o644)
        command = (_bubblewrap if candidate == "bubblewrap" else _namespaces)(*paths, shown(packages))
        command += AS_NOBODY if os.geteuid() == 0 else POWERLESS
        command += [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", DRIVER, limits]
        return _watch(command, stdin.encode(errors="replace"), PATIENCE * seconds)


def shown(packages: Sequence[str] = ()) -> list[str]:
    """The folders and files that a program sees, read-only: the system's, this Python's, those of packages.

    Links of the system stay links.
    """
    own = ["/usr"]
    for path in (sys.base_prefix, *packages):
        if not any(Path(path).resolve().is_relative_to(other) for other in own):
            own.append(os.path.realpath(path))
    return [path for path in (*SYSTEM, *own[1:]) if os.path.lexists(path)]


def _bubblewrap(program: Path, root: Path, folders: list[str]) -> list[str]:
    spaces = ["ipc", "pid", "net", "uts", "cgroup-try", *([] if os.geteuid() == 0 else ["user"])]
    command = ["bwrap", *(f"--unshare-{space}" for space in spaces), "--die-with-parent", "--new-session"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--perms", "1777", "--size", str(FILES), "--tmpfs", "/tmp"]  # some folders may be below it
    for path in folders:
        for parent in reversed(Path(path).parents[:-1]):
            command += ["--perms", "0755", "--dir", str(parent)]
        kind = ["--symlink", os.readlink(path)] if os.path.islink(path) else ["--ro-bind", path]
        command += [*kind, path]
    command += ["--ro-bind", str(program), "/program", "--chdir", "/tmp", "--remount-ro", "/"]
    needed = ("SETUID", "SETGID", "SETPCAP") if os.geteuid() == 0 else ()  # only to become nobody
    return [*command, "--cap-drop", "ALL", *(x for n in needed for x in ("--cap-add", f"CAP_{n}")), "--"]


def _namespaces(program: Path, root: Path, folders: list[str]) -> list[str]:
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    unshare += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare += ["--net", "--ipc", "--uts", "--cgroup", "sh", "-c", NAMESPACES, "sandbox"]
    devices = [f"/dev/{name}" for name in DEVICES]
    return [*unshare, str(root), str(program), str(FILES), *folders, *devices, "--"]


def _watch(command: list[str], stdin: bytes, patience: float) -> Outcome:
    """Run a command until it ends or reaches a limit; nothing that it started is left."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],  # it ends when this process does, however that ends
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        try:
            texts, reason = _read(process, patience)
        finally:
            process.kill()  # which ends everything in its namespace
            code = process.wait()
    output, error = (text.decode(errors="replace") for text in texts)
    cpu = code in (128 + 24, 128 + 9, -24, -9) and not reason  # SIGXCPU, or SIGKILL at the hard limit
    status = reason or ("timeout" if cpu else "ok" if code == 0 else "error")
    return Outcome(status, output, error[-2000:])


def _read(process: subprocess.Popen, patience: float) -> tuple[list[bytes], str]:
    """What a process writes to both outputs, and why it was stopped: "", "timeout" or "output"."""
    pipes = [process.stdout, process.stderr]
    texts = [bytearray(), bytearray()]
    deadline, open_pipes = time.monotonic() + patience, list(pipes)
    reason = ""
    while open_pipes and not reason:
        ready = select.select(open_pipes, [], [], max(0.0, deadline - time.monotonic()))[0]
        reason = "" if ready else "timeout"
        for pipe in ready:
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                open_pipes.remove(pipe)
            texts[pipes.index(pipe)] += chunk
        if sum(map(len, texts)) > OUTPUT:
            reason = "output"
    for pipe in pipes:
        pipe.close()
    if not reason:
        try:
            process.wait(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            reason = "timeout"
    return [bytes(text[:OUTPUT]) for text in texts], reason

"""Warm starts: one process imports what the chain's jobs need, once, and is forked for each of them.

A job is papermill and a kernel with torch, transformers, peft and TRL: ten seconds of imports and more on a
core of a laptop, eighty times over, for a fine-tune of a minute.

    with serving() as variables: ...                         # in the chain, which hands them to its jobs
    run("helpers.workflow.chain:forked_notebook", [output, values])   # in a job; a fork's exit status

Every fork ends with who asked for it and with the server, and the server ends with the chain.
Not covered: GPUs (a driver does not survive a fork) and systems other than Linux. There, and where no server
answers, a job starts by itself.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from helpers.processes import die_with_parent, quiet_environment, socket_folder

ADDRESS = "WARM_STARTS"  # the environment variable with the path of the server's socket
LONGEST = 1 << 20  # bytes of a request
ALWAYS = ("papermill", "ipykernel.kernelapp", "helpers.workflow.chain", "helpers.workflow.warm_kernel")


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Hold a server; yields the environment variable by which jobs find it, nothing where there is none."""
    with socket_folder() as folder:
        path = str(Path(folder, "socket"))
        if sys.platform != "linux":
            yield {}
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            listener.listen(64)
            server = subprocess.Popen(
                [sys.executable, "-m", "helpers.workflow.warm", str(listener.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            yield {ADDRESS: path}
        finally:
            server.kill()
            server.wait()


class Fork:
    """A fork that was asked for, with as much of subprocess.Popen as a kernel's manager needs.

    `call` is a function, "module:name", that finds `arguments` in sys.argv; its environment and folder are
    this process' unless others are given; `imports` are modules to be there before. OSError where no server
    answers.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        call: str,
        arguments: list[str],
        imports: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        environment = dict(os.environ) if environment is None else environment
        self.returncode: int | None = None
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.connect(os.environ.get(ADDRESS, ""))
        request = [call, arguments, list(imports), environment, folder or os.getcwd()]
        sys.stdout.flush()
        socket.send_fds(self.connection, [json.dumps(request).encode()], [1, 2])
        answer = self.connection.recv(64)
        if not answer:
            raise ConnectionError("the server of warm starts has ended")
        self.pid = int(answer)

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self.wait(timeout=0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status, once it has ended; None where that takes longer than so many seconds."""
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                answer = self.connection.recv(64)
            except (BlockingIOError, TimeoutError):
                return None
            self.returncode = int(answer) if answer else -signal.SIGKILL
            self.connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the fork, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(call: str, arguments: list[str]) -> int | None:
    """Have a fork call a function, with this process' output; its exit status, None without a server."""
    if ADDRESS not in os.environ:
        return None
    try:
        return Fork(call, arguments).wait()
    except OSError:
        return None


def imported(notebook: str | Path) -> list[str]:
    """The modules that a notebook's cells import at their top level, from the folder above it too."""
    found: list[str] = []
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        with contextlib.suppress(SyntaxError):  # a cell with magics
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(dict.fromkeys(found))


def serve(listener: socket.socket) -> None:
    """Fork for every request, tell its process id and, at the end, its exit status; for ever."""
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    pids: dict[socket.socket, int] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                connection, pid = key.fileobj, None
                with contextlib.suppress(OSError):  # no memory for a fork, say: no answer, and it starts cold
                    pid = forked(connection, listener)
                if pid is None:
                    ready.unregister(connection)
                    connection.close()
                    end(pids.get(connection))
                    continue
                pids[connection] = pid
                ready.register(os.pidfd_open(pid), selectors.EVENT_READ, connection)
                with contextlib.suppress(OSError):  # who asked is gone, which is seen next
                    connection.send(str(pid).encode())
            else:
                ready.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pids.pop(key.data), 0)
                with contextlib.suppress(OSError):
                    key.data.send(str(os.waitstatus_to_exitcode(status)).encode())


def end(pid: int | None) -> None:
    """Kill a fork with what it has started, if it runs."""
    for kill in (os.killpg, os.kill) if pid else ():  # it may not lead its group yet
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def forked(connection: socket.socket, listener: socket.socket) -> int | None:
    """The process id of a fork for the request on a connection; None where who asked is gone."""
    message, files, _, _ = socket.recv_fds(connection, LONGEST, 2)
    if not message:
        return None
    call, arguments, imports, environment, folder = json.loads(message)
    for name in (*ALWAYS, *imports):
        with contextlib.suppress(Exception):  # what fails here fails in the fork, where it is told
            importlib.import_module(name)
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        die_with_parent(server)
        listener.close()
        os.environ.clear()
        os.environ.update(environment)
        become(call, arguments, files, folder)
    for file in files:
        os.close(file)
    return pid


def become(call: str, arguments: list[str], files: list[int], folder: str) -> NoReturn:
    """Do in a fork what it was made for, then end with its exit status."""
    status = 1
    try:
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        sys.argv = [call, *arguments]
        module, _, function = call.partition(":")
        status = getattr(importlib.import_module(module), function)() or 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    quiet_environment(threads=1)  # before the imports, which read it
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # a kernel's
    # The thread is jemalloc's, in pyarrow, which takes care of forks itself.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    serve(socket.socket(fileno=int(sys.argv[1])))

"""Grading in worker processes that may be killed at any moment; no request is lost.

    grade([("\\\\frac{\\\\pi}{2}", "\\\\pi/2"), ("5", None)])  -> ["ok", "unparsed"]

A worker is `python -m helpers.answers.workers`: one JSON object per line in each direction. Its budget per
request is processor time, so a busy machine changes no verdict, and the kernel ends a process that exceeds
it, whatever it is doing. A worker that dies for another reason is replaced and its request repeated. (A
pool of processes would be shorter, but forks a process that may hold CUDA and threads or imports the caller's
script again, and Pebble's gave no more results once its workers were killed at random.)
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from helpers.answers.equality import compare, quick

ROOT = Path(__file__).parents[2]
MEMORY = 2 << 30  # bytes of address space
ATTEMPTS = 3
PATIENCE = 60  # wall-clock seconds per second of budget, in case a process only waits


def grade(
    pairs: Sequence[tuple[str, str | None]],
    tolerances: Sequence[float] | None = None,
    seconds: int = 5,
    workers: int | None = None,
) -> list[str]:
    """The verdict on each (reference, answer): ok, wrong, unparsed, timeout. An answer of None is unparsed.

    `seconds` is the processor time for one pair, `workers` the number of processes (default: all cores).
    Equal pairs are compared once, and no process is started unless one is needed.
    """
    keys = [(g, a, t) for (g, a), t in zip(pairs, tolerances or [0.0] * len(pairs), strict=True)]
    verdicts = {k: "unparsed" if k[1] is None else quick(*k) for k in keys}
    hard = [k for k, verdict in verdicts.items() if verdict is None]
    requests = [{"gold": g, "answer": a, "tolerance": t} for g, a, t in hard]
    verdicts |= zip(hard, replies(requests, seconds, workers), strict=True)
    return [verdicts[k] for k in keys]


def replies(requests: Sequence[dict[str, Any]], seconds: int = 5, workers: int | None = None) -> list[str]:
    """The reply to each request, in order: the result of `equality.compare`, or "timeout".

    "timeout" means that it took more than about `seconds` of processor time, filled MEMORY, or killed its
    worker ATTEMPTS times.
    """
    found: list[str] = [""] * len(requests)
    todo = iter(enumerate(requests))
    lock = threading.Lock()

    def serve() -> None:
        worker: subprocess.Popen | None = None
        try:
            while item := _take(todo, lock):
                found[item[0]], worker = _ask(worker, item[1], seconds)
        finally:
            _end(worker)

    count = min(workers or os.cpu_count() or 1, len(requests))
    threads = [threading.Thread(target=serve, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _take(todo: Iterator[Any], lock: threading.Lock) -> Any:
    with lock:
        return next(todo, None)


def _ask(
    worker: subprocess.Popen | None, request: dict[str, Any], seconds: int
) -> tuple[str, subprocess.Popen | None]:
    """The reply to one request, and the worker if it is still alive."""
    line = json.dumps(request | {"seconds": seconds}).encode() + b"\n"
    for _ in range(ATTEMPTS):
        worker = worker or _start()
        try:
            worker.stdin.write(line)
            worker.stdin.flush()
        except BrokenPipeError:
            _end(worker)
            worker = None
            continue
        if not select.select([worker.stdout], [], [], PATIENCE * seconds)[0]:
            _end(worker)
            return "timeout", None
        reply = worker.stdout.readline()
        if reply.endswith(b"\n"):
            return json.loads(reply), worker
        code = _end(worker)
        worker = None
        if code == -signal.SIGXCPU:
            return "timeout", None
    return "timeout", None


def _start() -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.answers.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"},
        cwd=ROOT,  # `-m` looks in the working directory first, which may hold other helpers
    )


def _end(worker: subprocess.Popen | None) -> int | None:
    """Kill a worker if it is alive; returns how it ended: minus a signal, or its exit status."""
    if worker is None:
        return None
    for pipe in (worker.stdin, worker.stdout):
        try:
            pipe.close()
        except BrokenPipeError:
            continue
    try:
        return worker.wait(timeout=0.2)  # if it is dead, this says how it died
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait()


def work() -> None:
    """Answer requests from standard input until it ends; the main loop of a worker."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing else gets between the replies
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, MEMORY)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        budget = int(used.ru_utime + used.ru_stime) + 1 + request.pop("seconds")
        limit(resource.RLIMIT_CPU, budget)
        try:
            reply = compare(**request)
        except MemoryError:
            reply = "timeout"
        except Exception:  # whatever a parser raises on a model's text
            reply = "unparsed"
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


def limit(what: int, value: int) -> None:
    """Lower one of this process's limits; ignored on systems that do not have it."""
    try:
        resource.setrlimit(what, (value, resource.getrlimit(what)[1]))
    except (ValueError, OSError):
        return


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    work()

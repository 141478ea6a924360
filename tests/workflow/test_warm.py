"""Warm starts: forks of one server, for jobs and for their kernels."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from helpers.processes import socket_folder
from helpers.workflow import chain, warm
from tests.support.notebooks import write_notebook

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every job starts by itself")


# What forks are asked to do; sys.argv has their arguments.


def greet():
    print("hello", *sys.argv[1:], os.environ["GREETING"], Path.cwd().name)


def seven():
    return 7


def leave():
    sys.exit("not today")


def fail():
    raise ValueError("no such thing")


def sleep():
    print(os.getpid(), flush=True)
    time.sleep(60)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with warm.serving() as variables:
        monkeypatch.setenv(warm.ADDRESS, variables[warm.ADDRESS])
        yield variables


def client(call: str, *arguments: str, **environment: str) -> subprocess.Popen:
    """A process that asks for a fork, as a job of the chain does."""
    script = "import sys; from helpers.workflow import warm; sys.exit(warm.run(sys.argv[1], sys.argv[2:]))"
    command = [sys.executable, "-c", script, f"tests.workflow.test_warm:{call}", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | environment, cwd=ROOT / "tests", **pipes)


def ends(pid: int) -> bool:
    """Whether a process is gone within ten seconds."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def test_a_fork_has_the_arguments_the_environment_the_folder_and_the_output_of_who_asked(server):
    made = [client("greet", name, GREETING=f"and {name}") for name in ("one", "two")]
    assert [p.communicate()[0] for p in made] == ["hello one and one tests\n", "hello two and two tests\n"]
    assert [p.returncode for p in made] == [0, 0]


def test_the_exit_status_is_the_fork_s(server):
    assert client("seven").wait() == 7
    failed = client("fail")
    assert "ValueError: no such thing" in failed.communicate()[1] and failed.returncode == 1
    left = client("leave")
    assert left.communicate()[1].strip() == "not today" and left.returncode == 1


def test_a_fork_ends_with_who_asked_for_it(server):
    asked = client("sleep")
    pid = int(asked.stdout.readline())
    asked.kill()
    assert ends(pid)
    assert client("seven").wait() == 7  # the server goes on


def test_forks_end_with_the_server_and_who_asked_hears_of_it(server):
    asked = client("sleep")
    pid = int(asked.stdout.readline())
    number = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(number, 9)
    assert ends(pid) and asked.wait(timeout=10) not in (0, None)
    assert warm.run("tests.workflow.test_warm:seven", []) is None  # and who asks now starts by itself


def test_without_a_server_nothing_is_forked(monkeypatch):
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    assert warm.run("tests.workflow.test_warm:seven", []) is None


def test_where_temporary_files_lie_deep_the_server_is_found_all_the_same(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with warm.serving() as variables:
        monkeypatch.setenv(warm.ADDRESS, variables[warm.ADDRESS])
        assert warm.run("tests.workflow.test_warm:seven", []) == 7


def test_what_a_notebook_imports_is_found(tmp_path):
    imports = "import json as j, os.path\nfrom helpers.data import puzzles\nif a:\n    import csv"
    cells = ("a = 1", imports, "%time a")
    found = warm.imported(write_notebook(tmp_path / "n.ipynb", *cells))
    assert found == ["json", "os.path", "helpers.data", "helpers.data.puzzles"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_starts_with_its_imports_and_shows_figures(server, tmp_path, monkeypatch, threads):
    """With two threads it starts by itself: how many there are is settled when torch is imported."""
    cells = (
        "threads = 1\noutput_dir = ''",
        "import sys\nprint('wave' in sys.modules)",
        "import wave\nimport matplotlib.pyplot as plt",
        "plt.plot([1, 2]);",
        "import os\nos.environ['OMP_NUM_THREADS']",
    )
    write_notebook(tmp_path / "notebooks" / "03_lora_training.ipynb", *cells)
    monkeypatch.chdir(tmp_path)
    output = Path("outputs/x/notebooks/03_lora_training.correct.s0.ipynb")
    assert chain.start_notebook(output, {"threads": threads}) == 0
    outputs = [c["outputs"] for c in json.loads(output.read_text())["cells"] if c["outputs"]]
    assert outputs[0][0]["text"] == [f"{threads == 1}\n"]
    assert "image/png" in outputs[1][-1]["data"]
    assert outputs[2][0]["data"]["text/plain"] == [f"'{threads}'"]


def test_sockets_have_short_names_where_tmpdir_is_long(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 60) / ("y" * 50)
    long.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with socket_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/kernel-1")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    with socket_folder() as folder:
        assert Path(folder).parent == Path("/tmp")

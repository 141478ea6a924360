"""The sandbox: honest programs pass, wrong ones fail, and no hostile one passes or gets out."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.answers import sandbox
from helpers.evaluation import programs
from tests.support import hostile

SECRET = "42170"
ADD = "a, b = map(int, input().split())\nprint(a + b)"
SOLUTION = """class Solution:
    def pick(self, xs: List[int], k: int) -> List[int]:
        return sorted(xs)[:k]
"""


def kinds() -> list[str]:
    """The kinds of sandbox that work on this machine."""
    found = []
    for kind in ("bubblewrap", "namespaces"):
        try:
            outcome = sandbox._run(kind, "print(1)", "", None, 20, 1 << 30)
        except OSError:
            continue
        found += [kind] if outcome.status == "ok" else []
    return found


KINDS = kinds()
needs_sandbox = pytest.mark.skipif(not KINDS, reason="neither bubblewrap nor user namespaces work here")


@pytest.fixture(params=KINDS or [None])
def kind(request, monkeypatch):
    """Each kind in turn, as the one that `run` takes."""
    monkeypatch.setattr(sandbox, "how", lambda: request.param)
    return request.param


@needs_sandbox
def test_an_honest_program_passes_and_a_wrong_one_fails(kind):
    tests = [{"input": "1 2\n", "output": "3\n"}, {"input": "20 22\n", "output": "42"}]
    assert programs.verdict(ADD, tests) == "ok"
    assert programs.verdict(ADD.replace("+", "-"), tests) == "wrong"
    assert programs.verdict("print(3)", tests) == "wrong"
    assert programs.verdict("this is no Python", tests) == "wrong"
    assert programs.verdict("raise SystemExit(3)", [{"input": "", "output": ""}]) == "wrong"


@needs_sandbox
def test_a_function_is_called_and_what_it_prints_is_not_its_result(kind):
    tests = [{"input": "[3, 1, 2]\n2", "output": "[1, 2]"}]
    assert programs.verdict(SOLUTION, tests, entry="pick") == "ok"
    printing = SOLUTION.replace("return", "print([1, 2]); return []  #")
    assert programs.verdict(printing, tests, entry="pick") == "wrong"
    assert programs.verdict("def pick(xs, k):\n    return sorted(xs)[:k]", tests, entry="pick") == "ok"
    assert programs.verdict(SOLUTION, tests, entry="missing") == "wrong"


@needs_sandbox
def test_a_program_sees_the_packages_that_are_named_and_cannot_change_them(kind, tmp_path):
    """Below /tmp as well, where the program has a folder of its own."""
    folder = str(tmp_path / "site")
    (tmp_path / "site" / "ours").mkdir(parents=True)
    (tmp_path / "site" / "ours" / "__init__.py").write_text("number = 42\n")
    program = (
        f"import sys\nsys.path.append({folder!r})\nopen('/tmp/mine', 'w').write('own')\n"
        "try:\n    import ours\n    print(ours.number)\n    open(ours.__file__, 'a')\n"
        "except (ImportError, OSError):\n    print('refused')\n"
    )
    assert sandbox.run(program).output == "refused\n"
    assert sandbox.run(program, packages=[folder]).output == "42\nrefused\n"


@needs_sandbox
def test_the_corpus_neither_passes_nor_gets_out(kind, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text(SECRET)
    os.chmod(canary, 0o666)
    with socket.socket() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        datagrams.bind(server.getsockname())
        datagrams.setblocking(False)
        port = server.getsockname()[1]
        head = f"CANARY = {str(canary)!r}\nPARENT = {os.getpid()}\nPORT = {port}\n"

        def attempt(program):
            return sandbox.run(head + program, "", None, seconds=1)

        with ThreadPoolExecutor(2) as pool:
            outcomes = dict(zip(hostile.PROGRAMS, pool.map(attempt, hostile.PROGRAMS.values()), strict=True))
        for reached in (server.accept, lambda: datagrams.recv(10)):
            with pytest.raises(BlockingIOError):
                reached()
    assert len(outcomes) >= 25
    assert canary.read_text() == SECRET
    passed = [n for n, o in outcomes.items() if o.status == "ok" and programs.same_output(o.output, SECRET)]
    assert passed == []
    assert [name for name, outcome in outcomes.items() if SECRET in outcome.output] == []
    bounds = {"a fork bomb": sandbox.PROCESSES, "threads": sandbox.PROCESSES, "a full disk": 65}
    for name, most in bounds.items():
        assert int(outcomes[name].output.split()[-1] if outcomes[name].output else 0) <= most, name
    expected = {"endless output": "output", "endless errors": "output", "an endless loop": "timeout"}
    expected |= {"an endless loop that ignores signals": "timeout", "endless sleep": "timeout"}
    assert {name: outcomes[name].status for name in expected} == expected
    for name in (
        "reading the list of users",
        "reading the canary",
        "a connection",
        "becoming root",
        "the old root",
    ):
        assert outcomes[name].status == "error", name
    assert "wrote" not in outcomes["writing the system"].output
    assert "read" not in outcomes["a symbolic link out"].output


@needs_sandbox
def test_nothing_is_left_running(kind):
    """Not even a program that is killed while it sleeps, whose user is another than the one that kills."""
    for name in ("a daemon that stays", "a fork bomb of forks", "endless sleep"):
        sandbox.run(hostile.PROGRAMS[name], seconds=1)
    assert inside() == []


@needs_sandbox
def test_a_sandbox_ends_with_the_process_that_started_it(kind):
    sleep = "import time; time.sleep(91)"
    code = f"from helpers.answers import sandbox\nsandbox._run({kind!r}, {sleep!r}, '', None, 60, 1 << 30)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    wait_until(lambda: inside())
    process.kill()
    process.wait()
    wait_until(lambda: not inside())


def inside() -> list[str]:
    """The ids of the processes in sandboxes: this Python, running the driver."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{process}/cmdline").read_text()
        except OSError:
            continue
        own = command.startswith(os.path.realpath(sys.executable))
        found += [process] if own and "/program/main.py" in command else []
    return found


def wait_until(true, patience: float = 60) -> None:
    """Return as soon as a condition holds; AssertionError if it does not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_without_a_sandbox_nothing_is_run(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox.how.cache_clear()
    with pytest.raises(RuntimeError, match="install bubblewrap"):
        programs.verdict("open('/tmp/ran', 'w')", [{"input": "", "output": ""}])
    sandbox.how.cache_clear()


def test_a_program_without_tests_is_not_right():
    with pytest.raises(ValueError, match="no test"):
        programs.verdict("print(1)", [])


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("3\n", "3", True),
        ("3 \n\n", "3\n", True),
        ("1.50", "1.5", True),
        ("15e-1", "1.5", True),
        ("1.51", "1.5", False),
        ("03", "3", False),
        ("1 2", "1\n2", False),
        ("", "3", False),
        ("nan", "1.5", False),
        ("9e999999999", "1.5", False),
    ],
)
def test_outputs_are_compared_line_by_line_and_numbers_exactly(printed, expected, same):
    assert programs.same_output(printed, expected) is same


def test_results_are_compared_in_value_and_kind():
    assert programs.same_result("[1, 2.0]", "[1, 2]")
    assert not programs.same_result("true", "1")
    assert not programs.same_result("[1]", "[1, 2]")
    assert not programs.same_result("[" * sys.getrecursionlimit() * 2, "1")


def test_the_last_block_of_code_is_the_answer():
    response = "First:\n```python\nprint(1)\n```\nno, rather\n```python\nprint(2)\n```\nDone."
    assert programs.extract_code(response) == "print(2)\n"
    assert programs.extract_code("```\nprint(3)") == "print(3)"
    assert programs.extract_code("no code") is None


def how_of(user: int | None) -> str:
    """What `how` finds in a process of its own that has no bubblewrap, as root or as another user."""
    tools = Path(tempfile.mkdtemp())  # not pytest's folder, which is its user's alone
    tools.chmod(0o755)
    (tools / "unshare").symlink_to(shutil.which("unshare"))
    code = "import sys; sys.path.insert(0, '.'); from helpers.answers import sandbox; print(sandbox.how())"
    python, become = sys.executable, []
    if user is not None:
        become = [shutil.which("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        candidates = filter(os.path.exists, ("/usr/bin/python3", python))
        runs = ([*become, candidate, "-c", ""] for candidate in candidates)
        usable = [run[-3] for run in runs if subprocess.run(run, capture_output=True).returncode == 0]
        if not usable or subprocess.run([*become, "test", "-r", sandbox.__file__]).returncode:
            pytest.skip("no Python here, or no checkout, that another user may read")
        python = usable[0]
    ran = subprocess.run(
        [*become, python, "-c", code], cwd=Path(__file__).parents[2], env={"PATH": str(tools)},
        capture_output=True, text=True,
    )  # fmt: skip
    shutil.rmtree(tools)
    return ran.stdout.strip() or ran.stderr


@pytest.mark.skipif("namespaces" not in KINDS, reason="user namespaces do not work here")
def test_namespaces_are_found_where_there_is_no_bubblewrap():
    assert how_of(None) == "namespaces"


@pytest.mark.skipif("namespaces" not in KINDS or os.geteuid() != 0, reason="needs root, to become another")
def test_namespaces_are_found_by_another_user_too():
    assert how_of(65534) == "namespaces"


PRELUDE = (
    "d = defaultdict(int)\nd[0] = bisect_left([1, 3], 3) + deepcopy([1])[0] + len(re.findall('a', 'aba'))\n"
)


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        "print(4)\nexit()",
        "print(4)\nquit(0)",
        PRELUDE + "print(d[0])",
        "from __future__ import annotations\nh = []\nheappush(h, 4)\nx: List[int] = h\nprint(x[0])",
        "def deep(n):\n    return 4 if n == 0 else deep(n - 1)\nprint(deep(49_000))",
        "@cache\ndef deep(n):\n    return 4 if n == 0 else deep(n - 1)\nprint(deep(20_000))",
        "print(gcd(8, 12), end='')",
    ],
)
def test_programs_may_use_what_livecodebench_s_runner_gives_them(kind, program):
    assert programs.verdict(program, [{"input": "", "output": "4\n"}]) == "ok"


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        PRELUDE + "class Solution:\n    def four(self) -> List[int]:\n        return d[0]",
        "from __future__ import annotations\nclass Solution:\n    def four(self):\n        return gcd(8, 12)",
        "@cache\ndef deep(n):\n    return 4 if n == 0 else deep(n - 1)\ndef four():\n    return deep(20_000)",
    ],
)
def test_so_may_functions(kind, program):
    assert programs.verdict(program, [{"input": "", "output": "4"}], entry="four") == "ok"


@needs_sandbox
@pytest.mark.parametrize("text", ["a\u2028b", "a\x0bb", "a\x85b", "a\u2029"])
def test_a_line_ends_at_a_line_feed_alone(kind, text):
    tests = [{"input": json.dumps(text, ensure_ascii=False) + "\n1", "output": json.dumps(text + "1")}]
    assert programs.verdict("def join(s, k): return s + str(k)", tests, entry="join") == "ok"


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("~~~python\nprint(4)\n~~~\n", "print(4)\n"),
        ("```python\nprint(5)\n```\n\n```\n", "print(5)\n"),
        ("```python\nprint(6)\n```\n\n```\nThis prints six.", "print(6)\n"),
        ("1. So:\n   ```python\n   if 1:\n       print(7)\n   ```\n", "if 1:\n    print(7)\n   "),
        ('```python\ns = "```"\nprint(8)\n```', 's = "```"\nprint(8)\n'),
        ("````python\nx = '''\n```\n'''\nprint(9)\n````", "x = '''\n```\n'''\nprint(9)\n"),
        ("Code: ```python\nprint(10)\n```", "print(10)\n"),
        ("```python\r\nprint(11)\r\n```\r\n", "print(11)\n"),
        ("```python\nprint(1)\n```\nno:\n```python\nprint(12", "print(12"),
        ("```python\nprint(13)```", "print(13)"),
        ("```python\nprint(14)\n```\nIt prints:\n```\n14\n```\n", "print(14)\n"),
        ("print(15)\n```", "print(15)"),
        ("It prints fifteen.\n```", ""),
    ],
)
def test_fences_as_models_write_them(response, code):
    assert programs.extract_code(response) == code

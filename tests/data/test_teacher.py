import json
import threading
from ast import literal_eval
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.answers import sandbox
from helpers.data import gym, teacher
from helpers.data.collection import collect
from helpers.data.segmentation import segment_with_model
from helpers.data.sources import file_rows, read_local
from helpers.data.teacher import chat, sample
from tests.support.notebooks import run_here
from tests.support.sandboxed import needs_gym

PROBLEMS = [
    {"id": f"p{i}", "problem": f"What is {i}+1, if anything?", "answer": str(i + 1)} for i in range(6)
]


def answer(body):
    """What the endpoint says: right for an even seed, wrong for an odd one, at length."""
    n = int(body["messages"][0]["content"].split("What is ")[1].split("+")[0])
    result = n + 1 if body["seed"] % 2 == 0 else n + 2
    thought = "I add one to the number that is given here. Wait, let me check that this is so."
    return {"content": f"<think>\n{thought}\n</think>\n\nIt is \\boxed{{{result}}}."}


@pytest.fixture
def endpoint(monkeypatch):
    """An endpoint on this machine; its attributes say how it behaves and what it was asked."""
    monkeypatch.setattr(teacher, "WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    state = type(
        "State",
        (),
        {
            "asked": [],
            "fail": lambda n: None,
            "message": answer,
            "finish": "stop",
            "whole": lambda body: None,
        },
    )
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.asked.append((self.path, self.headers["Authorization"], body))
                status = state.fail(len(state.asked))
            if status:
                self.send_error(status)
                return
            choice = {"index": 0, "message": state.message(body), "finish_reason": state.finish}
            whole = state.whole(body) or {"choices": [choice], "usage": {"completion_tokens": 7}}
            reply = json.dumps(whole).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    server.server_close()


def test_answers_are_kept_and_sorted_into_right_and_wrong(endpoint, tmp_path):
    path = tmp_path / "teacher.jsonl"
    counts = sample(PROBLEMS, path, endpoint.url, "m", samples=8, temperature=0.7, max_tokens=99)
    rows = [row for _, row in file_rows(path)]
    assert counts.total() == len(rows) == len(endpoint.asked)
    assert all(kinds == {"correct", "wrong"} for kinds in by_problem(rows).values())
    _, key, body = endpoint.asked[0]
    assert key == "Bearer none" and body["temperature"] == 0.7 and body["max_tokens"] == 99
    assert body["messages"][0]["content"].startswith("Return your final response within \\boxed{}. What is")
    assert "none" not in path.read_text()
    collected = collect(file_rows(path), read_local, "m", "teacher")
    assert {k: len(v) for k, v in collected.traces.items()} == {"correct": 6, "wrong": 6, "short": 0}
    assert set(Counter(a.reason for a in collected.aside)) <= {"duplicate"}


def by_problem(rows):
    found = {}
    for row in rows:
        found.setdefault(row["id"], set()).update(teacher.verdicts([row], teacher.same_answer))
    return found


def test_a_killed_run_goes_on_and_asks_nothing_twice(endpoint, tmp_path):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "teacher.jsonl"
    sample(PROBLEMS, whole, endpoint.url, "m", samples=3)
    endpoint.asked.clear()
    endpoint.fail = lambda n: 500 if n > 5 else None
    with pytest.raises(ConnectionError, match=r"did not answer in 5 tries \(500.*run again to go on"):
        sample(PROBLEMS, path, endpoint.url, "m", samples=3, concurrency=1)
    kept = path.read_text()
    assert kept.count("\n") == 5
    path.write_text(kept + '{"id": "p5", "samp')  # killed while writing
    endpoint.fail = lambda n: None
    endpoint.asked.clear()
    sample(PROBLEMS, path, endpoint.url, "m", samples=3)
    assert path.read_text().startswith(kept)
    assert sorted(path.read_text().splitlines()) == sorted(whole.read_text().splitlines())
    assert len(endpoint.asked) == whole.read_text().count("\n") - 5


def test_a_busy_endpoint_is_asked_again_and_a_refusal_is_told(endpoint, tmp_path):
    endpoint.fail = lambda n: {1: 429, 2: 503}.get(n)
    assert chat(endpoint.url, "m", "What is 1+1?", seed=0)["tokens"] == 7 and len(endpoint.asked) == 3
    endpoint.fail = lambda n: 404
    with pytest.raises(ValueError, match="refuses the request: 404"):
        sample(PROBLEMS, tmp_path / "t.jsonl", endpoint.url, "m")


def test_a_separate_reasoning_part_comes_back_into_its_tags(endpoint):
    endpoint.message = lambda body: {"reasoning_content": "I add.\n", "content": "\n\n\\boxed{2}"}
    assert chat(endpoint.url, "m", "?")["response"] == "<think>\nI add.\n</think>\n\n\\boxed{2}"
    endpoint.message = lambda body: {"reasoning": "I add", "content": None}
    assert chat(endpoint.url, "m", "?")["response"] == "<think>\nI add"
    endpoint.message = lambda body: "nothing"
    with pytest.raises(ValueError, match="not as chat completions do"):
        chat(endpoint.url, "m", "?")


def test_a_cut_answer_is_kept_and_is_no_trace(endpoint, tmp_path):
    endpoint.finish = "length"
    assert sample(PROBLEMS[:2], tmp_path / "t.jsonl", endpoint.url, "m", samples=2) == {"cut": 4}
    collected = collect(file_rows(tmp_path / "t.jsonl"), read_local, "m")
    assert card_of(collected) == {"cut": 4}


def card_of(collected):
    return dict(Counter(a.reason for a in collected.aside))


@pytest.mark.parametrize("problem", [{"id": "a", "problem": "p"}, ValueError("no JSON")])
def test_a_problem_that_lacks_something_is_named_before_any_is_asked(endpoint, tmp_path, problem):
    with pytest.raises(ValueError, match=r"problem 1 \(from 0\) has no '(answer|id)': id, problem, answer"):
        sample([PROBLEMS[0], problem], tmp_path / "t.jsonl", endpoint.url, "m")
    assert endpoint.asked == []


def test_nobody_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "WAIT", 0.01)
    with pytest.raises(ConnectionError, match="did not answer in 5 tries"):
        chat("http://127.0.0.1:9", "m", "?")


def test_a_model_behind_an_endpoint_names_boundaries(endpoint):
    endpoint.message = lambda body: {"content": "2"}
    steps, _ = segment_with_model(
        "One is. Two is. Three is.", lambda p: chat(endpoint.url, "m", p)["response"]
    )
    assert steps == ("One is. ", "Two is. Three is.")


@pytest.mark.parametrize("how", ["status 400", "an error under status 200"])
def test_a_request_that_is_refused_is_set_aside_and_the_run_goes_on(endpoint, tmp_path, how):
    path = tmp_path / "t.jsonl"
    if how == "status 400":
        endpoint.fail = lambda n: 400 if n == 2 else None
    else:
        endpoint.whole = lambda body: (
            {"error": {"message": "too long"}} if "is 1+1" in body["messages"][0]["content"] else None
        )
    counts = sample(PROBLEMS, path, endpoint.url, "m", samples=1, concurrency=1)
    assert counts["refused"] == 1 and counts.total() == len(PROBLEMS)
    asked = len(endpoint.asked)
    assert sample(PROBLEMS, path, endpoint.url, "m", samples=1) == counts and len(endpoint.asked) == asked
    collected = collect(file_rows(path), read_local, "m")
    assert card_of(collected) == {"refused by the endpoint": 1}


@pytest.mark.parametrize("how", ["status 400", "an error under status 200"])
def test_an_endpoint_that_refuses_everything_is_told_and_nothing_is_kept(endpoint, tmp_path, how):
    if how == "status 400":
        endpoint.fail = lambda n: 400
    else:
        endpoint.whole = lambda body: {"error": "no such model"}
    with pytest.raises(ValueError, match=r"all of \d+ requests were refused: .* refuses the request"):
        sample(PROBLEMS, tmp_path / "t.jsonl", endpoint.url, "m")
    assert (tmp_path / "t.jsonl").read_text() == "" and len(endpoint.asked) == len(PROBLEMS)


def test_content_in_parts_is_one_text_and_a_half_made_row_is_asked_again(endpoint, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(PROBLEMS[0] | {"sample": 0, "response": [{"type": "text"}]}) + "\n")
    endpoint.message = lambda body: {"content": [{"type": "text", "text": answer(body)["content"]}, " ."]}
    assert sample(PROBLEMS[:1], path, endpoint.url, "m", samples=1).total() == 1
    assert [type(row["response"]) for _, row in file_rows(path)] == [list, str]
    endpoint.message = lambda body: {"content": [{"type": "text", "text": 5}]}
    with pytest.raises(ValueError, match="not as chat completions do"):
        chat(endpoint.url, "m", "?")


@needs_gym
def test_a_scorer_of_reasoning_gym_says_which_answers_are_right(endpoint, tmp_path):
    """Problems, a teacher's answers, and traces of both kinds, in notebook A2 and from its file in 01."""
    sets = {"knights_knaves": {"n_people": 3}}
    asked = gym.make("reasoning-gym:knights_knaves-train", 3, sets["knights_knaves"], seed=0)
    expected = {row["problem"]: literal_eval(json.loads(row["answer"])["entry"])["answer"] for row in asked}
    assert len(expected) == 3

    def scripted(body):
        problem = body["messages"][0]["content"].removeprefix(teacher.PROMPT)
        said = expected[problem] if body["seed"] % 2 else "nobody, I think"
        thought = "I look at each of them in turn. So this is what I get.\n\nWait, let me check that again."
        return {"content": f"<think>\n{thought}\n</think>\n\nIt is\n\\boxed{{\n{said}\n}}"}

    endpoint.message = scripted
    out = str(tmp_path)
    made = run_here("A2_traces_of_your_own", output_dir=out, teacher_url=endpoint.url, teacher_model="m",
                    reasoning_gym=sets, n_problems=3, teacher_samples=8)  # fmt: skip
    source = tmp_path / "traces" / "teacher.jsonl"
    assert {k: len(v) for k, v in made["shown"].traces.items()} == {"correct": 3, "wrong": 3, "short": 0}
    asked_before = len(endpoint.asked)
    counts = sample(asked, source, endpoint.url, "m", samples=8)  # nothing is left to ask for
    assert set(counts) == {"correct", "wrong"} and len(endpoint.asked) == asked_before
    found = run_here("01_data_preparation", output_dir=out, source=str(source), reasoning_gym=sets,
                     n_problems=4, n_hard=4, n_validation=3)  # fmt: skip
    assert {k: len(v) for k, v in found["traces"].items()} == {"correct": 3, "wrong": 3, "short": 3}


def test_without_a_sandbox_no_problem_of_reasoning_gym_is_asked(endpoint, tmp_path, monkeypatch):
    def none_works():
        raise RuntimeError("none works here")

    monkeypatch.setattr(sandbox, "how", none_works)
    problem = {"id": "a", "problem": "p", "answer": gym.ENTRY + '"maze", "settings": {}, "entry": "{}"}'}
    with pytest.raises(RuntimeError, match="none works here"):
        sample([problem], tmp_path / "t.jsonl", endpoint.url, "m")
    assert endpoint.asked == [] and not (tmp_path / "t.jsonl").exists()
    with pytest.raises(RuntimeError, match="none works here"):
        gym.judge([(problem["answer"], "1")])

"""A teacher model: responses to problems from an endpoint, kept one by one, right and wrong.

    problems = [{"id": "a", "problem": "What is 2+3?", "answer": "5"}]
    sample(problems, "teacher.jsonl", "http://localhost:8000/v1", "Qwen/QwQ-32B-Preview", samples=4)
    collected = collect(file_rows("teacher.jsonl"), read_local, "Qwen/QwQ-32B-Preview", "teacher")

Any endpoint that speaks OpenAI's chat completions works; `vllm serve` is one. Every response is appended to
the file at once, cut and wrong ones too, so an interrupted run goes on where it was. A key is read from
OPENAI_API_KEY and saved nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

from helpers.answers import sandbox
from helpers.answers.boxed import final_answer
from helpers.answers.equality import same_answer
from helpers.data import gym
from helpers.data.sources import PROMPT, Row, file_rows, with_tags
from helpers.data.traces import END_THINK, THINK, parse

RETRIES, TIMEOUT = 5, 3600  # of a request, in seconds
WAIT = 2.0  # seconds before the second try, doubled each time
BUSY = (408, 409, 429)
GIVEN = ("id", "problem", "answer")
PER_REQUEST = (400, 413, 422)  # statuses about one request rather than the key or the address


class Refused(ValueError):
    """The endpoint refuses a request, possibly only this one (a problem that is too long, say)."""


def chat(url: str, model: str, prompt: str, **settings: Any) -> Row:
    """One response: `response`, `finish_reason` and `tokens`; a separate reasoning part gets its tags back.

    `settings` are sent with the request: temperature, top_p, max_tokens, seed. A busy or silent endpoint is
    asked again; ValueError if it refuses, ConnectionError if it stays unreachable.
    """
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **settings}
    answer = post(f"{url.rstrip('/')}/chat/completions", body)
    if isinstance(answer, dict) and answer.get("error"):  # some endpoints send errors with status 200
        raise Refused(f"{url} refuses the request: {str(answer['error'])[:500]}")
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = as_one_text(message.get("content"))
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        finish, usage = choice.get("finish_reason"), answer.get("usage") or {}
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{url} answers, but not as chat completions do: {str(answer)[:200]}") from error
    if reasoning:
        closed = f"\n{END_THINK}\n\n" if text else ""
        text = f"{THINK}\n{reasoning.strip()}{closed}{text.strip()}"
    return {"response": text, "finish_reason": finish, "tokens": usage.get("completion_tokens")}


def ask(url: str, model: str, prompt: str) -> str:
    """The text of one response (see `chat`)."""
    return chat(url, model, prompt)["response"]


def as_one_text(content: Any) -> str:
    """The text of a message: a string, nothing, or a list of parts, as some endpoints send it."""
    parts = content if isinstance(content, list) else [content or ""]
    texts = [part.get("text", "") if isinstance(part, dict) else part for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a part of the content is no text")
    return "".join(texts)


def post(url: str, body: Row) -> Row:
    """POST JSON to an endpoint and return its JSON."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    for attempt in range(RETRIES):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            reason = " ".join(f"{error.code} {error.read(500).decode(errors='replace')}".split())
            if error.code < 500 and error.code not in BUSY:
                kind = Refused if error.code in PER_REQUEST else ValueError
                raise kind(f"{url} refuses the request: {reason}") from error
        except (OSError, json.JSONDecodeError) as error:
            reason = str(error)
        if attempt + 1 < RETRIES:
            time.sleep(WAIT * 2**attempt)
    raise ConnectionError(f"{url} did not answer in {RETRIES} tries ({reason}): run again to go on from here")


def sample(
    problems: Iterable[Row], path: str | Path, url: str, model: str, samples: int = 4,
    wanted: Sequence[str] = ("correct", "wrong"), seed: int = 0, concurrency: int = 16,
    check: Callable[[str, str], bool | None] = same_answer, **settings: Any,
) -> Counter[str]:  # fmt: skip
    """Ask up to `samples` times for each problem (id, problem, answer), and keep every response in a file.

    A problem is done when each wanted kind has a response, or after `samples` of them. A request's seed comes
    from (seed, id, number of the sample). Returns the file's responses counted by verdict. A request that the
    endpoint refuses is kept with the reason; ValueError if it refuses all. RuntimeError before anything is
    asked if problems are reasoning-gym's and no sandbox works here.
    """
    path, problems = Path(path), list(problems)
    for number, problem in enumerate(problems):
        lacking = [key for key in GIVEN if not isinstance(problem, dict) or key not in problem]
        if lacking:
            raise ValueError(
                f"problem {number} (from 0) has no {lacking[0]!r}: {', '.join(GIVEN)} are needed"
            )
    if any(gym.is_entry(str(problem["answer"])) for problem in problems):
        sandbox.how()
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_broken_line(path)
    kept = [row for _, row in file_rows(path) if isinstance(row, dict) and is_answer(row)]
    done = {(row["id"], row["sample"]) for row in kept}
    waiting: list[Row] = []
    answering = any("refused" not in row for row in kept)
    counted = verdicts(kept, check)
    with path.open("a", encoding="utf-8") as file, ThreadPoolExecutor(concurrency) as pool:
        for number in range(samples):
            found: dict[str, set[str]] = {}
            for row, kind in zip(kept, counted, strict=True):
                found.setdefault(row["id"], set()).add(kind)
            left = (p for p in problems if (p["id"], number) not in done)
            left = [p for p in left if not set(wanted) <= found.get(p["id"], set())]

            def asked_once(problem: Row, number: int = number) -> Row:
                name = hashlib.sha256(repr((seed, problem["id"], number)).encode()).digest()
                asked = settings | {"seed": int.from_bytes(name[:4], "big") >> 1}
                given = {key: problem[key] for key in GIVEN}
                try:
                    answer = chat(url, model, PROMPT + problem["problem"], **asked)
                except Refused as error:
                    answer = {"refused": str(error)}
                return given | {"sample": number, "model": model} | answer

            for row in answered(pool, asked_once, left, concurrency):
                waiting.append(row)
                answering = answering or "refused" not in row
                if not answering:  # perhaps the model's name is refused, so that no request can succeed
                    if len(waiting) >= 4 * concurrency:
                        break
                    continue
                for one in waiting:
                    file.write(json.dumps(one) + "\n")
                    file.flush()
                    kept.append(one)
                waiting.clear()
            if waiting:
                raise ValueError(f"all of {len(waiting)} requests were refused: {waiting[0]['refused']}")
            counted += verdicts(kept[len(counted) :], check)
    return Counter(counted)


def answered(pool: ThreadPoolExecutor, ask: Callable, tasks: Iterable[Row], width: int) -> Iterator[Row]:
    """Answers to tasks as they come; an error is raised after the answers that were already under way."""
    tasks, error = iter(tasks), None
    while running := [pool.submit(ask, task) for task in islice(tasks, 4 * width)]:
        for future in as_completed(running):
            if future.exception() is None:
                yield future.result()
            else:
                error = error or future.exception()
        if error:
            raise error


def drop_broken_line(path: Path) -> None:
    """Create the file, and cut off an incomplete last line left by a killed run."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def is_answer(row: Row) -> bool:
    """Whether a line of the file is a complete one of `sample`."""
    return {"id", "sample", "answer"} <= set(row) and isinstance(row.get("response", row.get("refused")), str)


def verdicts(rows: Sequence[Row], check: Callable[[str, str], bool | None]) -> list[str]:
    """Of each row "correct", "wrong", "cut", "refused" (by the endpoint) or "undecided".

    `check` says whether an answer equals the expected one; of reasoning-gym's problems its scorers do.
    """
    names = {True: "correct", False: "wrong", "ok": "correct", "wrong": "wrong"}
    found, scored = ["undecided"] * len(rows), {}
    for i, row in enumerate(rows):
        if "refused" in row or row.get("finish_reason") == "length":
            found[i] = "refused" if "refused" in row else "cut"
        elif (answer := final_answer(parse(with_tags(row["response"])).solution)) is not None:
            if gym.is_entry(str(row["answer"])):
                scored[i] = (row["answer"], answer)
            else:
                found[i] = names.get(check(answer, str(row["answer"])), "undecided")
    for i, kind in zip(scored, gym.judge(list(scored.values())), strict=True):
        found[i] = names.get(kind, "undecided")
    return found

"""Engines and the journal: batches, samples, resuming, kills."""

import json
import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.analysis import tables
from helpers.data.traces import read_table
from helpers.evaluation import generation, grading, journal, vllm_engine
from helpers.evaluation.journal import Response
from helpers.puzzles import countdown
from helpers.training import models

ROOT = Path(__file__).parents[2]
PROBLEMS = countdown.benchmark("countdown", countdown.problems("test", 12, 0))


@pytest.fixture(scope="module")
def loaded():
    return models.load(ROOT / "base_model")


def requests(**changes):
    given = {"max_new_tokens": 40, "model": "m"} | changes
    return journal.requests("base", 0, "countdown", PROBLEMS, **given)


def counting(seen: list, until: int | None = None):
    """An engine that answers with the problem's text and remembers what it was asked."""

    def engine(todo):
        for i, request in enumerate(todo):
            if until is not None and len(seen) == until:
                raise KeyboardInterrupt
            seen.append(request.key)
            yield i, Response(request.prompt, 3, True)

    return engine


def test_a_stopped_run_goes_on_where_it_was_and_asks_nothing_twice(tmp_path):
    todo, seen = requests(), []
    with pytest.raises(KeyboardInterrupt):
        journal.complete(todo, counting(seen, until=5), tmp_path)
    responses = journal.complete(todo, counting(seen), tmp_path)
    assert len(seen) == len(set(seen)) == len(todo) == 12
    assert [r.text for r in responses] == [r.prompt for r in todo]
    assert journal.complete(todo, counting(seen), tmp_path) == responses and len(seen) == 12


def test_a_benchmark_that_ends_in_greedy_is_answered_greedily_beside_samples(tmp_path):
    asked = []

    def engine(todo):
        asked.extend((r.benchmark, r.sample, r.temperature) for r in todo)
        yield from ((i, Response("", 0, True)) for i in range(len(todo)))

    problems = {"countdown": PROBLEMS.slice(0, 1), "countdown-greedy": PROBLEMS.slice(0, 1)}
    hot = {"samples": 2, "temperature": 0.7, "max_new_tokens": 9}
    paths = journal.answer(["base"], 0, problems, engine, "e", tmp_path, str(ROOT / "base_model"), **hot)
    assert asked == [("countdown", 0, 0.7), ("countdown", 1, 0.7), ("countdown-greedy", 0, 0.0)]
    scores = grading.score(read_table(paths["base"]), "base", 0).to_pandas()
    answers = tables.solved(scores)
    assert set(answers) == set(problems) and answers["countdown-greedy"]["base"].shape == (1, 1)


def test_half_a_line_is_dropped_and_its_request_asked_again(tmp_path):
    todo, seen = requests(), []
    journal.complete(todo, counting(seen), tmp_path)
    path = tmp_path / "base.s0.jsonl"
    whole = path.read_bytes()
    for cut in (1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:-cut])
        again = []
        responses = journal.complete(todo, counting(again), tmp_path)
        assert [r.text for r in responses] == [r.prompt for r in todo]
        assert len(again) == len(todo) - whole[:-cut].count(b"\n") - (cut == 1)  # the line end alone is lost


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_a_journal(data):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j.jsonl")
        path.write_bytes(data)
        assert all(isinstance(response, Response) for response in journal.read(path).values())


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"max_new_tokens": 41}, {"temperature": 0.5}, {"system": "x"}]
)
def test_what_a_response_depends_on_is_in_its_key(change):
    assert not {r.key for r in requests()} & {r.key for r in requests(**change)}


def test_another_adapter_is_another_model(tmp_path):
    folder = tmp_path / "correct.s0"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"one")
    first = journal.fingerprint(str(ROOT / "base_model"), tmp_path, "correct", 0)
    assert first == journal.fingerprint(str(ROOT / "base_model"), tmp_path, "correct", 0)
    (folder / "adapter_model.safetensors").write_bytes(b"two")
    assert first != journal.fingerprint(str(ROOT / "base_model"), tmp_path, "correct", 0)


def test_samples_have_seeds_of_their_own_and_greedy_ones_are_refused():
    todo = requests(samples=3, temperature=0.7)
    assert len(todo) == 36 and len({r.sample_seed for r in todo}) == 36 and len({r.key for r in todo}) == 36
    with pytest.raises(ValueError, match="all the same"):
        requests(samples=2)


def test_an_engine_that_leaves_requests_open_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="12 of 12 requests, first countdown countdown-0"):
        journal.complete(requests(), lambda todo: iter(()), tmp_path)


def test_the_table_of_a_greedy_run_has_the_columns_it_always_had():
    todo = requests()
    table = journal.table(todo, [Response("x", 1, True)] * len(todo))
    assert table.column_names == [
        "benchmark",
        "problem_id",
        "problem",
        "answer",
        "response",
        "tokens",
        "finished",
    ]
    todo = requests(samples=2, temperature=1.0)
    table = journal.table(todo, [Response("x", 1, True)] * len(todo))
    assert {"sample", "sample_seed"} < set(table.column_names)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60),
    st.integers(1, 16),
    st.integers(0, 2000),
    st.integers(1, 100),
)
def test_batches_hold_every_prompt_once_within_both_limits(lengths, size, budget, new):
    made = list(generation.batches(lengths, size, budget, new))
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) <= size
        longest = max(lengths[i] for i in batch)
        assert not budget or len(batch) == 1 or len(batch) * (longest + new) <= budget


def test_responses_come_as_they_finish_and_do_not_depend_on_the_batch(loaded):
    texts = [models.prompt_text(loaded[1], p) for p in PROBLEMS["problem"].to_pylist()]
    order = [i for i, _ in generation.stream(*loaded, texts, 60, batch_size=12)]
    assert sorted(order) == list(range(12))
    one = dict(generation.stream(*loaded, texts, 60, batch_size=12))
    assert one == dict(generation.stream(*loaded, texts, 60, batch_size=5))
    assert one == dict(generation.stream(*loaded, texts, 60, batch_size=12, batch_tokens=300))


def test_tokens_do_not_change_when_the_cache_grows_or_keys_are_shared(loaded):
    """A long response beside a short one, against one pass over each whole text by transformers alone."""
    model, tokenizer = loaded
    asked = ["Work out: 9+8.", "For 27 try 12*4 with 2; 22-14 with 25; 9+8 with 3; 31-4 with 6; 5*6 with 9."]
    prompts = [tokenizer(models.prompt_text(tokenizer, p))["input_ids"] for p in asked]
    model.set_attn_implementation("grouped")
    made = dict(generation.decode(model, tokenizer, prompts, 2 * generation.ROOM))
    assert len(made[1]) > generation.ROOM
    plain, _ = models.load(ROOT / "base_model")
    for k, prompt in enumerate(prompts):
        with torch.inference_mode():
            logits = plain(input_ids=torch.tensor([prompt + made[k]])).logits[0]
        assert logits[len(prompt) - 1 : -1].argmax(-1).tolist() == made[k]


def test_a_sample_depends_on_its_own_seed_alone(loaded):
    texts = [models.prompt_text(loaded[1], p) for p in PROBLEMS["problem"].to_pylist()[:6]]
    hot = {"max_new_tokens": 20, "temperature": 1.5}
    together = dict(generation.stream(*loaded, texts, seeds=range(6), **hot))
    alone = dict(generation.stream(*loaded, texts[3:4], seeds=[3], **hot))
    assert together[3] == alone[0]
    assert together != dict(generation.stream(*loaded, texts, seeds=range(6, 12), **hot))


def test_draws_have_the_model_s_shares():
    import numpy as np

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2, 0.0]])).repeat(4000, 1)
    chosen = generation.choose(logits, 1.0, [np.random.default_rng(i) for i in range(4000)])
    shares = torch.bincount(chosen[:, 0], minlength=4) / 4000
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.2, 0.0]), atol=0.03) and shares[3] == 0


def test_the_engine_and_generate_agree(loaded, tmp_path):
    engine = partial(generation.respond, base_model=str(ROOT / "base_model"), adapters=tmp_path)
    responses = journal.complete(requests(max_new_tokens=60), engine, tmp_path)
    assert responses == generation.generate(*loaded, PROBLEMS["problem"].to_pylist(), 60)


def test_twenty_kills_lose_and_repeat_nothing(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests" / "support" / "killed.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    same = {"base.s0.parquet": True, "scores.parquet": True}
    assert found == {"kills": 20, "lost": 0, "repeated": 0, "same": same}


def test_vllm_is_told_the_rank_of_its_adapters():
    job = {"model": "m", "tensor_parallel": 2, "options": {"enforce_eager": True}}
    found = vllm_engine.engine_arguments(job, 500, [32, 20])
    assert found["enable_lora"] and found["max_lora_rank"] == 32 and found["enforce_eager"]
    assert not found["trust_remote_code"] and found["tensor_parallel_size"] == 2
    assert "enable_lora" not in vllm_engine.engine_arguments(job, 500, [])


def test_each_vllm_process_has_gpus_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert vllm_engine._environment(1, 2, 2)["CUDA_VISIBLE_DEVICES"] == "6,7"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert vllm_engine._environment(1, 1, 3)["CUDA_VISIBLE_DEVICES"] == "1"


def test_vllm_that_is_not_there_says_so(tmp_path):
    if find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    engine = partial(vllm_engine.respond, base_model=str(ROOT / "base_model"), adapters=tmp_path)
    with pytest.raises(RuntimeError, match="No module named 'vllm'"):
        journal.complete(requests(), engine, tmp_path)


def test_several_samples_of_a_problem_are_scored_each():
    from helpers.evaluation import grading

    todo = requests(samples=2, temperature=1.0)
    table = journal.table(todo, [Response("\\boxed{1}", 1, True)] * len(todo))
    assert isinstance(table, pa.Table)
    scores = grading.score(table, "base", 0)
    assert scores["sample"].to_pylist()[:4] == [0, 1, 0, 1] and len(scores) == 24

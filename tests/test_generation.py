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
from transformers import Qwen2Config

from helpers import chain, generation, harness, journal, models, puzzles, recipe, vllm_engine
from helpers.generation import Response
from helpers.traces import write_table

ROOT = Path(__file__).parents[1]
PROBLEMS = puzzles.benchmark("countdown", puzzles.problems("test", 12, 0))


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
            seen.append(request["key"])
            yield i, Response(request["problem"], 3, True)

    return engine


def test_a_stopped_run_goes_on_where_it_was_and_asks_nothing_twice(tmp_path):
    todo, seen = requests(), []
    with pytest.raises(KeyboardInterrupt):
        journal.complete(todo, counting(seen, until=5), tmp_path)
    responses = journal.complete(todo, counting(seen), tmp_path)
    assert len(seen) == len(set(seen)) == len(todo) == 12
    assert [r.text for r in responses] == [r["problem"] for r in todo]
    assert journal.complete(todo, counting(seen), tmp_path) == responses and len(seen) == 12


def test_half_a_line_is_dropped_and_its_request_asked_again(tmp_path):
    todo, seen = requests(), []
    journal.complete(todo, counting(seen), tmp_path)
    path = tmp_path / "base.s0.jsonl"
    whole = path.read_bytes()
    for cut in (1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:-cut])
        again = []
        responses = journal.complete(todo, counting(again), tmp_path)
        assert [r.text for r in responses] == [r["problem"] for r in todo]
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
    assert not {r["key"] for r in requests()} & {r["key"] for r in requests(**change)}


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
    assert (
        len(todo) == 36
        and len({r["sample_seed"] for r in todo}) == 36
        and len({r["key"] for r in todo}) == 36
    )
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
    texts = [generation.prompt_text(loaded[1], p) for p in PROBLEMS["problem"].to_pylist()]
    order = [i for i, _ in generation.stream(*loaded, texts, 60, batch_size=12)]
    assert sorted(order) == list(range(12))
    one = dict(generation.stream(*loaded, texts, 60, batch_size=12))
    assert one == dict(generation.stream(*loaded, texts, 60, batch_size=5))
    assert one == dict(generation.stream(*loaded, texts, 60, batch_size=12, batch_tokens=300))


def test_tokens_do_not_change_when_the_cache_grows_or_keys_are_shared(loaded):
    """A long response beside a short one, against one pass over each whole text by transformers alone."""
    model, tokenizer = loaded
    asked = ["Work out: 9+8.", "For 27 try 12*4 with 2; 22-14 with 25; 9+8 with 3; 31-4 with 6; 5*6 with 9."]
    prompts = [tokenizer(generation.prompt_text(tokenizer, p))["input_ids"] for p in asked]
    model.set_attn_implementation("grouped")
    made = dict(generation.decode(model, tokenizer, prompts, [2 * generation.ROOM] * 2))
    assert len(made[1]) > generation.ROOM
    plain, _ = models.load(ROOT / "base_model")
    for k, prompt in enumerate(prompts):
        with torch.inference_mode():
            logits = plain(input_ids=torch.tensor([prompt + made[k]])).logits[0]
        assert logits[len(prompt) - 1 : -1].argmax(-1).tolist() == made[k]


def test_a_sample_depends_on_its_own_seed_alone(loaded):
    texts = [generation.prompt_text(loaded[1], p) for p in PROBLEMS["problem"].to_pylist()[:6]]
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
    command = [sys.executable, str(ROOT / "tests" / "killed.py"), str(tmp_path)]
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
    from helpers import grading

    todo = requests(samples=2, temperature=1.0)
    table = journal.table(todo, [Response("\\boxed{1}", 1, True)] * len(todo))
    assert isinstance(table, pa.Table)
    scores = grading.score(table, "base", 0)
    assert scores["sample"].to_pylist()[:4] == [0, 1, 0, 1] and len(scores) == 24


def test_every_end_of_the_generation_configuration_ends_a_response(loaded):
    model, tokenizer = loaded
    texts = [generation.prompt_text(tokenizer, "Work out: 9+8.")]
    (whole,) = dict(generation.stream(model, tokenizer, texts, 40)).values()
    ids = tokenizer(whole.text, add_special_tokens=False)["input_ids"]
    before = model.generation_config.eos_token_id
    try:
        model.generation_config.eos_token_id = [2, ids[3]]
        (found,) = dict(generation.stream(model, tokenizer, texts, 40)).values()
    finally:
        model.generation_config.eos_token_id = before
    first = ids.index(ids[3])
    assert found == generation.Response(tokenizer.decode(ids[:first]), first, True)
    assert models.ends_of(None, tokenizer) == {2}


def test_a_tokenizer_without_a_pad_token_answers_prompts_of_different_length(loaded):
    model, tokenizer = loaded
    texts = [generation.prompt_text(tokenizer, p) for p in ("Work out: 9+8.", "Work out: 9+8-2*3.")]
    usual = dict(generation.stream(model, tokenizer, texts, 30))
    before = tokenizer.pad_token
    try:
        tokenizer.pad_token = None
        assert dict(generation.stream(model, tokenizer, texts, 30)) == usual
    finally:
        tokenizer.pad_token = before


def test_a_response_has_the_tokens_that_the_positions_leave_its_prompt(loaded, capsys):
    assert generation.limits([10, 90], [50, 50], None) == [50, 50] and capsys.readouterr().out == ""
    assert generation.limits([10, 90], [50, 50], 100) == [50, 10]
    assert (
        "1 of 2 responses may have 10 tokens or a few more, not 50: the model has 100"
        in capsys.readouterr().out
    )
    with pytest.raises(ValueError, match="a prompt has 100 tokens, and the model 100 positions"):
        generation.limits([100], [50], 100)
    model, tokenizer = loaded
    texts = [generation.prompt_text(tokenizer, p) for p in ("Use 5, 19 and 20 to make 11.", "Work out: 9+8.")]
    usual = dict(generation.stream(model, tokenizer, texts, 20))
    before = model.config.max_position_embeddings
    try:
        room = len(tokenizer(texts[0])["input_ids"]) + 4
        model.config.max_position_embeddings = room
        few = dict(generation.stream(model, tokenizer, texts, 20))
    finally:
        model.config.max_position_embeddings = before
    assert few[0].tokens == 4 and not few[0].finished and usual[0].text.startswith(few[0].text)


@pytest.mark.parametrize(
    ("given", "positions"),
    [
        ({}, 32768),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
                              "rope_theta": 1e6}}, 131072),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 32768),
    ],
)  # fmt: skip
def test_stretched_positions_count(given, positions):
    config = Qwen2Config(max_position_embeddings=32768, **given)
    assert models.positions_of(config) == positions


SHAPES = json.loads((ROOT / "helpers" / "shapes.json").read_text())
RECIPES = sorted(p.stem for p in (ROOT / "notebooks" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_asks_vllm_for_more_than_its_model_has(name, capsys):
    """What the engine would be told, for prompts of 300 tokens, and what the chain says before training."""
    found = recipe.load(name, ROOT / "notebooks")
    new = found["04_evaluation"].get("max_new_tokens", 420)
    for model in {found["base_model"], *found["models"].values()} & SHAPES.keys():
        config = Qwen2Config(**{k: v for k, v in SHAPES[model].items() if k != "model_type"})
        positions = models.positions_of(config)
        allowed = generation.limits([300] * 5, [new] * 5, positions)
        job = {"model": model, "tensor_parallel": 1, "options": {}}
        told = vllm_engine.engine_arguments(job, 300 + max(allowed), [64])
        assert told["max_model_len"] <= positions and min(allowed) >= min(new, positions // 2)
        told = [line for line in chain.short_contexts(found) if line.startswith(model + " has")]
        assert len(told) == (new >= positions), name


@pytest.mark.parametrize(("rank", "told"), [(1, 8), (8, 8), (9, 16), (65, 128), (257, 320), (512, 512)])
def test_ranks_are_rounded_up_to_those_that_vllm_takes(rank, told, tmp_path):
    assert vllm_engine.rank_for(rank) == told
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
    assert harness.model_arguments("m", str(tmp_path), "vllm")["max_lora_rank"] == told
    with pytest.raises(ValueError, match="up to rank 512, not 513: merge the adapter"):
        vllm_engine.rank_for(513)


def test_a_table_is_known_by_its_requests(tmp_path, capsys):
    todo, path = requests(), tmp_path / "base.s0.parquet"
    assert not journal.is_stored(todo, path)
    responses = [generation.Response("It is \\boxed{5}.", 5, True)] * len(todo)
    write_table(journal.table(todo, responses), path)
    assert journal.is_stored(todo, path) and capsys.readouterr().out == ""
    assert not journal.is_stored(requests(max_new_tokens=99), path)
    assert "made under other parameters, weights or problems, so it is made again" in capsys.readouterr().out
    assert not journal.is_stored([r | {"answer": "6"} for r in todo], path)
    write_table(journal.table(todo, responses).replace_schema_metadata(None), path)  # of an earlier version
    assert not journal.is_stored(todo, path)


def test_a_large_file_is_known_wherever_it_is_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LARGE", 100)
    (tmp_path / "a").write_bytes(b"x" * (3 << 20))
    (tmp_path / "b").write_bytes(b"x" * (3 << 20))
    os.utime(tmp_path / "b", (1, 1))
    assert journal.content(tmp_path / "a") == journal.content(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"x" * ((3 << 20) - 1) + b"y")
    assert journal.content(tmp_path / "a") != journal.content(tmp_path / "b")

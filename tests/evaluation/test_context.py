"""Responses within a model's positions, and adapters within vLLM's ranks; without a GPU and without vLLM."""

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from helpers.evaluation import context, generation, vllm_engine
from helpers.training import models, shapes
from helpers.workflow import recipe
from tests.support import tiny

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
RECIPES = sorted((NOTEBOOKS / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in RECIPES if "conditions" in recipe.read(path)]  # others run one notebook alone
TEXTS = ["Use 5, 19 and 20 to make 11.", "Use 1, 2 and 3 to make 6, and say at length how it is done."]


@pytest.mark.parametrize(
    "config, limit",
    [
        ({"max_position_embeddings": 32768}, 32768),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 131072, "max_seq_len": 4096}, 4096),
        ({"model_type": "mamba"}, None),
        ({"text_config": {"max_position_embeddings": 8192}, "max_position_embeddings": 77}, 8192),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "dynamic", "factor": 4}}, 16384),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        ({"max_position_embeddings": 131072, "rope_parameters": {"full_attention": {"factor": 8.0}}}, 131072),
        ({"max_position_embeddings": 163840, "rope_scaling": {"type": "x_yarn", "factor": 40}}, 163840),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {
                    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768
                },
            },
            131072,
        ),
    ],
)  # fmt: skip
def test_positions_are_read_from_any_configuration(config, limit):
    assert context.positions(config) == limit


def test_what_the_positions_leave_is_counted():
    found = context.rooms([1000, 32768, 40000, 10], 32000, 32768)
    assert found == [31768, 0, 0, 32000]
    line = context.capped(found, [32000] * 4, 32768)
    assert line.startswith("3 of 4 responses are capped at 0 to 31,768 tokens instead of 32,000")
    assert "32,768 positions" in line and line.endswith("2 prompts are too long to be answered")
    assert context.capped([5], [5], None) == "" and context.rooms([10**6], 5, None) == [5]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_s_responses_fit_its_models_before_anything_is_trained(name):
    found = recipe.load(name, NOTEBOOKS)
    asked = recipe.parameters(NOTEBOOKS / "04_evaluation.ipynb") | found["04_evaluation"]
    trained = recipe.parameters(NOTEBOOKS / "03_lora_training.ipynb") | found["03_lora_training"]
    names = {recipe.base_model_of(found, c) for c in found["conditions"]}
    for base in names:
        limit = context.positions(shapes.config_of(base.replace("../", f"{ROOT}/")))
        lengths = [60, 120] if base.startswith("..") else [60, 2000]
        limits = context.rooms(lengths, asked["max_new_tokens"], limit)
        longest = max(length + room for length, room in zip(lengths, limits, strict=True))
        job = {"model": base, "tensor_parallel": asked["tensor_parallel"], "options": {}}
        made = vllm_engine.engine_arguments(job, longest, [trained["lora_rank"]])
        assert made["max_model_len"] <= limit and min(limits) > 0 and trained["max_length"] <= limit
        assert made["max_lora_rank"] in vllm_engine.RANKS
    said = context.warnings([recipe.base_model_of(found, c) for c in found["conditions"]], 32768, NOTEBOOKS)
    assert len(said) == sum(context.positions(shapes.config_of(b.replace("../", f"{ROOT}/"))) <= 32768
                            for b in names)  # fmt: skip


def test_a_model_that_cannot_be_read_is_not_warned_of(tmp_path):
    assert context.warnings(["/not/there", "../base_model"], 384, NOTEBOOKS) == []
    assert "1,024 positions" in context.warnings(["../base_model"], 1024, NOTEBOOKS)[0]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A tiny model with 256 positions that ends a response with one of two tokens."""
    folder = tiny.qwen(tmp_path_factory.mktemp("short") / "model", TEXTS, layers=1, width=32)
    for name, values in (("config", {"max_position_embeddings": 256}), ("generation_config", {})):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_the_transformers_engine_stays_within_the_positions(short, capsys):
    model, tokenizer = models.load(short)
    model.generation_config.eos_token_id = None
    prompts = [
        models.prompt_text(tokenizer, text * n) for n, text in ((1, TEXTS[0]), (1, TEXTS[1]), (9, TEXTS[1]))
    ]
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    found = dict(generation.stream(model, tokenizer, prompts, 500))
    for i, length in enumerate(lengths):
        assert found[i].tokens + length <= 256 or found[i].tokens == 0
        assert found[i].finished or found[i].tokens == max(0, 256 - length)
    assert (
        "3 of 3 responses are capped" in (said := capsys.readouterr().out)
        and "1 prompts are too long" in said
    )


def fake_vllm(monkeypatch, seen: dict) -> None:
    """A stand-in for vLLM that answers each request with one token and the last of its end tokens."""

    class LLM:
        def __init__(self, **arguments):
            seen["arguments"], self.llm_engine, self.asked = arguments, self, []

        def add_request(self, name, prompt, sampling, lora_request):
            self.asked.append((name, prompt["prompt_token_ids"], sampling))

        def has_unfinished_requests(self):
            return bool(self.asked)

        def step(self):
            name, ids, sampling = self.asked.pop()
            assert len(ids) + sampling.max_tokens <= seen["arguments"]["max_model_len"]
            seen.setdefault("sampling", {})[name] = sampling
            made = SimpleNamespace(token_ids=[5, sampling.stop_token_ids[-1]], finish_reason="stop")
            return [SimpleNamespace(request_id=name, finished=True, outputs=[made])]

    parts = {
        "vllm": {"LLM": LLM, "SamplingParams": SimpleNamespace},
        "vllm.lora": {}, "vllm.lora.request": {"LoRARequest": tuple},
        "vllm.sampling_params": {"RequestOutputKind": SimpleNamespace(FINAL_ONLY=1)},
    }  # fmt: skip
    for name, values in parts.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)


def test_the_vllm_engine_stays_within_the_positions_and_knows_every_end(short, monkeypatch):
    path = short / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [2, 223]}))
    seen, out = {}, io.BytesIO()
    fake_vllm(monkeypatch, seen)
    request = {"system": None, "adapter": None, "max_new_tokens": 500, "temperature": 0, "sample_seed": 1}
    request |= {"shots": [], "opening": ""}
    asked = [request | {"number": i, "prompt": TEXTS[1] * n} for i, n in enumerate((1, 9))]
    vllm_engine.work({"model": str(short), "tensor_parallel": 1, "options": {}, "requests": asked}, out)
    note, *lines = out.getvalue().splitlines()
    assert note.startswith(vllm_engine.NOTE) and b"2 of 2 responses are capped" in note
    rows = {row.pop("number"): row for row in map(json.loads, lines)}
    assert seen["arguments"]["max_model_len"] == 256
    assert seen["sampling"]["0"].stop_token_ids == [2, 223] and rows[0]["tokens"] == 1 and rows[0]["finished"]
    assert rows[1] == {"text": "", "tokens": 0, "finished": False}


@pytest.mark.parametrize(
    "rank, setting", [(1, 8), (4, 8), (8, 8), (9, 16), (24, 32), (65, 128), (300, 320), (512, 512)]
)
def test_a_rank_is_rounded_up_to_one_that_vllm_has(rank, setting):
    job = {"model": "m", "tensor_parallel": 1, "options": {}}
    assert vllm_engine.engine_arguments(job, 99, [1, rank])["max_lora_rank"] == setting


def test_a_rank_beyond_vllm_s_is_refused():
    job = {"model": "m", "tensor_parallel": 1, "options": {}}
    with pytest.raises(ValueError, match="up to rank 512, not 513"):
        vllm_engine.engine_arguments(job, 9, [8, 513])

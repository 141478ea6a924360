"""vLLM beside transformers on the laptop model: the same greedy responses, with and without an adapter."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from helpers.evaluation import generation, journal, vllm_engine
from helpers.perturbations import arms
from helpers.puzzles import countdown
from helpers.training import examples, finetune, models
from tests.support import tiny

pytest.importorskip("vllm", reason="vLLM is not installed: .ci/vllm installs its CPU build")
ROOT = Path(__file__).parents[2]
BASE = str(ROOT / "base_model")
N = 200
SOON = {"enforce_eager": True}  # compiling takes a minute an engine, and this model answers in seconds


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """A LoRA adapter of rank 32, trained for a moment on correct traces."""
    folder = tmp_path_factory.mktemp("adapters")
    traces = countdown.correct_traces("train", 64, 0)
    model, tokenizer = models.load(BASE)
    texts = [arms.perturb(t, "correct", 0, traces).response for t in traces]
    rows, _ = examples.encode(tokenizer, [t.problem for t in traces], texts, 1024)
    model = finetune.prepare(model, "lora", 32, 64, 0)
    log = finetune.fit(model, tokenizer, rows, 1e-3, 2, 16, 0, folder / "work")
    tiny.save(model, tokenizer, log, folder / "correct.s0")
    return folder


def asked(condition: str, engine: str) -> list[journal.Request]:
    problems = countdown.benchmark("countdown", countdown.problems("test", N, 0))
    return journal.requests(condition, 0, "countdown", problems, 200, engine)


def test_greedy_responses_are_those_of_transformers(adapters, tmp_path, capsys):
    """At least 95% of them equal, for base and adapter; tokens/s of each way are printed."""
    model = {"base_model": BASE, "adapters": adapters}
    engine = partial(vllm_engine.respond, **model, options=SOON)
    ways = {
        "transformers": (partial(generation.respond, **model), ("base", "correct")),
        "vllm": (engine, ("base", "correct")),
        "vllm merged": (partial(engine, merged=True), ("correct",)),
    }
    found, speed = {}, {}
    for way, (engine, conditions) in ways.items():
        begun = time.monotonic()
        todo = [request for condition in conditions for request in asked(condition, way)]
        found[way] = journal.complete(todo, engine, tmp_path / way)
        speed[way] = sum(r.tokens for r in found[way]) / (time.monotonic() - begun)
    with capsys.disabled():
        print(json.dumps({way: round(rate) for way, rate in speed.items()}), "tokens/s, starting up included")
    base, correct = found["transformers"][:N], found["transformers"][N:]
    served = {"base": (base, found["vllm"][:N]), "adapter": (correct, found["vllm"][N:])}
    for name, pair in (served | {"merged": (correct, found["vllm merged"])}).items():
        assert sum(a == b for a, b in zip(*pair, strict=True)) >= 0.95 * N, name


def test_samples_are_drawn(tmp_path):
    problems = countdown.benchmark("countdown", countdown.problems("test", 4, 0))
    todo = journal.requests("base", 0, "countdown", problems, 30, "m", samples=3, temperature=1.5)
    engine = partial(vllm_engine.respond, base_model=BASE, adapters=tmp_path, options=SOON)
    responses = journal.complete(todo, engine, tmp_path)
    assert len({r.text for r in responses}) > 4

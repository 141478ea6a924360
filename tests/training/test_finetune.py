"""Training: what is trained on, the order of examples, and real LoRA, QLoRA and full runs of a tiny model."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from helpers import conditions
from helpers.base_model import pretraining
from helpers.data.traces import FRAMES, render, short_traces
from helpers.evaluation import generation
from helpers.perturbations import arm_files, arms
from helpers.puzzles import countdown
from helpers.training import finetune, models, saving
from helpers.training.examples import altered, bucketed, encode
from tests.support import killed_training
from tests.support import tiny as small


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny model saved in the hub's format, and ten traces."""
    traces = countdown.correct_traces("train", 10, 0)
    texts = [f"user\n{t.problem}\nassistant\n{render(t.steps, t.solution)}" for t in traces]
    tokenizer = pretraining.build_tokenizer(texts)
    folder = tmp_path_factory.mktemp("model")
    pretraining.new_model(tokenizer, layers=1, width=32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, traces


def examples(tokenizer, traces, arm="correct", max_length=1024):
    made = [arms.perturb(t, arm, 0, traces).response for t in traces]
    return made, *encode(tokenizer, [t.problem for t in traces], made, max_length)


KINDS = {
    "correct": countdown.correct_traces("train", 10, 0),
    "wrong": countdown.wrong_traces("train", 10, 0),
    "short": short_traces(countdown.correct_traces("train", 10, 0)),
}


@pytest.fixture(scope="module")
def tokenizers():
    """The laptop model's tokenizer, and a byte-level BPE in Qwen2.5's format."""
    texts = [render(t.steps, t.solution) for t in KINDS["correct"]]
    return {"laptop": models.tokenizer_of("base_model"), "qwen": small.qwen_tokenizer(texts)}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", ["laptop", "qwen"])
@pytest.mark.parametrize("arm", arms.ARMS)
def test_the_labels_are_the_arm_s_text_byte_for_byte(tokenizers, arm, name, frame):
    tokenizer, traces = tokenizers[name], KINDS.get(arm, KINDS["correct"])
    framed = [replace(t, frame=FRAMES[frame]) if t.steps else t for t in traces]
    responses, rows, cut = examples(tokenizer, framed, arm, 4096)
    assert cut == 0 and altered(tokenizer, responses) == 0
    for trace, response, row in zip(framed, responses, rows, strict=True):
        decoded = tokenizer.decode([token for token in row["labels"] if token != -100])
        assert decoded.encode() == (response + tokenizer.eos_token).encode()
        prompt = generation.prompt_text(tokenizer, trace.problem)
        assert tokenizer.decode(row["input_ids"]) == prompt + decoded


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_from_its_labels_unless_the_tokenizer_says_that_it_alters_it(text):
    tokenizer = small.qwen_tokenizer(["a b c"])
    rows, _ = encode(tokenizer, ["1+1?"], [text], 4096)
    decoded = tokenizer.decode([token for token in rows[0]["labels"] if token != -100])
    assert (decoded == text + tokenizer.eos_token) == (altered(tokenizer, [text]) == 0)


def test_a_cut_example_is_counted_and_loses_its_end(tiny):
    folder, traces = tiny
    tokenizer = models.load(folder)[1]
    _, whole, _ = examples(tokenizer, traces)
    limit = sorted(map(len, whole["input_ids"]))[4]
    _, rows, cut = examples(tokenizer, traces, max_length=limit)
    assert cut == sum(len(ids) > limit for ids in whole["input_ids"]) > 0
    assert max(map(len, rows["input_ids"])) == limit


def test_a_saved_tokenizer_splits_as_it_did_before(tiny):
    folder, traces = tiny
    tokenizer = models.load(folder)[1]
    pieces = tokenizer.tokenize("8+10=18. With 21: 39, 3, 378.")
    assert all(len(piece) == 1 for piece in pieces if any(c.isdigit() for c in piece))
    fresh = pretraining.build_tokenizer(
        f"user\n{t.problem}\nassistant\n{render(t.steps, t.solution)}" for t in traces
    )
    text = render(traces[0].steps, traces[0].solution)
    assert tokenizer(text)["input_ids"] == fresh(text)["input_ids"]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=80), st.integers(1, 20), st.integers(1, 3))
def test_bucketed_order_sees_every_example_once_an_epoch(lengths, batch_size, epochs):
    order = bucketed(lengths, batch_size, epochs, seed=0)
    assert sorted(order) == sorted(list(range(len(lengths))) * epochs)
    assert order == bucketed(lengths, batch_size, epochs, seed=0)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_lowers_the_loss_and_the_saved_condition_is_the_trained_one(tiny, tmp_path, method):
    folder, traces = tiny
    condition = "correct" if method == "lora" else "correct.full"
    model, tokenizer = models.load(folder)
    _, rows, _ = examples(tokenizer, traces)
    model = finetune.prepare(model, conditions.parse(condition).method or "lora", rank=8, alpha=16, seed=0)
    rate = 0.02 if method == "lora" else 0.005
    log = finetune.fit(model, tokenizer, rows, rate, 25, 5, 0, tmp_path / "work")
    assert log["steps"] == 50
    assert log["loss"][-1]["loss"] < log["loss"][0]["loss"] - 0.02
    small.save(model, tokenizer, log, tmp_path / f"{condition}.s0")
    assert json.loads((tmp_path / f"{condition}.s0" / "training.json").read_text())["steps"] == 50

    loaded, _ = models.load_condition(folder, tmp_path, condition, 0)
    ids = torch.tensor([rows[0]["input_ids"]])
    model.eval()
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, loaded(ids).logits, atol=1e-4)
    assert not torch.allclose(loaded(ids).logits, models.load(folder)[0](ids).logits, atol=1e-2)


def test_same_seed_same_adapter(tiny, tmp_path):
    folder, traces = tiny
    states = []
    for run in range(2):
        model, tokenizer = models.load(folder)
        _, rows, _ = examples(tokenizer, traces)
        model = finetune.prepare(model, "lora", rank=4, alpha=8, seed=3)
        finetune.fit(model, tokenizer, rows, 0.01, 2, 4, 3, tmp_path / str(run))
        states.append({k: v for k, v in model.state_dict().items() if "lora" in k})
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.fixture
def job(tiny, tmp_path):
    """Arguments of `train`: 40 steps of 2 traces, a checkpoint after every 10."""
    folder, traces = tiny
    arm_files.write_arms({"correct": traces}, ["correct"], 0, tmp_path / "arms")
    return {
        "base_model": str(folder), "arm": tmp_path / "arms" / "correct.s0.parquet", "condition": "correct",
        "folder": tmp_path / "adapters" / "correct.s0", "seed": 0, "method": "lora", "rank": 4, "alpha": 8,
        "learning_rate": 0.01, "epochs": 8, "batch_size": 2, "max_length": 1024, "checkpoint_steps": 10,
    }  # fmt: skip


def trained_weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", conditions.METHODS)
def test_every_method_goes_the_same_way_to_a_folder_that_says_what_it_is(job, tiny, method):
    folder = job["folder"].with_name(f"correct.{method}.s0")
    job |= {"method": method, "condition": f"correct.{method}", "folder": folder, "checkpoint_steps": 0}
    job |= {"learning_rate": 0.005} if method == "full" else {}
    record = finetune.train(finetune.Job(**job))
    assert record["loss"][-1]["loss"] < record["loss"][0]["loss"] - 0.02
    assert record["traces"] == 10 and record["steps"] == 40 and record["tokens_per_second"] > 0
    assert json.loads((folder / "training.json").read_text()) == record
    names = {p.name for p in folder.iterdir()}
    assert {"tokenizer.json", "README.md"} < names and not [n for n in names if n.endswith((".bin", ".pt"))]
    card = (folder / "README.md").read_text()
    assert f"correct.{method}.s0" in card and record["data_sha256"] in card and "| method |" in card
    assert all(w.dtype == torch.float32 for w in trained_weights(folder).values())

    loaded, _ = models.load_condition(tiny[0], folder.parent, f"correct.{method}", 0)
    base, _ = models.load(tiny[0])
    ids = torch.tensor([[1, 2, 3, 4]])
    assert not torch.allclose(loaded(ids).logits, base(ids).logits, atol=1e-2)


def test_the_first_traces_of_an_arm_can_be_taken(job):
    record = finetune.train(finetune.Job(**job | {"traces": 3, "condition": "correct.n3"}))
    assert record["traces"] == 3 and record["steps"] == 12
    with pytest.raises(ValueError, match="11 traces are asked for and the arm has 10"):
        finetune.train(finetune.Job(**job | {"traces": 11}))


def test_micro_batches_make_the_same_steps(job):
    whole = finetune.train(finetune.Job(**job | {"batch_size": 4}))
    parts = finetune.train(finetune.Job(**job | {"batch_size": 4, "micro_batch": 1}))
    assert [row["loss"] for row in parts["loss"]] == pytest.approx(
        [r["loss"] for r in whole["loss"]], abs=1e-4
    )
    with pytest.raises(ValueError, match="a batch of 4 traces cannot be dealt out to 1 processes"):
        finetune.train(finetune.Job(**job | {"batch_size": 4, "micro_batch": 3}))


def break_off(monkeypatch, step):
    """Have the next training break off after a step."""

    def stop(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(saving.Clock, "on_step_end", stop, raising=False)


def newest(job):
    return max(job["folder"].parents[1].glob("checkpoints/*/checkpoint-*"), key=lambda p: int(p.name[11:]))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_that_broke_off_ends_in_the_same_weights_bit_for_bit(job, monkeypatch, method):
    job |= {"method": method}
    unbroken = finetune.train(finetune.Job(**job))
    weights = trained_weights(job["folder"])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        break_off(patch, 27)
        finetune.train(finetune.Job(**job | {"folder": job["folder"].with_name("again.s0")}))
    assert newest(job).name == "checkpoint-20"
    steps = []

    def note(self, args, state, control, **kwargs):
        steps.append(state.global_step)

    monkeypatch.setattr(saving.Clock, "on_step_end", note, raising=False)
    record = finetune.train(finetune.Job(**job | {"folder": job["folder"].with_name("again.s0")}))
    assert steps == list(range(21, 41))
    assert equal(trained_weights(job["folder"].with_name("again.s0")), weights)
    assert record["loss"] == unbroken["loss"]
    assert not list(job["folder"].parents[1].glob("checkpoints/*"))


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"]
)
def test_a_truncated_newest_checkpoint_is_passed_over_with_a_warning(job, monkeypatch, name):
    finetune.train(finetune.Job(**job))
    weights = trained_weights(job["folder"])
    again = job | {"folder": job["folder"].with_name("again.s0")}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        break_off(patch, 35)
        finetune.train(finetune.Job(**again))
    path = newest(job) / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(UserWarning, match=f"checkpoint-30 is not complete .{name} has"):
        finetune.train(finetune.Job(**again))
    assert equal(trained_weights(again["folder"]), weights)


def test_a_checkpoint_is_whole_only_with_its_seal_and_readable_files(tmp_path):
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    torch.save({"a": torch.ones(100)}, folder / "optimizer.pt")
    assert saving.fault(folder) == "it was not finished"
    saving.seal(folder, 1.0)
    assert saving.fault(folder) == "" and saving.last_complete(tmp_path) == folder
    damaged = bytearray((folder / "optimizer.pt").read_bytes())
    damaged[damaged.index(torch.ones(4).numpy().tobytes())] ^= 1
    (folder / "optimizer.pt").write_bytes(damaged)
    assert "optimizer.pt cannot be read" in saving.fault(folder)
    with pytest.warns(UserWarning, match="optimizer.pt cannot be read"):
        assert saving.last_complete(tmp_path) is None


def test_another_plan_does_not_go_on_from_the_checkpoints_of_this_one(job, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        break_off(patch, 15)
        finetune.train(finetune.Job(**job))
    assert newest(job).name == "checkpoint-10"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        changed = finetune.train(finetune.Job(**job | {"learning_rate": 0.02}))
    weights = trained_weights(job["folder"])
    assert changed["steps"] == 40
    finetune.train(finetune.Job(**job | {"learning_rate": 0.02, "checkpoint_steps": 0}))
    assert equal(trained_weights(job["folder"]), weights)


def test_a_condition_that_was_not_trained_is_named(tiny, tmp_path):
    with pytest.raises(ValueError, match="03_lora_training for 'shuffle-67'"):
        models.load_condition(tiny[0], tmp_path, "shuffle-67", 0)


def test_generation_equals_transformers_own(tiny):
    """Batches, left padding and rows leaving early change nothing against one prompt at a time."""
    folder, traces = tiny
    model, tokenizer = models.load(folder)
    _, rows, _ = examples(tokenizer, traces)
    model = finetune.prepare(model, "full", 0, 0, seed=0)
    finetune.fit(model, tokenizer, rows, 0.01, 40, 5, 0, folder / "work")
    model.eval()
    problems = [t.problem for t in traces]
    ours = generation.generate(model, tokenizer, problems, max_new_tokens=60, batch_size=4)
    for problem, response in zip(problems, ours, strict=True):
        prompt = tokenizer(
            generation.prompt_text(tokenizer, problem), return_tensors="pt", add_special_tokens=False
        )
        ids = model.generate(
            input_ids=prompt["input_ids"], attention_mask=prompt["attention_mask"],
            max_new_tokens=60, do_sample=False,
        )[0, prompt["input_ids"].shape[1] :]  # fmt: skip
        finished = tokenizer.eos_token_id in ids.tolist()
        assert response.finished == finished
        assert response.tokens == len(ids) - finished
        assert response.text == tokenizer.decode(ids[: response.tokens])


@pytest.mark.slow  # minutes: every kill costs a start
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_killed_at_ten_random_moments_it_ends_in_the_same_weights(tmp_path, method):
    assert killed_training.main(tmp_path, 10, method) == (10, True)


def test_a_tracker_gets_loss_and_tokens_per_second(tiny, tmp_path, monkeypatch):
    """The files outlive the folder of the training's checkpoints."""
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, traces = tiny
    model, tokenizer = models.load(folder)
    _, rows, _ = examples(tokenizer, traces)
    tracked = finetune.tracking("tensorboard", tmp_path / "adapters" / "correct.s0")
    finetune.fit(model, tokenizer, rows, 0.01, 5, 5, 0, tmp_path / "work", **tracked)
    events = next((tmp_path / "tensorboard" / "correct.s0").glob("events.out.tfevents.*"))
    read = event_accumulator.EventAccumulator(str(events)).Reload()
    assert {"train/loss", "train/train_tokens_per_second"} <= set(read.Tags()["scalars"])
    assert all(event.value > 0 for event in read.Scalars("train/train_tokens_per_second"))
    assert finetune.tracking("none", tmp_path) == {}


def test_a_tracker_that_is_unknown_is_named(tiny, tmp_path):
    folder, traces = tiny
    model, tokenizer = models.load(folder)
    _, rows, _ = examples(tokenizer, traces)
    with pytest.raises(ValueError, match="traceio"):
        finetune.fit(model, tokenizer, rows, 0.01, 1, 5, 0, tmp_path, report_to="traceio")

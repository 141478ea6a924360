"""Any causal language model is a student: the whole chain on tiny models of eight architectures.

python tests/workflow/test_architectures.py    # the table: what was done, and how long it took
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from trl import SFTTrainer

from helpers.data.traces import render
from helpers.evaluation import generation
from helpers.puzzles import countdown
from helpers.training import examples, finetune, models, shapes
from tests.support import tiny
from tests.support.notebooks import run_here

TRACES = countdown.correct_traces("train", 40, 0)
TEXTS = [f"user\n{t.problem}\nassistant\n{render(t.steps, t.solution)}" for t in TRACES]
CONDITIONS = ["correct", "correct.full", "correct.qlora"]
KINDS = sorted(tiny.FAMILIES)


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    return request.param, tiny.model_of(request.param, tmp_path_factory.mktemp("model"), TEXTS)


def chain(folder: Path, kind: str) -> dict:
    """Notebooks 01 to 05 on a tiny model of an architecture, in this process; a row of the table."""
    import matplotlib

    matplotlib.use("agg")
    begin, out, base = time.perf_counter(), str(folder / "run"), str(folder / "model")
    tiny.model_of(kind, folder / "model", TEXTS)
    run_here("01_data_preparation", output_dir=out, n_traces=8, n_problems=3, n_hard=3, n_validation=3)
    run_here("02_perturbations", output_dir=out, arms=["correct"])
    both = {"output_dir": out, "base_model": base, "threads": 1}
    trained = run_here("03_lora_training", **both, conditions=CONDITIONS, lora_rank=4, checkpoint_steps=1)
    run_here("04_evaluation", **both, conditions=["base", *CONDITIONS], max_new_tokens=8)
    made = run_here("05_analysis", output_dir=out, conditions=["base", *CONDITIONS])
    records = {
        c: json.loads(Path(out, "adapters", f"{c}.s0", "training.json").read_text()) for c in CONDITIONS
    }
    return {
        "architecture": kind,
        "parameters": trained["shape"] and trained["shape"].parameters,
        "estimated MB": trained["shape"] and round(1000 * trained["parts"].sum(axis=1)["correct"]),
        "trained": {c: records[c]["trained_parameters"] for c in CONDITIONS},
        "evaluated": sorted(set(made["grid"]["condition"])),
        "seconds": round(time.perf_counter() - begin),
    }


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind not in ("gemma3_text", "llama")]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["gemma3_text", "llama", *SLOW])
def test_the_whole_chain_runs_on_an_architecture(tmp_path, kind):
    row = chain(tmp_path, kind)
    loaded, _ = models.load(tmp_path / "model")
    assert row["parameters"] == row["trained"]["correct.full"] == loaded.num_parameters()
    assert row["trained"]["correct"] == 4 * shapes.shape_of(str(tmp_path / "model")).adapter
    assert row["evaluated"] == sorted(["base", *CONDITIONS]) and row["estimated MB"] > 0


def test_labels_are_the_response_and_the_end_token_of_its_turn(model):
    kind, folder = model
    tokenizer, family = models.tokenizer_of(folder), tiny.FAMILIES[kind]
    ends = {"gemma3_text": "<end_of_turn>", "phi3": "<|end|>"}
    responses = [render(t.steps, t.solution) for t in TRACES[:3]]
    rows, cut = examples.encode(tokenizer, [t.problem for t in TRACES[:3]], responses, 4096)
    for trace, response, row in zip(TRACES, responses, rows, strict=False):
        label = tokenizer.decode([token for token in row["labels"] if token != -100])
        assert label == response + ends.get(kind, family.special[0]) and not cut
        assert tokenizer.decode(row["input_ids"]) == models.prompt_text(tokenizer, trace.problem) + label
    assert tokenizer.pad_token is not None


def test_every_end_of_a_turn_or_text_ends_a_response(model):
    kind, folder = model
    loaded, tokenizer = models.load(folder)
    ends = models.end_tokens(tokenizer, loaded.generation_config)
    named = {tiny.FAMILIES[kind].special[0], models.end_token(tokenizer), *tiny.FAMILIES[kind].ends}
    assert ends == set(tokenizer.convert_tokens_to_ids(list(named)))


def test_responses_are_those_of_transformers(model):
    """Ours pads, batches and keeps a cache of its own; sliding windows of 16 are passed within 30 tokens."""
    _, folder = model
    loaded, tokenizer = models.load(folder)
    problems = [t.problem for t in TRACES[:4]] + ["Use 2, 3 and 4 to make 24. " * 3]
    ours = generation.generate(loaded, tokenizer, problems, 30)
    plain, _ = models.load(folder)
    for problem, response in zip(problems, ours, strict=True):
        text = models.prompt_text(tokenizer, problem)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        ends = sorted(models.end_tokens(tokenizer, loaded.generation_config))
        with torch.inference_mode():
            made = plain.generate(
                ids,
                max_new_tokens=30,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id,
            )[0, ids.shape[1] :].tolist()
        assert response.text == tokenizer.decode(made[:-1] if made[-1] in ends else made)


def test_a_system_prompt_is_seen_where_the_template_has_no_turn_for_it(model):
    _, folder = model
    tokenizer = models.tokenizer_of(folder)
    text = models.prompt_text(tokenizer, "1+1?", "Be brief.")
    assert text.count("Be brief.") == 1 and text.index("Be brief.") < text.index("1+1?")
    assert "Be brief." not in models.prompt_text(tokenizer, "1+1?")


def test_a_base_model_without_a_template_is_given_the_problem_and_an_empty_line(tmp_path):
    tokenizer = models.tokenizer_of(tiny.model_of("olmo2", tmp_path, TEXTS))
    assert models.prompt_text(tokenizer, "1+1?") == "1+1?\n\n"
    assert models.end_token(tokenizer) == "<|endoftext|>"


def test_a_prompt_starts_with_one_bos_at_most(tmp_path):
    """OpenRLHF#393: the template writes one, and tokenising its text adds another. Base models have none."""
    for kind in ("llama", "olmo2"):
        folder = tiny.model_of(kind, tmp_path / kind, TEXTS)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token  # as OLMo 2 has it
        first = (tokenizer.bos_token, tokenizer.bos_token_id)
        starts = TemplateProcessing(f"{first[0]} $A", special_tokens=[first])
        tokenizer.backend_tokenizer.post_processor = starts
        tokenizer.save_pretrained(folder)
        rows, _ = examples.encode(models.tokenizer_of(folder), ["1+1?"], ["2"], 100)
        ids = rows[0]["input_ids"][: -1 if kind == "olmo2" else None]
        assert ids[0] == first[1] and ids.count(first[1]) == 1


def test_the_end_token_is_learned_where_it_pads_too(tmp_path, monkeypatch):
    """llm-course#33, trl#1623: a collator that masks padding by its token masks the end as well."""
    model, tokenizer = models.load(tiny.model_of("llama", tmp_path / "m", TEXTS))
    assert tokenizer.pad_token == tokenizer.eos_token
    rows, _ = examples.encode(tokenizer, ["1+1?", "Use 1, 2, 3 for 6."], ["2", "1+2+3=6, so 1+2+3."], 100)
    seen, loss = [], SFTTrainer.compute_loss

    def watched(self, model, inputs, *arguments, **named):
        seen.extend(inputs["labels"].tolist())
        return loss(self, model, inputs, *arguments, **named)

    monkeypatch.setattr(SFTTrainer, "compute_loss", watched)
    finetune.fit(model, tokenizer, rows, 1e-3, 1, 2, 0, tmp_path / "work")
    assert [labels.count(tokenizer.eos_token_id) for labels in seen] == [1, 1]


def test_a_template_that_names_the_date_names_the_same_one_every_day(tmp_path):
    tokenizer = models.tokenizer_of(tiny.model_of("qwen3", tmp_path, TEXTS))
    tokenizer.chat_template = "{{ strftime_now('%d %B %Y') }} " + tokenizer.chat_template
    assert models.prompt_text(tokenizer, "1+1?").startswith("11 February 2025 ")


def written(folder: Path, **config: object) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "novel9"},
            "transformers .* does not know the architecture 'novel9': a newer version may",
        ),
        ({}, "does not know the architecture ''"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "no causal language model"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, r"no causal .* \(BertForMaskedLM\)"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}, "no causal language"),
        ({"model_type": "vit"}, "no causal language model .vit"),
    ],
)
def test_what_is_no_causal_language_model_is_refused_in_one_line(tmp_path, config, message):
    folder = written(tmp_path / "m", **config)
    for refuse in (shapes.shape_of, models.load):
        with pytest.raises(ValueError, match=message) as error:
            refuse(folder)
        assert "\n" not in str(error.value)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        models.load(tmp_path)


def test_an_architecture_that_cannot_be_counted_is_said_and_does_not_stop(tmp_path, capsys):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    experts = {"num_key_value_heads": 2, "num_local_experts": 2, "vocab_size": 100}
    folder = written(tmp_path / "m", model_type="mixtral", **sizes, **experts)
    assert shapes.shape_of(folder) is None
    assert "memory is not estimated (mixtral: a mixture of experts" in capsys.readouterr().out


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path):
    folder = tiny.model_of("llama", tmp_path, TEXTS)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "eos_token"}))
    with pytest.raises(ValueError, match="names no eos_token"):
        models.tokenizer_of(folder)


def main() -> None:
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(chain(Path(folder), kind))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()

"""What becomes a label: ends, control tokens, templates that open a thought, limits that leave nothing."""

import copy
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from helpers.evaluation import generation
from helpers.training import examples, finetune, models
from tests.support import tiny

TEXTS = ["Use 5, 19 and 20 to make 11.", "<think>\nLet me see: 5+19=24.\n</think>\n\n\\boxed{24}"]
END = "<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.qwen_tokenizer(TEXTS)


def labels(tokenizer, response, limit=4096):
    rows, _ = examples.encode(tokenizer, ["1+1?"], [response], limit)
    return [token for token in rows[0]["labels"] if token != -100]


@pytest.mark.parametrize("tail", ["", END, END + "\n", END * 2, f"{END}\n{END} \n"])
@pytest.mark.parametrize("body", ["It is 2.", "", "It is 2.\n"])
def test_a_response_has_one_end_whatever_it_brought_along(tokenizer, body, tail):
    made = labels(tokenizer, body + tail)
    assert made.count(tokenizer.eos_token_id) == 1 and made[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(made) == body + END


@pytest.mark.parametrize(
    "text",
    [
        f"I say {END} and go on.", f"{END}2", "<|im_start|>assistant\n2", "2<|endoftext|>",
        f"a{END}b{END}", "<|endoftext|><|im_start|>",
    ],
)  # fmt: skip
def test_control_tokens_in_a_response_are_trained_on_as_the_text_that_they_are(tokenizer, text):
    made = labels(tokenizer, text)
    controls = set(tokenizer.convert_tokens_to_ids(tiny.SPECIAL))
    assert not controls & set(made[:-1]) and made[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(made) == text.removesuffix(END) + END
    assert examples.controls(tokenizer, [text, "2 <im_end> 3"]) == 1


OPENERS = {
    "r1": "<think>\n",
    "bare": "<think>",
    "empty": "<think>\n\n</think>\n\n",
    "sky": "<|begin_of_thought|>\n\n",
}


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_a_template_that_opens_a_thought_does_not_make_two(tokenizer, opener):
    other = copy.deepcopy(tokenizer)
    other.chat_template += f"{{% if add_generation_prompt %}}{{{{ {json.dumps(opener)} }}}}{{% endif %}}"
    plain = models.prompt_text(tokenizer, TEXTS[0])
    raw = other.apply_chat_template(
        [{"role": "user", "content": TEXTS[0]}], tokenize=False, add_generation_prompt=True
    )
    assert raw == plain + opener
    assert models.prompt_text(other, TEXTS[0]) == plain
    rows, _ = examples.encode(other, [TEXTS[0]], [TEXTS[1]], 4096)
    assert other.decode(rows[0]["input_ids"]) == plain + TEXTS[1] + END


def test_a_thought_in_the_problem_stays(tokenizer):
    problem = "What does <think> mean?"
    assert problem in models.prompt_text(tokenizer, problem)


def test_a_limit_that_leaves_no_label_is_refused_with_numbers(tokenizer):
    lengths = [len(tokenizer(models.prompt_text(tokenizer, p))["input_ids"]) for p in TEXTS]
    with pytest.raises(
        ValueError, match=f"of all 2 have {min(lengths)} to {max(lengths)} tokens and max_length is 20"
    ):
        examples.encode(tokenizer, TEXTS, TEXTS, 20)
    with pytest.raises(ValueError, match="no trace has a token to learn from"):
        examples.encode(tokenizer, TEXTS, TEXTS, min(lengths))  # the prompts fit, and no more
    rows, cut = examples.encode(tokenizer, TEXTS, TEXTS, min(lengths) + 1)
    assert len(rows) == 1 and cut == 2 and sum(token != -100 for token in rows[0]["labels"]) == 1


@pytest.fixture
def model(tmp_path):
    return tiny.qwen(tmp_path / "model", TEXTS, layers=1, width=32)


def write_arm(path, problems, responses):
    pq.write_table(pa.table({"problem": problems, "response": responses}), path)
    return path


def job(model, arm, **changes):
    given = {
        "base_model": str(model), "arm": arm, "folder": model.parent / "adapters" / "correct.s0",
        "condition": "correct", "seed": 0, "method": "lora", "rank": 4, "alpha": 8, "learning_rate": 0.01,
        "epochs": 1, "batch_size": 2, "max_length": 1024,
    }  # fmt: skip
    return given | changes


def test_training_refuses_an_arm_without_labels_and_counts_the_rows_that_lose_theirs(model, tmp_path, capsys):
    arm = write_arm(tmp_path / "arm.parquet", [TEXTS[0], TEXTS[0] * 20], ["It is 2."] * 2)
    with pytest.raises(ValueError, match="max_length is 30"):
        finetune.train(finetune.Job(**job(model, arm, max_length=30)))
    assert not (tmp_path / "adapters").exists()
    record = finetune.train(finetune.Job(**job(model, arm, max_length=150)))
    assert record["unlabelled"] == 1 and record["traces"] == 2 and record["loss"][0]["loss"] > 0
    assert "correct: 1 of 2 traces have no label left" in capsys.readouterr().out


def test_a_tokenizer_without_a_pad_token_trains_and_answers(model, tmp_path):
    path = model / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["pad_token"]
    path.write_text(json.dumps(settings))
    loaded, tokenizer = models.load(model)
    assert tokenizer.pad_token == END
    arm = write_arm(tmp_path / "arm.parquet", TEXTS, [TEXTS[1], "2"])
    assert finetune.train(finetune.Job(**job(model, arm)))["steps"] == 1
    tokenizer.pad_token = None  # nor does the decode loop itself need one
    together = generation.generate(loaded, tokenizer, TEXTS, 8)
    assert together == [generation.generate(loaded, tokenizer, [text], 8)[0] for text in TEXTS]


def test_every_end_token_of_the_generation_settings_ends_a_response(model):
    loaded, tokenizer = models.load(model)
    free = generation.generate(loaded, tokenizer, TEXTS, 14)
    prompt = tokenizer(models.prompt_text(tokenizer, TEXTS[0]), return_tensors="pt")
    with torch.inference_mode():
        ids = loaded.generate(**prompt, max_new_tokens=14, do_sample=False)[
            0, prompt["input_ids"].shape[1] :
        ].tolist()
    stop = ids[3]
    for end in ([tokenizer.eos_token_id, stop], [stop], stop):
        loaded.generation_config.eos_token_id = end
        found = generation.generate(loaded, tokenizer, TEXTS, 14)[0]
        assert found.finished and found.tokens == ids.index(stop) < free[0].tokens
        assert found.text == tokenizer.decode(ids[: found.tokens])
    loaded.generation_config.eos_token_id = None
    assert generation.generate(loaded, tokenizer, TEXTS, 14) == free

"""lm-evaluation-harness: what it is given, what becomes of its results, and itself where installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from helpers import harness
from tests import tiny

ROOT = Path(__file__).parents[1]


def test_the_harness_gets_the_adapter_and_its_rank(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 64}))
    assert harness.model_arguments("m", str(tmp_path), "hf")["peft"] == str(tmp_path)
    found = harness.model_arguments("m", str(tmp_path), "vllm")
    assert (found["lora_local_path"], found["max_lora_rank"]) == (str(tmp_path), 64)
    assert not found["trust_remote_code"]
    with pytest.raises(ValueError, match="no LoRA adapter"):
        harness.model_arguments("m", str(tmp_path / "missing"), "hf")
    with pytest.raises(ValueError, match="did you mean 'ARC-C'"):
        harness.tasks_of(["ARC"])
    assert harness.tasks_of(["ARC-C", "MGSM"])[:2] == ["arc_challenge", "mgsm_direct_bn"]


def test_the_harness_s_results_become_a_table():
    results = {
        "arc_challenge": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.4}
    }
    table = harness.table(results)
    assert table.metric.tolist() == ["acc", "acc_norm"] and table.standard_error[0] == 0.1


def data_set(folder: Path, splits: list[str], rows: dict[str, list[dict]]) -> None:
    """A data set as the hub has one, with these rows in every split: a configuration a key."""
    card = ["---", "configs:"]
    for name, table in rows.items():
        card += [f"- config_name: {name}", "  data_files:"]
        for split in splits:
            path = folder / name / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(table), path)
            card += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))


@pytest.mark.timeout(900)
def test_the_harness_evaluates_an_adapter_on_the_true_tasks(tmp_path):
    """Its own tasks, on local data sets of the true names and columns, found in the working folder."""
    pytest.importorskip("lm_eval", reason="needs pip install -e '.[harness]'")
    model = tiny.qwen(tmp_path / "model", ["Question: which number is 2 more than 5? Answer: 7"])
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), lora).save_pretrained(tmp_path / "adapter")
    choices = {"text": ["1", "2", "3", "4"], "label": ["A", "B", "C", "D"]}
    arc = [
        {"id": f"{i}", "question": f"Which is {i}+1?", "choices": choices, "answerKey": "ABCD"[i]}
        for i in range(4)
    ]
    sums = [{"question": f"What is {i}+2?", "answer": None, "answer_number": i + 2} for i in range(3)]
    data_set(tmp_path / "allenai" / "ai2_arc", ["train", "validation", "test"], {"ARC-Challenge": arc})
    data_set(tmp_path / "juletxara" / "mgsm", ["train", "test"], dict.fromkeys(harness.LANGUAGES, sums))
    script = (
        "from helpers import harness\n"
        "table = harness.evaluate('model', 'adapter', ['ARC-C', 'MGSM'], limit=2, batch_size=2)\n"
        "table.to_json('table.json', orient='records')\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
    }
    command = [sys.executable, "-c", script]
    made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    rows = json.loads((tmp_path / "table.json").read_text())
    assert list(dict.fromkeys(row["task"] for row in rows)) == harness.tasks_of(["ARC-C", "MGSM"])
    assert {row["metric"] for row in rows} == {"acc", "acc_norm", "exact_match"}
    assert all(0 <= row["value"] <= 1 for row in rows)

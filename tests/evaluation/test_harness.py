"""The recipes page's command for lm-evaluation-harness, where that is installed, on a small adapter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.support import tiny

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "notebooks" / "recipes" / "README.md"
LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")


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
def test_the_page_s_command_evaluates_an_adapter(tmp_path):
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
    data_set(tmp_path / "juletxara" / "mgsm", ["train", "test"], dict.fromkeys(LANGUAGES, sums))
    command = re.search(r"^\.venv/bin/lm_eval .*?[^\\]$", PAGE.read_text(), re.M | re.S)[0]
    command = re.sub(r"pretrained=[^,]*,peft=[^,]*", "pretrained=model,peft=adapter", command)
    command = command.replace(".venv/bin/lm_eval", f"{sys.executable} -m lm_eval").replace("mmlu,", "")
    command = command.replace("ifeval,", "") + " --limit 2 --output_path found --device cpu"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    made = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=offline, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    results = json.loads(next((tmp_path / "found").rglob("results*.json")).read_text())["results"]
    assert set(results) == {"arc_challenge", *(f"mgsm_direct_{language}" for language in LANGUAGES)}
    assert 0 <= results["arc_challenge"]["acc,none"] <= 1

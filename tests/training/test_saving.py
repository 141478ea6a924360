"""Trained weights as a folder: the card says what they are, and a push asks the hub for what it should."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import save_file

from helpers.training import saving

ROOT = Path(__file__).parents[2]
RECORD = {
    "recipe": "mini", "condition": "digits-50", "seed": 1, "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
    "method": "lora", "rank": 16, "traces": 2000, "cut": 3, "data_sha256": "ab" * 32, "tokens": 380_000,
    "loss": [{"step": 1, "loss": 2.5}, {"step": 500, "loss": 0.5}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    partial = tmp_path / "partial"
    partial.mkdir()
    save_file({"lora": torch.ones(3)}, partial / "adapter_model.safetensors")
    (partial / "training_args.bin").write_bytes(b"a pickle")
    saving.finish(partial, RECORD, tmp_path / "digits-50.s1")
    return tmp_path / "digits-50.s1"


def test_a_finished_folder_has_weights_record_and_card_and_no_pickle(folder):
    names = {p.name for p in folder.iterdir()}
    assert names == {"adapter_model.safetensors", "training.json", "README.md"}
    assert json.loads((folder / "training.json").read_text()) == RECORD


def test_the_card_says_recipe_arm_data_and_metrics(folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model == "Qwen/Qwen2.5-0.5B-Instruct" and card.data.library_name == "peft"
    for row in ("| recipe | mini |", "| condition | digits-50 |", f"| {'ab' * 32} |", "| last loss | 0.5 |"):
        assert row in card.text or row.strip("| ") in card.text
    assert "| tokens | 380,000 |" in card.text


def test_a_local_base_model_is_no_repository_of_the_hub():
    card = saving.card(RECORD | {"base_model": "../base_model", "method": "full"})
    assert card.data.base_model is None and card.data.library_name == "transformers"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a push needs; it remembers what it was asked."""

    asked: list = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.path, body))
        url = f"http://{self.headers['Host']}/me/mini-digits-50.s1"
        answers = {"/api/repos/create": {"url": url, "name": "me/mini-digits-50.s1"}}
        if self.path.endswith("/preupload/main"):
            files = [{"path": f["path"], "uploadMode": "regular"} for f in json.loads(body)["files"]]
            answers[self.path] = {"files": [f | {"shouldIgnore": False} for f in files]}
        if self.path.endswith("/commit/main"):
            answers[self.path] = {
                "success": True,
                "commitOid": "0" * 40,
                "commitUrl": f"{url}/commit/{'0' * 40}",
            }
        self.answer(answers.get(self.path, {"errors": [], "warnings": []}))

    def do_GET(self):
        self.asked.append((self.path, b""))
        self.answer({"id": "me/mini-digits-50.s1", "siblings": [], "sha": "0" * 40, "private": True})

    def answer(self, found):
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def test_a_push_makes_a_private_repository_and_commits_every_file(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_TOKEN": "token",
        "HF_HUB_OFFLINE": "0",
    }
    code = "import sys; from pathlib import Path; from helpers.training import saving\n"
    code += "print(saving.push(Path(sys.argv[1]), 'me/mini-digits-50.s1'))"
    command = [sys.executable, "-c", code, str(folder)]
    try:
        made = subprocess.run(
            command, cwd=ROOT, env=os.environ | hub, capture_output=True, text=True, timeout=300
        )
    finally:
        server.shutdown()
    assert made.returncode == 0, made.stderr
    assert "me/mini-digits-50.s1" in made.stdout
    created = json.loads(next(body for path, body in Hub.asked if path == "/api/repos/create"))
    assert created.get("private") or created.get("visibility") == "private"
    lines = next(body for path, body in Hub.asked if path.endswith("/commit/main")).decode().splitlines()
    sent = [json.loads(line) for line in lines]
    assert sent[0]["value"]["summary"] == "digits-50 of the recipe mini"
    paths = {row["value"]["path"] for row in sent[1:]}
    assert paths == {"adapter_model.safetensors", "training.json", "README.md"}

"""Training in two processes gives what one gives; the shipped configurations are what accelerate reads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

from helpers.perturbations import arm_files
from helpers.puzzles import countdown
from helpers.training import finetune, launch
from helpers.workflow import recipe

ROOT = Path(__file__).parents[2]
SHARDINGS = sorted(path.stem for path in launch.CONFIGURATIONS.glob("*.yaml"))


@pytest.mark.parametrize("name", SHARDINGS)
def test_a_configuration_is_read_by_accelerate_and_knows_no_machine(name):
    found = load_config_from_file(str(launch.CONFIGURATIONS / f"{name}.yaml"))
    kinds = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED"}
    assert str(found.distributed_type).removeprefix("DistributedType.") == kinds[name]
    assert found.num_machines == 1 and not found.use_cpu
    if name == "fsdp2":
        assert found.fsdp_config["fsdp_version"] == 2
        assert found.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"  # so that it can be saved
    if name == "zero3":
        assert found.deepspeed_config["zero_stage"] == 3 and found.deepspeed_config["zero3_save_16bit_model"]


def test_the_command_names_configuration_processes_and_job():
    made = launch.command("job.json", 8, "fsdp2")
    assert made[0] == sys.executable and made[made.index("--num_processes") + 1] == "8"
    assert made[made.index("--config_file") + 1].endswith("accelerate/fsdp2.yaml")
    assert made[-3:] == ["--module", "helpers.training.launch", "job.json"]
    with pytest.raises(ValueError, match="sharding: 'fsdp' has no configuration: did you mean 'fsdp2'"):
        launch.command("job.json", 8, "fsdp")


def test_a_batch_is_dealt_out_to_the_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert finetune.micro_batches(96, 1) == (1, 12) and finetune.micro_batches(96, 0) == (12, 1)
    with pytest.raises(ValueError, match="a batch of 4 traces cannot be dealt out to 8 processes"):
        finetune.micro_batches(4, 0)


@pytest.fixture
def job(tmp_path):
    """Seven steps and a half of the laptop's model, so that the last batch has to be filled."""
    traces = countdown.correct_traces("train", 30, 0)
    arm_files.write_arms({"correct": traces}, ["correct"], 0, tmp_path / "arms")
    return {
        "base_model": str(ROOT / "base_model"), "arm": str(tmp_path / "arms" / "correct.s0.parquet"),
        "condition": "correct", "folder": str(tmp_path / "adapters" / "correct.s0"), "seed": 0,
        "method": "lora", "rank": 8, "alpha": 16, "learning_rate": 0.003, "epochs": 1, "batch_size": 4,
        "max_length": 1024,
    }  # fmt: skip


@pytest.mark.slow  # a minute each: three processes import torch
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("sharding", ["ddp", "fsdp2"])
def test_two_processes_give_the_loss_and_the_weights_of_one(job, tmp_path, monkeypatch, sharding, method):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job |= {"method": method, "learning_rate": 0.003 if method == "lora" else 0.001}
    alone = finetune.train(finetune.Job(**job))
    weights = load_file(next(Path(job["folder"]).glob("*.safetensors")))
    if sharding == "fsdp2":
        usual = launch.command
        monkeypatch.setattr(
            launch, "command",
            lambda *a: [p.replace("helpers.training.launch", "tests.support.cpu_fsdp") for p in usual(*a)],
        )  # fmt: skip
    folder = tmp_path / "adapters" / "two.s0"
    made = launch.run(finetune.Job(**job | {"folder": str(folder), "checkpoint_steps": 4}), 2, sharding)
    assert made["steps"] == alone["steps"] == 8
    assert [row["loss"] for row in made["loss"]] == pytest.approx(
        [r["loss"] for r in alone["loss"]], rel=1e-3
    )
    found = load_file(next(folder.glob("*.safetensors")))
    if (method, sharding) == ("full", "fsdp2"):  # which writes tied weights under both names
        assert found.pop("lm_head.weight").equal(found["model.embed_tokens.weight"])
    assert found.keys() == weights.keys()
    worst = max((found[name].float() - weights[name].float()).abs().max().item() for name in weights)
    moved = max(weight.abs().max().item() for weight in weights.values())
    assert worst < 0.02 * moved
    assert torch.isfinite(torch.cat([w.flatten() for w in found.values()])).all()
    assert json.loads((folder / "training.json").read_text())["data_sha256"] == alone["data_sha256"]
    assert not list((tmp_path / "checkpoints").glob("*"))


@pytest.mark.slow  # half a minute
def test_a_failure_in_a_process_is_told_with_its_last_lines(job):
    with pytest.raises(RuntimeError, match="31 traces are asked for and the arm has 30"):
        launch.run(finetune.Job(**job | {"traces": 31}), 2, "ddp")
    assert "WORLD_SIZE" not in os.environ


@pytest.mark.parametrize("name", ["paper", "scaling"])
def test_the_slurm_profile_is_read_and_every_training_asks_for_its_gpus(name):
    command = [sys.executable, "-m", "snakemake", "all", "--snakefile", "notebooks/Snakefile", "--nolock"]
    command += ["--config", f"recipe={name}", "--workflow-profile", "notebooks/profiles/slurm", "--dry-run"]
    command += ["--default-resources", "slurm_account=a", "slurm_partition=b"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    jobs = [job for job in re.split(r"\n\[", made.stdout) if "rule lora_training" in job]
    assert len(jobs) == len(recipe.trained(recipe.load(name)))
    assert all("gpu=1" in job and "runtime=2880" in job for job in jobs)

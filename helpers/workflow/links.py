"""Badges, links and the cell that sets Colab up, from the one address of the repository.

    python -m helpers.workflow.links        # again, from [project.urls] in pyproject.toml
    python -m helpers.workflow.links https://github.com/NAME/structure-not-content

The address stands in pyproject.toml; badges, links, the notebooks' first cell and the cell that sets Colab up
are written from it. Running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nbformat

from helpers.files import write_text

PLACEHOLDER = "https://github.com/OWNER/structure-not-content"
ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
COLAB = "https://colab.research.google.com"
RENDERED = "outputs/reference/laptop/notebooks"
FOLDER = "/content/structure"  # of the project on Colab
HEADER, WORDS, SETUP = "links", "colab-words", "colab"  # ids of the three cells
ON_COLAB = (
    "On Colab the next cell fetches this project and installs what is missing; elsewhere it does nothing."
)
ABOUT = {
    "00_start_here": "the question, the paper's numbers, a first perturbed trace",
    "01_data_preparation": "puzzles, demonstrations, benchmarks",
    "02_perturbations": "every arm on one trace, and the trace explorer",
    "03_lora_training": "one fine-tune per condition",
    "04_evaluation": "responses, then scores",
    "05_analysis": "accuracies, differences, verdicts; token losses; two models on one problem",
    "06_published_outputs": "the authors' own generations, graded again",
    "07_why_content_costs": "five explanations, each tested by runs of its own",
    "08_inference_scaling": "what more tokens per problem buy: several responses, or a longer one",
    "09_reinforcement": "GRPO, RLSP and T1 from a condition's adapter: what they can repair",
    "10_stickers": "SIFT: a problem's facts written out and corrected, until two answers agree",
    "A1_base_model": "how the base model was made",
    "A2_traces_of_your_own": "responses of real models, or your own, as traces",
}


def address(root: Path = Path()) -> str:
    """The repository's address on the web, from pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def colab_link(home: str, stem: str) -> str:
    """Where Colab opens a notebook of the repository."""
    return home.replace("https://github.com", f"{COLAB}/github") + f"/blob/main/notebooks/{stem}.ipynb"


def header(home: str, stem: str, executed: bool = False) -> str:
    """The first cell of a notebook, or of its executed copy: Colab's badge, the other one, the neighbours."""
    names = [name for name in ABOUT if name[0].isdigit() or not executed]
    at = names.index(stem)
    parts = [f"[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({colab_link(home, stem)})"]
    if executed:
        parts.append(f"[without results, to run](../../../../notebooks/{stem}.ipynb)")
    elif stem[0].isdigit():
        parts.append(f"[with results](../{RENDERED}/{stem}.ipynb)")
    if at:
        parts.append(f"← [{names[at - 1][:2]}]({names[at - 1]}.ipynb)")
    if at + 1 < len(names):
        parts.append(f"[{names[at + 1][:2]}]({names[at + 1]}.ipynb) →")
    return " · ".join(parts)


def setup(home: str) -> str:
    """The cell that fetches and installs the project on Colab, and does nothing elsewhere."""
    return f"""import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("../helpers").is_dir():
    ![ -d {FOLDER} ] || \\
        git clone --quiet --depth 1 {home} {FOLDER}
    %cd -q {FOLDER}/notebooks
    %pip install --quiet --editable ..
    sys.path.append("{FOLDER}")  # this kernel started before the project was there"""


def write_notebook(path: Path, home: str, executed: bool = False) -> None:
    """Put a notebook's first cell in place and, after the parameters, the one that sets Colab up.

    A sentence goes before the latter. An executed notebook keeps its outputs and numbers.
    """
    notebook = nbformat.read(path, as_version=4)
    there = {cell.id: cell for cell in notebook.cells}
    cells = [cell for cell in notebook.cells if cell.id not in (HEADER, WORDS, SETUP)]
    after = 1 + max(i for i, cell in enumerate(cells) if "parameters" in str(cell.metadata.get("tags", [])))
    own = there.get(SETUP) or nbformat.v4.new_code_cell(id=SETUP)
    own.source = setup(home)
    cells[after:after] = [nbformat.v4.new_markdown_cell(ON_COLAB, id=WORDS), own]
    first = nbformat.v4.new_markdown_cell(header(home, path.stem, executed), id=HEADER)
    notebook.cells = [first, *cells]
    write_text(path, nbformat.writes(notebook) + "\n")


def badges(home: str) -> str:
    """README's badges."""
    shield = "https://img.shields.io/badge"
    ci = f"{home}/actions/workflows/ci.yml"
    return "\n".join(
        [
            f"[![CI]({ci}/badge.svg)]({ci})",
            f"[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({colab_link(home, '00_start_here')})",
            f"[![arXiv]({shield}/arXiv-2502.07374-b31b1b)](https://arxiv.org/abs/2502.07374)",
            f"[![Python]({shield}/Python-3.11%2B-blue)](pyproject.toml)",
            f"[![Licence]({shield}/licence-Apache--2.0-green)](LICENSE)",
        ]
    )


def notebooks_table(home: str) -> str:
    """README's table of the notebooks."""
    rows = ["| notebook | what it shows | open it |", "|---|---|---|"]
    for stem, words in ABOUT.items():
        seen = f"[rendered]({RENDERED}/{stem}.ipynb), " if stem[0].isdigit() else ""
        colab = f"[Colab]({colab_link(home, stem)})"
        rows.append(f"| [{stem}](notebooks/{stem}.ipynb) | {words} | {seen}{colab} |")
    return "\n".join(rows)


def between(text: str, name: str, block: str) -> str:
    """The text with a block between `<!-- name -->` and `<!-- /name -->`; ValueError without these marks."""
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    if not all(mark in text for mark in marks):
        raise ValueError(f"the marks {' and '.join(marks)} are missing")
    head, rest = text.split(marks[0], 1)
    return f"{head}{marks[0]}\n{block}\n{marks[1]}{rest.split(marks[1], 1)[1]}"


def write(root: Path = Path(), new: str = "") -> str:
    """Write the address, a new one if given, wherever it stands; returns it. ValueError if it is none."""
    old, home = address(root), (new or address(root)).removesuffix("/").removesuffix(".git")
    if not ADDRESS.fullmatch(home):
        raise ValueError(f"{home!r} is not the address of a repository, like {PLACEHOLDER}")
    for name in ("pyproject.toml", "CITATION.cff"):
        write_text(root / name, (root / name).read_text().replace(old, home))
    for path in (root / "notebooks").glob("*.ipynb"):
        write_notebook(path, home)
    for path in (root / RENDERED).glob("*.ipynb"):
        write_notebook(path, home, executed=True)
    text = (root / "README.md").read_text()
    text = between(text, "badges", badges(home))
    text = between(text, "notebooks", notebooks_table(home))
    write_text(root / "README.md", text)
    return home


if __name__ == "__main__":
    try:
        print("repository:", write(new=sys.argv[1] if sys.argv[1:] else ""))
    except ValueError as error:
        sys.exit(str(error))

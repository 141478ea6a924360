"""Notebooks made for tests."""

import contextlib
from pathlib import Path
from unittest import mock

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from helpers.perturbations.arms import PERTURBATIONS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of these code cells, the first of them tagged `parameters`; its path."""
    made = [nbformat.v4.new_code_cell(source) for source in cells]
    made[0].metadata["tags"] = ["parameters"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)
    return path


def run_here(name: str, notebooks: Path = NOTEBOOKS, /, **parameters: object) -> dict[str, object]:
    """Run a notebook's code cells in this process, in its own folder; what they defined."""
    cells = [c for c in nbformat.read(notebooks / f"{name}.ipynb", 4).cells if c.cell_type == "code"]
    space: dict[str, object] = {"display": lambda *_: None}
    transform = TransformerManager().transform_cell
    with contextlib.chdir(notebooks), mock.patch.dict(PERTURBATIONS):  # notebook 02 adds an arm of its own
        for cell in cells:
            exec(compile(transform(cell.source), name, "exec"), space)
            if "parameters" in cell.metadata.get("tags", []):
                unknown = parameters.keys() - space.keys()
                assert not unknown, f"{name} has no parameter {unknown}"
                space |= parameters
    return space

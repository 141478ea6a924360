"""Install the project where much is installed already, as on Colab, without breaking torch.

    python helpers/workflow/install.py            # the core packages; add names of extras for those too

torch, packages built against it, and the packages that the running notebook uses stay as they are: they
become constraints, and pip refuses anything that needs other versions of them. Everything else gets the
version in pyproject.toml. Needs only Python, pip and packaging.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
KEPT = re.compile(
    r"torch|torchvision|torchaudio|torchcodec|triton|nvidia-.*|cuda-.*"
    r"|ipykernel|ipython|ipywidgets|jupyter-client|jupyter-core|traitlets|tornado|pyzmq"
)
LEFT_OUT = ("jupyterlab",)  # the notebook is running already


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """The version of each installed distribution, by normalised name."""
    return {normal(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}


def required(extras: Sequence[str] = ()) -> list[str]:
    """The requirements of the core and of extras in pyproject.toml; ValueError for an unknown extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = project["optional-dependencies"]
    if unknown := [extra for extra in extras if extra not in known]:
        raise ValueError(f"no extra {unknown[0]!r}: choose from {', '.join(known)}")
    return project["dependencies"] + [line for extra in extras for line in known[extra]]


def plan(requirements: Sequence[str], present: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What to install, and under which constraints, given these installed distributions."""
    wanted = []
    for line in requirements:
        requirement = Requirement(line)
        name = normal(requirement.name)
        version = present.get(name)
        if name in LEFT_OUT or (version and KEPT.fullmatch(name)):
            continue
        if (
            version is None
            or requirement.extras
            or not requirement.specifier.contains(version, prereleases=True)
        ):
            wanted.append(line)
    return wanted, sorted(f"{name}=={version}" for name, version in present.items() if KEPT.fullmatch(name))


def main(extras: Sequence[str], *options: str) -> int:
    """Install; returns pip's exit status. `options` go to pip."""
    wanted, constraints = plan(required(extras), installed())
    if not wanted:
        print("Everything is installed.")
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(constraints))
        file.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", file.name]
        return subprocess.call([*command, *options, *wanted])


if __name__ == "__main__":
    sys.exit(main([a for a in sys.argv[1:] if a[0] != "-"], *(a for a in sys.argv[1:] if a[0] == "-")))

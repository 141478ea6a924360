"""The pages of the reference run for the web: README, report, explorer and executed notebooks.

    python -m helpers.workflow.site    # to outputs/site, which .github/workflows/pages.yml publishes

The site has the folders of the repository, so relative links hold. A link to a file that it lacks goes to
the repository on the web.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from helpers.workflow.links import address

PAGES = ("README.md", "tests/README.md", "notebooks/recipes/README.md")
SITE = Path("outputs", "site")


def html_of(path: Path) -> str:
    """A notebook or a Markdown file as a page."""
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
    else:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text())])
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    name = path.stem if path.suffix == ".ipynb" else "Structure, not content?"
    html = exporter.from_notebook_node(notebook, {"metadata": {"name": name}})[0]
    return html.replace("</head>", "<style>body { max-width: 76rem; margin: auto; }</style></head>", 1)


def linked(html: str, page: Path, home: str) -> str:
    """A page whose relative links go to pages of the site or else to the repository on the web."""

    def to(match: re.Match) -> str:
        target, _, part = match[1].partition("#")
        at = Path(os.path.normpath(page.parent / target))
        for made in (at, at.with_suffix(".html"), at.with_name("index.html"), at / "index.html"):
            if (SITE / made).is_file() and made.suffix not in (".ipynb", ".md"):
                return f'href="{os.path.relpath(made, page.parent)}{part and "#" + part}"'
        return f'href="{home}/blob/main/{at.as_posix()}{part and "#" + part}"'

    return re.sub(r'href="((?![a-z]+:|#|/)[^"]+)"', to, html)


def write_site() -> Path:
    """Write the site anew; returns its folder. Call it from the repository's root, after `make report`."""
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree("outputs/reference", SITE / "outputs" / "reference")
    sources = {Path(page): Path(page).with_name("index.html") for page in PAGES}
    for path in sorted(Path("outputs/reference").rglob("*")):
        if path.name == "README.md":
            sources[path] = path.with_name("index.html")
        elif path.suffix == ".ipynb":
            sources[path] = path.with_suffix(".html")
    for page in sources.values():  # all of them, so that links between them are known
        (SITE / page).parent.mkdir(parents=True, exist_ok=True)
        (SITE / page).touch()
    for source, page in sources.items():
        (SITE / page).write_text(linked(html_of(source), page, address()), encoding="utf-8")
    return SITE


if __name__ == "__main__":
    print("site:", write_site())

"""Build the documentation site: `python docs/site.py` (`pip install 'vsezoo[docs]'`), into `build/site/`.

The pages are the files that are read on their own, too, and their links lead out of `docs/`. So the repository's pages
are copied, in their places, to a folder that the site is built from; notebooks become pages, and a page of the Python
API is added, whose entries mkdocstrings fills in from the docstrings. Nothing is downloaded. A link that leads nowhere
ends the build.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import vsezoo

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
PATTERNS = ("*.md", "docs/*.md", "docs/**/*.svg", "docs/**/*.png", "docs/**/*.webp", "model_cards/*.md", "LICENSE")
PATTERNS += ("docs/notebooks/*.ipynb", "findings/README.md", "benchmarks/README.md")


def main() -> int:
    """Copy the pages and build the site; return the exit status."""
    stage_pages(PAGES)
    config = ROOT / "mkdocs.yml"
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(config)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def stage_pages(folder: Path) -> None:
    """Copy all pages and figures to `folder`, in their places, with the README as the first page."""
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in PATTERNS:
        for page in sorted(set(ROOT.glob(pattern)) - {ROOT / "model_cards" / "template.md"}):
            copy = folder / page.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, copy)
    for copy in folder.glob("docs/*.md"):  # to the page of a notebook, not to its file
        text = copy.read_text(encoding="utf-8")
        copy.write_text(re.sub(r"\(notebooks/([\w-]+)\.ipynb\)", r"(notebooks/\1.md)", text), encoding="utf-8")
    for notebook in folder.glob("docs/notebooks/*.ipynb"):
        notebook.with_suffix(".md").write_text(render_notebook(notebook), encoding="utf-8")
    (folder / "docs" / "api.md").write_text(render_api(), encoding="utf-8")


def render_notebook(notebook: Path) -> str:
    """Return a notebook as a page: its text, its code, and a link to the file for Jupyter."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_text("utf-8"))["cells"]]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells]
    return "\n\n".join([*parts, f"[The notebook, for Jupyter]({notebook.name})\n"])


def render_api() -> str:
    """Return the page of the Python API: each public name of `vsezoo`, for mkdocstrings to describe."""
    lines = ["# Python API", "", "The names of `import vsezoo`. How they are used is in [Python](python.md).", ""]
    for name in sorted(vsezoo.__all__, key=str.lower):
        place = f"::: {getattr(vsezoo, name).__module__}.{name}"
        lines += [place, "    options:", f"      heading: vsezoo.{name}", f"      toc_label: {name}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

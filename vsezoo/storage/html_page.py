"""HTML pages from templates of the package: each is one file that loads nothing, with all texts escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vsezoo.storage.atomic_file import write_whole


def write_html(path: Path, package: str, values: Mapping[str, Any], template: str = "page.html") -> None:
    """Write a page.

    Args:
        path: the output file; replaced if it exists.
        package: the package with the template, such as `vsezoo.reports`.
        values: the variables of the template.
        template: its file name.

    Raises:
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(values)
    write_whole(path, page.encode(errors="backslashreplace"))  # file names and captions need not be valid Unicode

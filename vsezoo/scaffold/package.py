"""Write the package of a plugin: templates of everything it registers, filled in with its name.

`templates/common` is part of every package, each other folder belongs to a kind. In paths, `PACKAGE` stands for the
import name, and every file has the additional suffix `.jinja`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2

from vsezoo import registry
from vsezoo.errors import UsageError
from vsezoo.registry import API_VERSION, KINDS, OWN
from vsezoo.scaffold.examples import DEFAULT_KINDS, EXAMPLES, PARTS, Example
from vsezoo.storage.atomic_folder import make_temporary

TEMPLATES = Path(__file__).with_name("templates")
COMMON = "common"
ENDING = ".jinja"
PLACEHOLDER = "PACKAGE"
LONGEST = 40
"""Longest name: the lines of the templates leave room for so many characters."""


def write_package(name: str, kinds: Sequence[str] = DEFAULT_KINDS, output: Path | None = None) -> Path:
    """Write the package of a plugin, which can be installed, trained and tested without changes.

    Args:
        name: name of the distribution, the model, and everything else that it registers.
        kinds: worked examples to include, keys of `EXAMPLES`; a model is always included.
        output: the output folder; None: a folder of this name in the current folder.

    Returns:
        the folder.

    Raises:
        UsageError: for a name that is invalid or already used, or a folder that is not empty.
        StorageError: when a file cannot be written; no file is left then.
    """
    package = name.replace("-", "_")
    chosen = {kind: example for kind, example in EXAMPLES.items() if kind in kinds or kind == "recipe"}
    _require_name(name, package, [example.group for example in chosen.values()])
    folder = Path(name) if output is None else output
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        problem = "is not empty." if folder.is_dir() else "is a file."
        raise UsageError(problem, file=folder, remedy="Choose a folder that does not exist yet with --output.")
    values = _collect(name, package, chosen)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    with make_temporary(folder.absolute()) as temporary:
        for template, path in _list_templates((COMMON, *chosen), package):
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            text = environment.from_string(template.read_text(encoding="utf-8")).render(values)
            target.write_text(text, encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for item in temporary.iterdir():
            item.rename(folder / item.name)
    return folder


def _list_templates(folders: Sequence[str], package: str) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield each template with the path of its file in the package."""
    for folder in folders:
        for template in sorted((TEMPLATES / folder).rglob(f"*{ENDING}")):
            parts = template.relative_to(TEMPLATES / folder).with_suffix("").parts
            yield template, PurePosixPath(*(package if part == PLACEHOLDER else part for part in parts))


def _collect(name: str, package: str, chosen: dict[str, Example]) -> dict[str, Any]:
    """Return the variables of the templates."""
    nouns = [example.noun for kind, example in chosen.items() if kind != "recipe"]
    own = {part: kind in chosen for part, (kind, *_) in PARTS.items()}
    words = [its if own[part] else other for part, (_, _, its, other) in PARTS.items()]
    words[0] = words[0][0].upper() + words[0][1:]
    return {
        "name": name,
        "package": package,
        "kinds": list(chosen),
        "contents": " and ".join(filter(None, [", ".join(nouns), "a model"])),
        "summary": f"{', '.join(words)}.",
        "parts": {part: name if own[part] else builtin for part, (_, builtin, *_) in PARTS.items()},
        "entry_points": {example.group: example.value for example in chosen.values()},
        "files": {file: text for example in chosen.values() for file, text in example.files.items()},
        "api_version": API_VERSION,
        "vsezoo_version": metadata.version(OWN),
    }


def _require_name(name: str, package: str, groups: Sequence[str]) -> None:
    """Raise UsageError for a name that is invalid or already used."""
    remedy = "Choose another name."
    if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} cannot be the name of a plugin.",
            remedy=f"Use up to {LONGEST} lower-case letters, digits and single hyphens, letter first: my-model",
        )
    if keyword.iskeyword(package):
        raise UsageError(f"{name!r} is a keyword of Python and cannot be the name of a package.", remedy=remedy)
    for group in groups:
        rivals = [entry for entry in registry.list_entries(group) if entry.name == name]
        if rivals:
            raise UsageError(
                f"The {KINDS[group].noun} {name!r} is already registered by {rivals[0].distribution}.", remedy=remedy
            )
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
    else:
        raise UsageError(f"{name} {version} is already installed.", remedy=remedy)
    found = util.find_spec(package)
    if found is not None and found.origin is not None:  # None: any folder of this name
        raise UsageError(f"There is already a Python module {package!r}, which would be hidden.", remedy=remedy)

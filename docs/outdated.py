"""Files that a script writes: written where they are not current, or with `--check` only named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def list_outdated(wanted: Mapping[Path, str | None]) -> dict[Path, str | None]:
    """Return the files that are not current, each with what it should hold; None: it should not be there."""
    return {file: text for file, text in wanted.items() if text != (file.read_text("utf-8") if file.exists() else None)}


def write_outdated(about: str | None, script: str, find: Callable[[], Mapping[Path, str | None]]) -> None:
    """Write the files of a script that are not current, or with `--check` name them and exit with 1.

    Args:
        about: the docstring of the script, shown by `--help`.
        script: its path in the repository.
        find: returns what `list_outdated` gives.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is not current")
    options = parser.parse_args()
    outdated = find()
    for file, text in outdated.items():
        if options.check:
            name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else Path(*file.parts[-2:])
            print(f"{name} is not current: run python {script}")
        elif text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")
    sys.exit(1 if options.check and outdated else 0)

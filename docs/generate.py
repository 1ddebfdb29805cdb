"""Put the output of commands into `cli.md`: `python docs/generate.py` writes what stands between its markers.

    <!-- output: vsezoo list-models -->
    …
    <!-- end -->

The commands run at 80 columns in an empty folder, without plugins, so that the output is the same everywhere. A test
compares the page with it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
BLOCK = re.compile(r"(<!-- output: (?P<command>[^\n]+) -->\n)[\s\S]*?(?=<!-- end -->)")


def main() -> None:
    """Write the outputs into the page."""
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def render(text: str) -> str:
    """Return a page with the present outputs between its markers."""
    return BLOCK.sub(lambda match: f"{match[1]}\n```text\n{run(match['command'])}\n```\n\n", text)


def run(command: str) -> str:
    """Return what a command prints, without spaces at the ends of lines."""
    _, *arguments = shlex.split(command)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "COLUMNS": "80", "PYTHONUTF8": "1", "VSEZOO_PLUGINS": "none"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", "from vsezoo.cli import main; main(prog_name='vsezoo')", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


if __name__ == "__main__":
    main()

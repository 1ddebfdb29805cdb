"""Documentation that is done as a reader would do it; no tests in here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from environments import Environment

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", flags=re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"^`([\w./]+)`:\n\n\Z", flags=re.MULTILINE)


def follow(page: str, environment: Environment) -> list[str]:
    """Do what the blocks of a page say, in their order, and return the commands that were run.

    A block below a line that names a file becomes this file. A block of TOML becomes the table of the same name in
    pyproject.toml, one of Python runs, and prints what its comments say, and one of the shell is run line by line.
    """
    commands: list[str] = []
    for block in BLOCK.finditer(page):
        language, text = block["language"], block["text"]
        place = PLACE.search(page[: block.start()])
        if place:
            (environment.work / place[1]).write_text(text, encoding="utf-8")
        elif language == "toml":
            _exchange_table(environment.work / "pyproject.toml", text)
        elif language == "python":
            _run_python(text, environment)
        elif language == "sh":
            for line in text.splitlines():
                commands.append(line)
                if line.startswith("cd "):
                    environment.work /= line.removeprefix("cd ")
                elif line.startswith("vsezoo "):
                    environment.vsezoo(*shlex.split(line)[1:])
                elif line.startswith("python -m "):
                    module, *arguments = shlex.split(line)[2:]
                    environment.run_warm(module, *arguments, module=module)
                else:
                    environment.run("bash", "-c", line)
    return commands


def _exchange_table(file: Path, text: str) -> None:
    before = file.read_text(encoding="utf-8")
    header = text.splitlines()[0]
    after = re.sub(rf"{re.escape(header)}\n(?:.+\n)*", lambda _: text, before)
    assert after != before, f"{header} is not in {file.name}, or is so already"
    file.write_text(after, encoding="utf-8")


def _run_python(text: str, environment: Environment) -> None:
    expected = re.findall(r"print\(.*\)  # (.+)$", text, flags=re.MULTILINE)
    assert environment.python(text).stdout.splitlines() == expected

"""Errors of the operating system as one message, whatever their number."""

from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.errors import StorageError, describe_system, first_line, pluralise, report_system_errors


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_number_has_a_message_and_a_remedy(number: int) -> None:
    error = describe_system(OSError(number, errno.errorcode[number], "a/b"))
    assert str(error).startswith(f"a/b: {errno.errorcode[number]}.\n")
    assert error.remedy


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error", "x"), OSError(errno.ESTALE, "Stale", "y"), OSError(99999, "odd")],
)
def test_a_command_ends_with_one_message(error: OSError) -> None:
    @registry.register("commands", "fail-here")
    @click.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(main, ["fail-here"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [("\n a. \nb", "a"), ("no:\n\tValueError: x = 3.\nb", "no: x = 3"), ("a:", "a"), (" \n", "ValueError")],
)
def test_the_first_line_of_an_error(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line


def test_a_number_with_its_noun() -> None:
    assert [pluralise(number, "byte") for number in (0, 1, 2000)] == ["0 bytes", "1 byte", "2,000 bytes"]


def test_functions_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @report_system_errors
    def fail() -> None:
        raise OSError(errno.ESTALE, "Stale file handle", "data")

    with pytest.raises(StorageError, match=r"data: Stale file handle\.\nCheck whether the disk works"):
        fail()

    def refuse(path: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        vsezoo.load(tmp_path / "a")

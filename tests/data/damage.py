"""Ways to spoil a small set of data, each a function of `SPOIL`, which gets its folder and a file. No tests in here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from data_forms import CAPTIONS, make_karpathy, make_table


def truncate(folder: Path, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])


def empty(folder: Path, file: Path) -> None:
    file.write_bytes(b"")


def flip(folder: Path, file: Path) -> None:
    """Make bytes in the middle something else, which is not UTF-8 either."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4] = b"\xff\xfe\x00\x9d"
    file.write_bytes(content)


def garble(folder: Path, file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(3000))


def make_numbers(folder: Path, file: Path) -> None:
    """Write a number in the place of each caption, where the file has texts."""
    content = file.read_bytes()
    for number, text in enumerate(CAPTIONS):
        content = content.replace(f'"{text}"'.encode(), str(number).encode()).replace(text.encode(), b"%d" % number)
    file.write_bytes(content)


def join_another(folder: Path, file: Path) -> None:
    """Put the files of another form beside those of this one."""
    other = folder.parent / "other"
    other.mkdir()
    (make_karpathy if file.suffix in (".csv", ".tsv", ".jsonl") else make_table)(other)
    shutil.copytree(other, folder, dirs_exist_ok=True)
    shutil.rmtree(other)


def change_case(folder: Path, file: Path) -> None:
    """Give a picture a name that differs in case."""
    for picture in list(folder.rglob("Aa.*g")):
        picture.rename(picture.with_name(f"aA{picture.suffix}"))


def decompose(folder: Path, file: Path) -> None:
    """Give a picture the name that macOS gives it."""
    for picture in list(folder.rglob("é.*g")):
        picture.rename(picture.with_name(f"e\u0301{picture.suffix}"))


def replace_by_folder(folder: Path, file: Path) -> None:
    file.unlink()
    file.mkdir()


def break_picture(folder: Path, file: Path) -> None:
    for picture in folder.rglob("b.*g"):
        picture.write_bytes(picture.read_bytes()[:20])


SPOIL = {
    one.__name__: one
    for one in (truncate, empty, flip, garble, make_numbers, join_another, change_case, decompose, replace_by_folder)
} | {"break_picture": break_picture}

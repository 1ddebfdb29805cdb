"""`vsezoo convert`: files that are not a checkpoint of any codebase, and configs of strangers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import torch
from lists_importer import (
    convert,
)
from safetensors.numpy import save_file

from vsezoo.errors import CheckpointError
from vsezoo.registry import list_entries
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.storage.json_file import read_object

# What is no checkpoint


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "vsepp/model_best.pth.tar")


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vse/f8k.npz", b"")
        archive.writestr("vse/coco.npz", b"")


def write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, images=np.ones((2, 3)), captions=np.array(["a"]))


def write_vocabulary(path: Path) -> None:
    path.write_text(json.dumps({"word2idx": {"a": 0}, "idx2word": {"0": "a"}, "idx": 1}), encoding="utf-8")


def write_many(path: Path) -> None:
    torch.save({f"layer{index}.weight": torch.zeros(1) for index in range(12)}, path)


STRANGERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "is compressed with gzip.\nUnpack it first"),
    "tar": (write_tar, "is a tar archive.\nUnpack it first"),
    "zip": (write_zip, "is a zip archive of vse/f8k.npz, vse/coco.npz.\nUnpack it first"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "is an HDF5 file"),
    "page": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "is a web page or XML, not a checkpoint"),
    "safetensors": (lambda path: save_file({"a": np.ones(2)}, path), "is a safetensors file"),
    "vocabulary": (write_vocabulary, "is a vocabulary, not a checkpoint.\nGive the checkpoint with this"),
    "npz": (write_npz, "it is an .npz file of the arrays images, captions.\nKnown formats:"),
    "torch": (write_many, "it is a torch file of a dictionary with the keys layer0.weight, "),
    "number": (lambda path: path.write_text("[1, 2]", encoding="utf-8"), "it is a JSON file of a list of 2."),
    "empty": (lambda path: path.touch(), "is empty."),
    "text": (
        lambda path: path.write_text("image,caption\na.jpg,a dog\n", encoding="utf-8"),
        "is not of a known format: it matches no signature and cannot be read as a pickle.\nKnown formats",
    ),
    "damaged": (
        lambda path: path.write_bytes(b"\x80\x02]"),
        "before its pickle is complete, or continues with something else.\nDownload",
    ),
    "damaged text": (
        lambda path: path.write_bytes(b"(dp0\ng7\n."),
        "a memo entry that does not exist: it is damaged.\nDownload",
    ),
    "folder": (lambda path: path.mkdir(), "is not of a known format: it is an empty folder."),
    "nothing": (lambda path: None, "does not exist.\nGive a file or folder to convert."),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    write, words = STRANGERS[name]
    write(tmp_path / "x")
    for more in ((), ("--from", "lists")):
        done = convert(tmp_path, "x", *more, code=2 if name == "nothing" else 1)
        wanted = words.replace("not of a known format", "not of the format 'lists'") if more else words
        assert done.stderr.startswith("Error: x: ")
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_formats_are_listed_where_none_fits(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}", encoding="utf-8")
    done = convert(tmp_path, "x", code=1)
    assert done.stderr.startswith("Error: x: is not of a known format: it is a JSON file of an empty dictionary.\n")
    assert "\nKnown formats:\n" in done.stderr
    assert "\n  lists: Lists of numbers.\n" in done.stderr


def test_every_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "convert.md").read_text(encoding="utf-8")
    own = [entry.name for entry in list_entries("importers") if entry.distribution == "vsezoo"]
    assert [name for name in own if f"\n| `{name}` |" not in page] == []


def test_a_config_that_does_not_say_where_it_comes_from(made: Path, tmp_path: Path) -> None:
    config = read_object(made / "config.json")
    for converted, words in (
        ("from a friend", "has an invalid entry 'format' about its conversion"),
        ({**config["converted"], "notes": []}, "has an invalid entry 'notes' about its conversion"),
        ({**config["converted"], "files": {"x": {"size": "1"}}}, "has no size and sha256 for 'x'"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, "converted": converted}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=words):
            read_config(tmp_path, verify=False)


def test_what_a_strange_config_says_is_no_command_for_a_terminal(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    config = read_object(folder / "config.json")
    config["converted"]["notes"] = {"\x1b[2Jnote": "\x1b[31mred", "options": {"a\x07": "\x1b]0;title\x07"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shown = commands.run_command(tmp_path, "show", "here").stdout
    assert "[31mred" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_file_that_may_not_be_read(source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    shutil.copy(source, tmp_path / "x")
    (tmp_path / "x").chmod(0)
    processes.assert_one_message(convert(tmp_path, "x", code=1), 1, r"^x: cannot be read: Permission denied")

"""`vsezoo embed`."""

from __future__ import annotations

import json
from pathlib import Path

import colours
import commands
import numpy as np
import processes
import pytest
import tiny
from safetensors.torch import load_file

import vsezoo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tiny.write_data(tmp_path / "photos")
    pairs = tiny.TinyPairs()
    tiny.save_model(tmp_path / "run", tiny.make_model(data=pairs), pairs)
    assert data.is_dir()
    return tmp_path


def embed(folder: Path, *arguments: str) -> processes.Done:
    return commands.run_command(folder, "embed", "run", *arguments, "--device", "cpu")


def test_a_data_set(folder: Path) -> None:
    done = embed(folder, "--data", "./photos", "--split", "dev", "--output", "out/a.safetensors")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == ("out/a.safetensors: embeddings of 20 images and 100 texts; their ids are in out/a.json\n")
    found = load_file(folder / "out" / "a.safetensors")
    model = vsezoo.load(folder / "run")
    features = np.load(folder / "photos" / "dev_ims.npy")
    assert np.allclose(found["images"].numpy(), model.encode_images(features).numpy(), atol=1e-6)
    assert found["texts"].shape == (100, 5)
    listing = json.loads((folder / "out" / "a.json").read_text(encoding="utf-8"))
    assert (listing["images"][3], listing["texts"][16]) == ("3", "3#1")


def test_files(folder: Path) -> None:
    (folder / "a.txt").write_text("a dog\nsnow\n", encoding="utf-8")
    done = embed(folder, "--images", "photos/test_ims.npy", "--texts", "a.txt", "--output", "a.safetensors", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "checkpoint": "run",
        "embeddings": "a.safetensors",
        "ids": "a.json",
        "counts": {"images": 20, "texts": 2},
        "skipped": {},
    }
    assert embed(folder, "--texts", "a.txt", "--output", "a.npy").code == 0
    assert np.array_equal(np.load(folder / "a.npy"), load_file(folder / "a.safetensors")["texts"].numpy())


def test_items(tmp_path: Path) -> None:
    colours.save_colour_model(tmp_path / "run")
    colours.paint(tmp_path / "a.png", colours.COLOURS["blue"])
    (tmp_path / "green").touch()  # a sentence may be the name of a file
    done = embed(tmp_path, "a.png", "red red", "green", "--output", "out.safetensors", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert {name: rows.tolist() for name, rows in load_file(tmp_path / "out.safetensors").items()} == {
        "images": [[0, 0, 1]],
        "texts": [[2, 0, 0], [0, 1, 0]],
    }
    listing = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (listing["images"], listing["texts"]) == (["a.png"], ["0", "1"])
    (tmp_path / "a.txt").touch()
    for item, message in (
        ("a.txt", r"^'a\.txt' is neither a picture nor a sentence\.\nTry --texts a\.txt$"),
        ("run", r"^'run' is neither a picture nor a sentence\.\nTry --images run$"),
        ("b.npy:3", r"^'b\.npy:3' is neither"),
        (" ", r"^The sentence is empty"),
        ("b.png", r"^b\.png: does not exist"),
        ("c" * 300 + ".png d", r"^'c+\.png d' cannot be combined with"),
    ):
        more = ("--texts", "a.txt") if item[0] == "c" else ()
        processes.assert_one_message(embed(tmp_path, item, *more, "--output", "b.npy"), 2, message)


def test_mistakes(folder: Path) -> None:
    (folder / "a.txt").write_text("a dog\n", encoding="utf-8")
    (folder / "photos" / "features.json").write_text("{}", encoding="utf-8")
    weights = (folder / "run" / "model.safetensors").read_bytes()
    for arguments, code, message in (
        (("--output", "a.npy"), 2, r"^There is nothing to embed"),
        (("--texts", "a.txt"), 2, r"Missing option '--output'"),
        (("--texts", "a.txt", "--output", "a.txt"), 2, r"^'a\.txt' must end in \.safetensors or \.npy"),
        (("--data", "./photos", "--texts", "a.txt", "--output", "a.npy"), 2, r"^--data cannot be combined"),
        (("--data", "./photos", "--output", "a.npy"), 2, r"^'a\.npy' can contain only one array"),
        (("--texts", "a.txt", "--output", "a.txt/b.npy"), 1, r"^a\.txt/b\.json: cannot be written"),
        (("--texts", "a.txt", "--output", "run/model.safetensors"), 2, r"^'run/model\.safetensors' is a file of the"),
        (("--data", "./photos", "--output", "photos/features.safetensors"), 2, r"^'photos/features\.json' exists"),
        (("--texts", "none.txt", "--output", "a.npy"), 2, r"^none\.txt: does not exist"),
    ):
        processes.assert_one_message(embed(folder, *arguments), code, message)
    assert not (folder / "a.npy").exists()
    assert (folder / "run" / "model.safetensors").read_bytes() == weights

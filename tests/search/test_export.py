"""Embeddings as files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from colours import ColourImageEncoder, paint_folder, save_colour_model
from processes import read_files
from safetensors.torch import load_file
from tiny import TinyPairs

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import DataError, StorageError, UsageError
from vsezoo.features.folder import Shard
from vsezoo.search import export
from vsezoo.search.embedding import BLOCKS
from vsezoo.search.export import embed
from vsezoo.search.gallery import write_gallery
from vsezoo.search.index import open_index


def test_images_and_texts_of_a_split(tmp_path: Path) -> None:
    model, data = tiny.save_model(tmp_path / "run"), TinyPairs()
    told: list[tuple[int, int]] = []
    export = embed(
        tmp_path / "run",
        images=data,
        texts=data,
        output=tmp_path / "out.safetensors",
        advance=lambda done, total: told.append((done, total)),
    )
    found = load_file(tmp_path / "out.safetensors")
    assert torch.allclose(found["images"], model.encode_images(data.features), atol=1e-6)
    assert torch.allclose(found["texts"], model.encode_texts(data.captions), atol=1e-6)
    listing = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert listing["images"] == data.image_ids
    assert listing["texts"][:6] == [*(f"image0#{number}" for number in range(5)), "image1#0"]
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert listing["sha256"] == config["files"]["model.safetensors"]["sha256"]
    assert (listing["model"], listing["similarity"], listing["skipped"]) == ("vsepp", "cosine", {})
    assert (export.counts, export.skipped) == ({"images": 6, "texts": 30}, {})
    assert told == [(6, 36), (36, 36)]


def test_an_array_of_one_of_them(tmp_path: Path) -> None:
    model = tiny.save_model(tmp_path / "run")
    (tmp_path / "a.txt").write_text("a dog\n\nsnow\n", encoding="utf-8")
    embed(tmp_path / "run", texts=tmp_path / "a.txt", output=tmp_path / "out.npy")
    assert np.allclose(np.load(tmp_path / "out.npy"), model.encode_texts(["a dog", "snow"]).numpy(), atol=1e-6)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["texts"] == ["1", "3"]


def test_pictures_that_are_left_out(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    photos = paint_folder(tmp_path / "photos")
    (photos / "b-green.png").write_bytes(b"")
    export = embed(tmp_path / "run", images=photos, output=tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").tolist() == [[1, 0, 0], [0, 0, 1]]
    listing = json.loads(export.list_file.read_text(encoding="utf-8"))
    assert listing["images"] == ["a-red.png", "more/c-blue.png"]
    assert list(listing["skipped"]) == list(export.skipped) == ["b-green.png"]


@pytest.mark.slow
def test_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_colour_model(tmp_path / "run")
    photos = paint_folder(tmp_path / "photos")
    (photos / "d.png").write_bytes(b"")
    monkeypatch.setitem(BLOCKS, "picture", 1)

    def embed_shard(index: int, count: int, name: str = "out", **what: Any) -> tuple[int, int, dict[str, str]]:
        ColourImageEncoder.encoded.clear()
        shard, output = Shard(index, count), tmp_path / f"{name}.safetensors"
        done = embed(tmp_path / "run", images=photos, output=output, shard=shard, **what)
        assert output.exists() == (not done.missing)
        return done.missing, len(ColourImageEncoder.encoded), dict(done.skipped)

    damaged = {"d.png": "is empty (0 bytes)."}
    assert embed_shard(1, 2, texts=["red", "blue"]) == (2, 1, damaged)
    assert embed_shard(1, 2, texts=["red", "blue"]) == (2, 0, {})  # what it has, it keeps
    assert embed_shard(2, 3) == (2, 0, {})
    assert embed_shard(0, 2, texts=["red", "blue"]) == (0, 2, damaged)
    found = load_file(tmp_path / "out.safetensors")
    assert found["images"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found["texts"].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert embed_shard(0, 1, "whole") == (0, 0, damaged)
    with pytest.raises(UsageError, match=r"^--shard is for --engine local"):
        embed_shard(0, 2, engine="ray")
    with pytest.raises(DataError, match=r"d\.png: is empty"):
        embed_shard(2, 4, on_bad_image="error")


def test_what_is_embedded_is_not_replaced(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    (tmp_path / "a.json").write_text("a dog\n", encoding="utf-8")
    np.save(tmp_path / "b.npy", TinyPairs().features)
    for kind, source, output in (("texts", "a.json", "a.npy"), ("images", "b.npy", "b.npy")):
        before = (tmp_path / source).read_bytes()
        with pytest.raises(UsageError, match=rf"{source}' is the input file"):
            embed(tmp_path / "run", **{kind: tmp_path / source}, output=tmp_path / output)  # type: ignore[arg-type]
        assert (tmp_path / source).read_bytes() == before


def test_a_checkpoint_and_lists_of_others_are_not_replaced(tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny.save_model(run)
    (tmp_path / "dataset_own.json").write_text('{"images": []}', encoding="utf-8")
    (tmp_path / "link.safetensors").symlink_to(run / "model.safetensors")
    before = read_files(tmp_path)
    for output, message in (
        (
            run / "model.safetensors",
            r"run/model\.safetensors' is a file of the checkpoint; refusing to overwrite it\.\nChoose",
        ),
        (run / "config.npy", r"run/config\.json' is a file of the checkpoint"),
        (tmp_path / "link.safetensors", r"link\.safetensors' is a file of the checkpoint"),
        (tmp_path / "dataset_own.npy", r"dataset_own\.json' exists and is not a list of ids .*\nChoose another file"),
    ):
        with pytest.raises(UsageError, match=message):
            embed(run, texts=TinyPairs(), output=output)
        assert read_files(tmp_path) == before
    for texts in (["a dog"], ["snow", "a dog"]):  # what is there from before is replaced
        assert embed(run, texts=texts, output=run / "own.npy").counts == {"texts": len(texts)}
    assert len(np.load(run / "own.npy")) == 2


def test_rows_and_ids_are_replaced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, output = tmp_path / "run", tmp_path / "own" / "own.npy"
    tiny.save_model(run)
    embed(run, texts=["a dog"], output=output)
    before = read_files(output.parent)
    monkeypatch.setattr(export, "write_json", lambda *_: Path("/dev/full").write_bytes(b"{}"))
    with pytest.raises(StorageError, match=r"own\.json: cannot be written: No space left"):
        embed(run, texts=["snow", "a dog"], output=output)
    assert read_files(output.parent) == before


def test_names_of_files_need_not_be_utf8(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    photos = paint_folder(tmp_path / "photos")
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (photos / "a-red.png").rename(photos / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    export = embed(tmp_path / "run", images=photos, output=tmp_path / "out.npy")
    assert json.loads(export.list_file.read_text(encoding="utf-8"))["images"] == [
        "b-green.png",
        name,
        "more/c-blue.png",
    ]
    index = open_index(tmp_path / "run", images=photos)
    hits = index.search("red", 1)
    assert hits[0].id == name
    write_gallery(tmp_path / "page.html", name, None, hits, index.collection, "vsepp")
    assert r"caf\udce9.png</span>" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "output", "message"),
    [
        ({}, "out.npy", r"^There is nothing to embed\.\nGive images, texts, or both"),
        ({"texts": ["a"]}, "out.pt", r"out\.pt' must end in \.safetensors or \.npy"),
        ({"texts": ["a"], "images": TinyPairs()}, "out.npy", r"can contain only one array, .*\n.*\.safetensors"),
    ],
)
def test_mistakes(tmp_path: Path, what: dict[str, Any], output: str, message: str) -> None:
    tiny.save_model(tmp_path / "run")
    with pytest.raises(UsageError, match=message):
        embed(tmp_path / "run", output=tmp_path / output, **what)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_texts_alone_want_no_image_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.save_model(tmp_path / "run")
    monkeypatch.delattr(Checkpoint, "model")
    embed(tmp_path / "run", texts=["a dog", "snow"], output=tmp_path / "out.npy")
    assert np.allclose(np.load(tmp_path / "out.npy"), model.encode_texts(["a dog", "snow"]).numpy(), atol=1e-6)

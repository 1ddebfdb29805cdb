"""The cache of embeddings: what has not changed is not embedded again, what is damaged is made anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from colours import COLOURS, ColourImageEncoder, count_encoded, paint, paint_folder, save_colour_model

from vsezoo.errors import DataError
from vsezoo.search.index import Index, open_index
from vsezoo.search.store import TOPIC, WHOLE


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "photos")


ALL = ["a-red.png", "b-green.png", "more/c-blue.png"]


def test_the_second_call_embeds_nothing(run: Path, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_encoded(run, images=photos) == (3, ALL)
    (whole,) = cache.rglob(WHOLE)
    shutil.copy(whole, whole.with_name("a.part"))  # a block that could not be removed
    assert count_encoded(run, images=photos) == (0, ALL)
    assert not list(cache.rglob("*.part"))
    monkeypatch.chdir(photos.parent)
    assert count_encoded(run, images="photos") == (0, ALL)


@pytest.mark.slow
def test_what_changed_is_embedded_and_nothing_else(run: Path, photos: Path) -> None:
    count_encoded(run, images=photos)
    paint(photos / "b-green.png", (0, 200, 0))
    os.utime(photos / "b-green.png", ns=(5, 5))
    assert count_encoded(run, images=photos) == (1, ALL)
    paint(photos / "0-green.png", COLOURS["green"])
    assert count_encoded(run, images=photos) == (1, ["a-red.png", "0-green.png", "more/c-blue.png"])
    (photos / "0-green.png").unlink()
    assert count_encoded(run, images=photos) == (0, ALL)
    (photos / "more" / "c-blue.png").rename(photos / "d-blue.png")
    assert count_encoded(run, images=photos)[0] == 1


def test_another_checkpoint_has_embeddings_of_its_own(run: Path, photos: Path, tmp_path: Path) -> None:
    count_encoded(run, images=photos)
    shutil.copytree(run, tmp_path / "copy")
    assert count_encoded(tmp_path / "copy", images=photos)[0] == 0  # the same checkpoint at another place
    save_colour_model(tmp_path / "other", "order")
    assert count_encoded(tmp_path / "other", images=photos)[0] == 3


def test_features_and_their_file(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.eye(3, dtype=np.float32))
    ids = [f"{path}:{row}" for row in range(3)]
    assert count_encoded(run, images=path) == (3, ids)
    assert count_encoded(run, images=path) == (0, ids)
    np.save(path, np.eye(3, dtype=np.float32)[::-1])
    os.utime(path, ns=(5, 5))
    assert count_encoded(run, images=path) == (3, ids[::-1])


def test_sentences(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    told: list[tuple[int, int]] = []

    def open_sentences() -> Index:
        told.clear()
        return open_index(run, texts=path, advance=lambda done, total: told.append((done, total)))

    path.write_text("green\nred\n", encoding="utf-8")
    assert open_sentences().search(torch.tensor([1.0, 0, 0]))[0].text == "red"
    assert told == [(2, 2)]
    path.write_text("blue\ngreen\nred\n", encoding="utf-8")
    assert open_sentences().search(torch.tensor([1.0, 0, 0]))[0].id == "3"
    assert told == [(3, 3)]  # of which two were known


@pytest.mark.parametrize("damage", [b"", b"no tensors", "cut", "flip"])
@pytest.mark.slow
def test_a_damaged_file_is_made_anew(run: Path, photos: Path, cache: Path, damage: bytes | str) -> None:
    count_encoded(run, images=photos)
    (file,) = (cache / TOPIC).glob("*/*")
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[-3:]
    elif damage == "flip":
        content[4096 + 5] ^= 64  # in the first row
    else:
        assert isinstance(damage, bytes)
        content = bytearray(damage)
    file.write_bytes(content)
    assert count_encoded(run, images=photos) == (3, ALL)
    assert count_encoded(run, images=photos) == (0, ALL)


def test_a_cache_that_cannot_be_written(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "file"))
    assert count_encoded(run, images=photos) == (3, ALL)
    warning = capsys.readouterr().err
    assert warning.startswith("Warning: The embeddings could not be cached: ")
    assert "cannot be written: " in warning


def test_pictures_that_cannot_be_read(run: Path, photos: Path) -> None:
    (photos / "b-green.png").write_bytes(b"no picture")
    for encoded in (2, 0):
        ColourImageEncoder.encoded.clear()
        index = open_index(run, images=photos)
        assert sum(ColourImageEncoder.encoded) == encoded
        assert len(index) == 2
        assert list(index.skipped) == ["b-green.png"]
        assert [hit.id for hit in index.search("blue")] == ["more/c-blue.png", "a-red.png"]
    with pytest.raises(DataError, match=r"b-green\.png: is not a picture"):
        open_index(run, images=photos, on_bad_image="error")
    paint(photos / "b-green.png", COLOURS["green"])
    assert count_encoded(run, images=photos) == (1, ALL)


def test_no_picture_can_be_read(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"bad: none of its 1 pictures can be read; the first one is empty"):
        open_index(run, images=folder)


@pytest.mark.slow
def test_a_block_of_pictures_is_decoded_in_batches(run: Path, tmp_path: Path) -> None:
    """A block of large pictures would fill the memory."""
    for number in range(70):
        paint(tmp_path / "many" / f"{number:02}.png", COLOURS["red"])
    ColourImageEncoder.encoded.clear()
    told: list[tuple[int, int]] = []
    open_index(run, images=tmp_path / "many", advance=lambda done, total: told.append((done, total)))
    assert ColourImageEncoder.encoded == [16, 16, 16, 16, 6]
    assert told == [(64, 70), (70, 70)]


@pytest.mark.slow
def test_many_blocks(run: Path, tmp_path: Path) -> None:
    """More rows than are embedded, copied or compared at a time; then one file of which a part is new."""
    path = tmp_path / "a.txt"
    lines = ["red", *["green blue"] * 2500, "blue"]
    path.write_text("\n".join(lines), encoding="utf-8")
    index = open_index(run, texts=path)
    assert [hit.id for hit in index.search(torch.tensor([1.0, 0, 0]), k=3)] == ["1", "2", "3"]
    path.write_text("\n".join([*lines[:1700], "red red", *lines[1700:]]), encoding="utf-8")
    index = open_index(run, texts=path)
    assert len(index) == 2503
    assert [hit.id for hit in index.search(torch.tensor([1.0, 0, 0]), k=3)] == ["1701", "1", "2"]
    assert index.search(torch.tensor([0, 0, 1.0]), k=2503)[-1].score == 0

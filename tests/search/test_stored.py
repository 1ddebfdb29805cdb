"""Index folders: built, extended and shrunk, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
from colours import COLOURS, ColourImageEncoder, paint, paint_folder, save_colour_model, write_features

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import DataError, UsageError, VsezooError
from vsezoo.search import embedding
from vsezoo.search.embedding import EmbeddedBlock
from vsezoo.search.index import Index, open_index
from vsezoo.search.sources import collect_images, collect_texts
from vsezoo.search.stored import building
from vsezoo.search.stored.building import add_to_folder, build_index, remove_from_folder
from vsezoo.search.stored.checksums import sum_file
from vsezoo.search.stored.manifest import NAME, TABLE, read_manifest, write_manifest
from vsezoo.search.stored.measuring import measure_folder
from vsezoo.search.stored.opening import open_folder
from vsezoo.search.stored.writer import lock_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "photos")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "photos.index"


def ids(index: Index, query: str = "red", k: int = 9) -> list[str]:
    return [hit.id for hit in index.search(query, k)]


def encoded_by(build: Any, *arguments: Any, **options: Any) -> int:
    """Return how many pictures a call has encoded."""
    ColourImageEncoder.encoded.clear()
    build(*arguments, **options)
    return sum(ColourImageEncoder.encoded)


def test_a_folder_finds_what_the_collection_does(run: Path, photos: Path, folder: Path) -> None:
    manifest = build_index(run, folder, images=photos)
    assert (manifest.alive, manifest.width, manifest.kind) == (3, 3, "picture")
    found = open_index(run, index=str(folder))
    assert len(found) == 3
    for query in ("red", "green", "blue green"):
        assert found.search(query, 3) == open_index(run, images=photos).search(query, 3)
    assert found.collection.find_picture(2) == photos / "more" / "c-blue.png"


def test_sentences_in_a_folder(run: Path, tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("red\n\nblue green\n", encoding="utf-8")
    assert build_index(run, folder, texts=file).alive == 2
    picture = paint(tmp_path / "blue.png", COLOURS["blue"])
    (first, second) = open_index(run, index=str(folder)).search(picture, 2)
    assert (first.id, first.text, second.text) == ("3", "blue green", "red")


def test_only_what_is_new_or_has_changed_is_embedded(run: Path, photos: Path, folder: Path) -> None:
    build_index(run, folder, images=photos)
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup, copy_function=os.link)
    before = processes.read_files(backup)
    paint(photos / "d-red.png", COLOURS["red"])
    paint(photos / "b-green.png", COLOURS["blue"])
    (photos / "a-red.png").unlink()
    opened = Checkpoint.open(run)
    assert encoded_by(add_to_folder, opened, folder, collect_images(photos)) == 2
    assert ids(open_index(run, index=str(folder))) == ["a-red.png", "d-red.png", "more/c-blue.png", "b-green.png"]
    assert encoded_by(add_to_folder, opened, folder, collect_images(photos)) == 0
    assert read_manifest(folder).count == 5
    assert encoded_by(build_index, run, folder, images=photos) == 0
    assert sorted(ids(open_index(run, index=str(folder)))) == ["b-green.png", "d-red.png", "more/c-blue.png"]
    assert read_manifest(folder).count == 3
    assert processes.read_files(backup) == before


@pytest.mark.slow
def test_items_are_removed_by_id_or_because_they_are_gone(run: Path, photos: Path, folder: Path) -> None:
    build_index(run, folder, images=photos)
    before = open_index(run, index=str(folder))
    assert remove_from_folder(folder, ["b-green.png"]).alive == 2
    (photos / "a-red.png").unlink()
    assert remove_from_folder(folder, gone=True).alive == 1
    after = open_index(run, index=str(folder))
    assert (len(after), ids(after), ids(after, "green")) == (1, ["more/c-blue.png"], ["more/c-blue.png"])
    assert ids(before) == ["a-red.png", "b-green.png", "more/c-blue.png"]  # opened before the change
    with pytest.raises(UsageError, match=r"does not contain 'b-green\.png'"):
        remove_from_folder(folder, ["b-green.png"])
    with pytest.raises(UsageError, match="nothing would be left"):
        remove_from_folder(folder, ["more/c-blue.png"])
    assert ids(open_index(run, index=str(folder))) == ["more/c-blue.png"]
    assert encoded_by(add_to_folder, Checkpoint.open(run), folder, collect_images(photos)) == 1  # it is there again


def test_float16_takes_half_the_space(run: Path, photos: Path, folder: Path) -> None:
    build_index(run, folder, images=photos)
    size = (folder / "1.vectors").stat().st_size
    build_index(run, folder, images=photos, dtype="float16")
    assert (folder / "2.vectors").stat().st_size * 2 == size
    assert not (folder / "1.vectors").exists()
    assert ids(open_index(run, index=str(folder)), "green")[0] == "b-green.png"


def test_numbers_that_float16_does_not_have_are_refused(run: Path, tmp_path: Path, folder: Path) -> None:
    np.save(tmp_path / "large.npy", np.full((2, 3), 1e6, np.float32))
    with pytest.raises(DataError, match="not finite in float16"):
        build_index(run, folder, images=tmp_path / "large.npy", dtype="float16")


def test_the_index_of_another_model_is_refused(run: Path, photos: Path, folder: Path, tmp_path: Path) -> None:
    build_index(run, folder, images=photos)
    save_colour_model(tmp_path / "other", similarity="order")
    with pytest.raises(UsageError, match=r"photos\.index: was built with another checkpoint of 'vsepp', \w{12}, not"):
        open_index(tmp_path / "other", index=str(folder))
    with pytest.raises(UsageError, match="another checkpoint"):
        add_to_folder(Checkpoint.open(tmp_path / "other"), folder, collect_images(photos))


def test_vectors_of_another_width_are_refused(run: Path, photos: Path, folder: Path) -> None:
    build_index(run, folder, images=photos)
    paint(photos / "d-red.png", COLOURS["red"])

    def embed(items: Sequence[int]) -> Iterator[EmbeddedBlock]:
        yield EmbeddedBlock(items, np.ones((len(items), 4), np.float32), {})

    with pytest.raises(DataError, match="contains vectors with 3 numbers, not with 4"):
        add_to_folder(Checkpoint.open(run), folder, collect_images(photos), embed=embed)
    assert len(open_index(run, index=str(folder))) == 3


def test_an_id_that_is_there_twice_is_refused(run: Path, tmp_path: Path, folder: Path) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": "a", "text": "red"}\n{"id": "a", "text": "blue"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="has the id 'a' twice"):
        build_index(run, folder, texts=twice)
    twice.write_text('{"id": "a", "text": "red"}\n', encoding="utf-8")
    build_index(run, folder, texts=twice)
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "b", "text": "red"}\n{"id": "a", "text": "blue"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="has the id 'a' already"):
        add_to_folder(Checkpoint.open(run), folder, collect_texts(other))
    other.write_text('{"id": "b", "text": "blue"}\n{"id": "a", "text": "red"}\n', encoding="utf-8")
    assert add_to_folder(Checkpoint.open(run), folder, collect_texts(other)).alive == 2


def test_pictures_of_another_folder_are_refused(run: Path, photos: Path, folder: Path, tmp_path: Path) -> None:
    build_index(run, folder, images=photos)
    paint(tmp_path / "more" / "e.png", COLOURS["red"])
    with pytest.raises(UsageError, match="is another place"):
        add_to_folder(Checkpoint.open(run), folder, collect_images(tmp_path / "more"))


def test_folders_that_are_no_index(run: Path, photos: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="is not an index"):
        open_index(run, index=str(folder / "none"))
    with pytest.raises(UsageError, match=r"photos: contains other files, such as 'a-red\.png'"):
        build_index(run, photos, images=photos)
    build_index(run, folder, images=photos)
    (folder / "1.keys").unlink()
    with pytest.raises(DataError, match=r"1\.keys: is missing"):
        open_index(run, index=str(folder))
    build_index(run, folder, images=photos)
    (folder / "1.vectors").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.vectors: is shorter than it was"):
        open_index(run, index=str(folder))
    (folder / NAME).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"index\.json: cannot be read as JSON"):
        open_index(run, index=str(folder))
    assert build_index(run, folder, images=photos).alive == 3
    (folder / NAME).write_text(json.dumps({"format": 9}), encoding="utf-8")
    with pytest.raises(UsageError, match="has the format 9"):
        build_index(run, folder, images=photos)


def test_a_second_builder_is_refused(run: Path, photos: Path, folder: Path) -> None:
    build_index(run, folder, images=photos)
    paint(photos / "d-red.png", COLOURS["red"])
    with lock_folder(folder):
        for change in (
            lambda: build_index(run, folder, images=photos),
            lambda: add_to_folder(Checkpoint.open(run), folder, collect_images(photos)),
            lambda: remove_from_folder(folder, ["a-red.png"]),
        ):
            with pytest.raises(UsageError, match="another process is changing this index"):
                change()
        assert len(open_index(run, index=str(folder))) == 3
    assert build_index(run, folder, images=photos).alive == 4


@pytest.mark.slow
def test_an_interrupted_build_leaves_the_one_before_and_continues(
    run: Path, photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedding.BLOCKS, "picture", 1)
    build_index(run, folder, images=photos)
    for name in ("d", "e", "f"):
        paint(photos / f"{name}.png", COLOURS["green"])

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(run, folder, images=photos, advance=interrupt)
    assert len(open_index(run, index=str(folder))) == 3
    assert encoded_by(build_index, run, folder, images=photos) == 1
    assert ids(open_index(run, index=str(folder)), "green")[:4] == ["b-green.png", "d.png", "e.png", "f.png"]
    paint(photos / "g.png", COLOURS["red"])
    assert encoded_by(build_index, run, folder, images=photos, dtype="float16") == 1  # the rest is copied


def test_a_build_of_another_kind_does_not_continue_an_interrupted_one(
    run: Path, photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedding.BLOCKS, "picture", 1)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(run, folder, images=photos, advance=interrupt)
    assert encoded_by(build_index, run, folder, images=photos, dtype="float16") == 3


def test_an_exact_index_finds_all_of_itself(run: Path, tmp_path: Path, folder: Path) -> None:
    build_index(run, folder, images=write_features(tmp_path / "a.npy", 40, 0))
    found = measure_folder(Checkpoint.open(run), folder, k=10)
    assert (found.k, found.queries, found.recall) == (10, 40, 1.0)
    found = measure_folder(Checkpoint.open(run), folder, ["red", "green blue"], k=50)
    assert (found.k, found.queries, found.recall) == (40, 2, 1.0)


def test_pictures_of_models_that_do_not_compare_them_are_no_queries(tmp_path: Path, folder: Path) -> None:
    save_colour_model(tmp_path / "run", similarity="order")
    build_index(tmp_path / "run", folder, images=write_features(tmp_path / "a.npy", 40, 0))
    opened = Checkpoint.open(tmp_path / "run")
    with pytest.raises(UsageError, match="'order' does not compare images with images"):
        measure_folder(opened, folder)
    assert measure_folder(opened, folder, ["red"]).recall == 1.0


@pytest.mark.slow
def test_the_commands(run: Path, photos: Path, folder: Path, vse: Any) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    arguments = (str(run), str(folder))
    done = vse("index", "build", *arguments, "--images", str(photos), "--json")
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["items"], told["dtype"], told["bytes"] > 0, list(told["skipped"])) == (3, "float32", True, ["bad.png"])
    paint(photos / "d-red.png", COLOURS["red"])
    assert vse("index", "add", *arguments).stdout == f"{folder}: 4 images\n"
    done = vse("search", str(run), "red", "--index", str(folder), "-k", "1", "--json")
    assert [hit["id"] for hit in json.loads(done.stdout)["hits"]] == ["a-red.png"]
    assert vse("index", "remove", str(folder), "a-red.png").stdout == f"{folder}: 3 images\n"
    done = vse("search", str(run), str(photos / "a-red.png"), "--index", str(folder), "-k", "1", "--json")
    assert [hit["id"] for hit in json.loads(done.stdout)["hits"]] == ["d-red.png"]
    done = vse("index", "info", str(folder))
    assert f"collection  {photos}" in done.stdout
    done = vse("index", "measure", *arguments, "-k", "2")
    assert done.stdout.splitlines()[1].split()[:2] == ["index", "1.0000"]
    done = vse("index", "build", *arguments, "--images", str(photos), "--texts", __file__)
    processes.assert_one_message(done, 2, "Give one collection")
    processes.assert_one_message(vse("index", "remove", str(folder)), 2, "There is nothing to remove")
    processes.assert_one_message(vse("index", "info", str(photos)), 2, "is not an index")


def test_what_a_build_computes_comes_from_the_model(run: Path, photos: Path, folder: Path) -> None:
    """`build_index` and `build_folder` are one."""
    build_index(run, folder, images=photos)
    rows = np.fromfile(folder / "1.vectors", np.float32).reshape(3, 3)
    embed = building.embed_with(Checkpoint.open(run), collect_images(photos), "cpu")
    np.testing.assert_array_equal(rows, next(embed(range(3))).rows)


@pytest.mark.slow
def test_a_changed_bit_of_any_file_is_noticed(run: Path, tmp_path: Path) -> None:
    folder, sentences = tmp_path / "texts.index", tmp_path / "lines.txt"
    sentences.write_text("red\ngreen\nblue\n", encoding="utf-8")
    build_index(run, folder, texts=sentences)
    sentences.write_text("red\ngreen\nblue\nred green\n", encoding="utf-8")
    add_to_folder(Checkpoint.open(run), folder, collect_texts(sentences))
    remove_from_folder(folder, [open_folder(folder).items.ids[0]])
    manifest = read_manifest(folder)
    assert set(manifest.checksums) == set(manifest.list_names())
    assert {name.partition(".")[2] for name in manifest.list_names()} == {*TABLE, "removed"}
    for name in manifest.list_names():
        file = folder / name
        content = file.read_bytes()
        assert content
        for place in {0, len(content) // 2, len(content) - 1}:
            altered = bytearray(content)
            altered[place] ^= 1 << (place % 8)
            file.write_bytes(altered)
            with pytest.raises(DataError, match=rf"{name}: was altered"):
                open_folder(folder)
            with pytest.raises(DataError, match=rf"{name}: was altered"):
                remove_from_folder(folder, ["1"])
        file.write_bytes(content + b"appended by a process that was killed")
        if not name.endswith("removed"):
            open_folder(folder)
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(VsezooError):  # it does not wait
            open_folder(folder)
        file.unlink()
        file.write_bytes(content)
    assert open_folder(folder).manifest == manifest


def test_a_manifest_with_an_entry_that_no_version_has(run: Path, photos: Path, folder: Path) -> None:
    content = dataclasses.asdict(build_index(run, folder, images=photos))
    (folder / NAME).write_text(json.dumps({**content, "count ": 2}))
    with pytest.raises(DataError, match=r"index\.json: is damaged: count  is not a known field\."):
        open_folder(folder)


def test_an_index_without_checksums_gets_them_when_it_changes(run: Path, photos: Path, folder: Path) -> None:
    """As earlier versions wrote it."""
    manifest = build_index(run, folder, images=photos)
    write_manifest(folder, dataclasses.replace(manifest, checksums={}))
    assert ids(open_index(run, index=str(folder)))
    paint(photos / "d-red.png", COLOURS["red"])
    changed = add_to_folder(Checkpoint.open(run), folder, collect_images(photos))
    assert changed.checksums["1.vectors"] == sum_file(folder / "1.vectors")
    assert set(changed.checksums) == set(changed.list_names())

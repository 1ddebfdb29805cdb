"""The account of an opening: what was used and what was left out make up all that is there."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_folders import make_picture, make_sample, open_split, write_pictures, write_shard
from PIL import Image

from vsezoo.data.pictures import walk
from vsezoo.data.pictures.picture_file import read_picture
from vsezoo.data.pictures.walk import ENDINGS, UNDECODABLE, list_pictures, walk_pictures


@pytest.fixture(autouse=True)
def without_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers are those of an installation without the extra `heic`."""
    monkeypatch.setattr(walk, "can_decode_heic", lambda: False)


UNCHECKED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
FOLDERS = ("", "photos", "photos/2024", "@eaDir", "photos/.thumbnails", "__MACOSX/photos")
NAMES = ("a.jpg", "b.JFIF", "._a.jpg", ".c.png", "d.HEIC", "e.nef", "notes.txt", "f")


LISTED = ("photos/a.jpg", "photos/b.JFIF", "./photos/2024/a.jpg", "photos/f", "photos/gone.jpg", "photos/d.HEIC")


@pytest.mark.slow
@settings(deadline=None, max_examples=12, suppress_health_check=UNCHECKED)
@given(
    st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), min_size=1),
    st.sets(st.sampled_from(LISTED)),
)
def test_used_and_left_out_make_up_what_is_there(there: set[tuple[str, str]], listed: set[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, ["x/always.jpg", *(f"{place}/{file}" if place else file for place, file in there)])
        rows = "".join(f"{file},a dog,train\n" for file in ["always.jpg", *sorted(listed)])
        (folder / "captions.csv").write_text("image,caption,split\n" + rows)
        account = open_split(folder, on_bad_image="skip").account
        files = {path for path in folder.rglob("*") if path.suffix.lower() in (*ENDINGS, *UNDECODABLE)}
        used = {path for file in ["x/always.jpg", *listed] if (path := folder / file).is_file()}
        assert account["images"] == len(files | used)  # a list may name files that do not end like pictures
        assert account["used"] == len(used)
        assert sum(account["left_out"].values()) == len(files - used)
        assert account["absent"] == 1 + len(listed) - len(used)


def test_photo_folder_of_a_household(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    kept = ["2024/a.jpg", "2024/b.JPG", "2024/saved.jfif"]
    out = [
        "2024/._a.jpg",
        "2024/IMG.HEIC",
        "2024/@eaDir/a.jpg/THUMB.jpg",
        "__MACOSX/x.jpg",
        ".thumbnails/y.png",
        "2024/Thumbs/z.jpg",
    ]
    write_pictures(folder, kept + out)
    write_pictures(tmp_path / "other", ["linked.jpg"])
    (folder / "album").symlink_to(tmp_path / "other")
    (folder / "round").symlink_to(folder)
    (folder / "above").symlink_to(tmp_path)
    (folder / "again").symlink_to(folder / "2024")
    (tmp_path / "other" / "back").symlink_to(folder / "2024")
    assert [path.relative_to(folder).as_posix() for path in list_pictures(folder)] == [*kept, "album/linked.jpg"]
    assert Counter(found.reason for found in walk_pictures(folder) if found.reason) == {
        "AppleDouble, not an image (._*)": 1,
        "HEIC, which cannot be decoded here: convert to JPEG or PNG, or install vsezoo[heic]": 1,
        "in a hidden or system folder (@eaDir)": 1,
        "in a hidden or system folder (__MACOSX)": 1,
        "in a hidden or system folder (.thumbnails)": 1,
        "in a hidden or system folder (Thumbs)": 1,
    }


def test_list_may_name_files_by_links(tmp_path: Path) -> None:
    write_pictures(tmp_path / "own" / "real", ["a.jpg", "b.jpg"])
    (tmp_path / "own" / "also").symlink_to(tmp_path / "own" / "real")
    (tmp_path / "own" / "captions.csv").write_text("image,caption,split\nalso/a.jpg,a dog,train\n")
    account = open_split(tmp_path / "own").account
    assert (account["images"], account["used"], account["left_out"]) == (2, 1, {"named by no list": 1})


MEMBERS = st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from(("jpg", "png", "txt", "heic", "json", "cls"))))


@pytest.mark.slow
@settings(deadline=None, max_examples=8, suppress_health_check=UNCHECKED)
@given(MEMBERS)
def test_the_same_for_texts_beside_pictures_and_for_shards(members: set[tuple[str, str]]) -> None:
    """Each picture that is there is used, skipped at opening, or left out for a reason."""
    contents = {
        f"{key}.{form}": {"txt": "a dog", "json": '{"caption": "a dog"}'}.get(form, make_picture(7))
        for key, form in sorted(members)
    }
    with tempfile.TemporaryDirectory() as name:
        texts, shards = Path(name) / "texts", Path(name) / "shards"
        write_shard(shards / "train-0.tar", {**make_sample("always", 3, "a cat"), **contents})
        for file, content in {**make_sample("always", 3, "a cat"), **contents}.items():
            path = texts / "train" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        pictures = 1 + sum(form in ("jpg", "png", "heic") for _, form in members)
        for folder in (texts, shards):
            train = open_split(folder, on_bad_image="skip")
            account = train.account
            assert account["images"] == pictures, folder.name
            assert account["used"] + sum(account["left_out"].values()) == pictures
            without_picture = sum("picture" in why or "absent" in why for why in train.skipped.values())
            assert len(train.image_ids) + len(train.skipped) - without_picture <= pictures


Entry = tuple[str, tuple[str, ...]]
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(("a.jpg", "b.png", "x/c.JPG", "d.HEIC", "gone.jpg")), st.lists(st.sampled_from(("a", "")))
    ),
    max_size=6,
)


def write_list(folder: Path, form: str, entries: Sequence[Entry]) -> None:
    if form == "json":
        rows = [{"image": name, "caption": list(texts), "split": "train"} for name, texts in entries]
        (folder / "list.json").write_text(json.dumps(rows))
    elif form == "karpathy":
        images = [
            {"filename": name, "split": "train", "sentences": [{"raw": text} for text in texts]}
            for name, texts in entries
        ]
        (folder / "dataset_own.json").write_text(json.dumps({"images": images}))
    elif form == "coco-json":
        images = [{"id": number, "file_name": name} for number, (name, _) in enumerate(entries)]
        captions = [
            {"image_id": number, "caption": text} for number, (_, texts) in enumerate(entries) for text in texts
        ]
        (folder / "train.json").write_text(json.dumps({"images": images, "annotations": captions}))
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        columns: dict[str, Any] = {
            "caption": arrow.array([list(texts) for _, texts in entries], arrow.list_(arrow.string()))
        }
        names = [name for name, _ in entries]
        if form == "parquet":
            columns["file_name"] = arrow.array(names, "string")
        else:  # pictures in the file
            pictures = [None if name == "gone.jpg" else make_picture(number) for number, name in enumerate(names)]
            columns["image"] = arrow.array(pictures, "binary")
        parquet.write_table(arrow.table(columns), folder / "train.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "karpathy", "coco-json", "parquet", "packed"])
@settings(deadline=None, max_examples=4, suppress_health_check=UNCHECKED)
@given(st.sets(st.sampled_from(("a.jpg", "b.png", "c.JPG", "d.HEIC", ".e.png"))), ENTRIES)
def test_the_same_for_lists_of_other_forms(form: str, there: set[str], entries: list[Entry]) -> None:
    """Each picture and each caption that is there is used, skipped at opening, or left out for a reason."""
    entries = [("always.jpg", ("a dog",)), *entries]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "train", ["always.jpg", *sorted(there)])
        write_list(folder, form, entries)
        train = open_split(folder, on_bad_image="skip")
        account, is_packed = train.account, form == "packed"
        if form == "karpathy":  # in which a second entry, and one without captions, are bad
            kept = {name: (name, texts) for name, texts in reversed(entries) if texts}
            assert account.get("bad_rows", 0) == len(entries) - len(kept)
            entries = list(kept.values())
        names = {name for name, _ in entries}
        assert account["images"] == 1 + len(there) + len(entries) * is_packed
        assert account["used"] + sum(account["left_out"].values()) == account["images"]
        assert account["used"] == (len(entries) if is_packed else 1 + len(names & there))
        least = 1 if form in ("json", "parquet", "packed") else 0  # an empty list is an empty caption
        captions = account["splits"]["train"]["captions"] + account.get("captions_cut", 0)
        assert captions == sum(max(least, len(texts)) for _, texts in entries)
        if not is_packed:
            usable = {name for name, texts in entries if any(texts)} & {"always.jpg", *there}
            assert set(train.image_ids) == usable
            assert set(train.skipped) == names - usable


def test_heic_is_read_where_its_library_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    monkeypatch.undo()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(tmp_path / "a.HEIC")
    (tmp_path / "a.txt").write_text("a red wall\n")
    write_pictures(tmp_path, ["b.png"])
    (tmp_path / "b.txt").write_text("a dark wall\n")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.HEIC", "b.png"]
    red, green, _ = read_picture(tmp_path / "a.HEIC").getpixel((5, 5))
    assert red > 150
    assert green < 80

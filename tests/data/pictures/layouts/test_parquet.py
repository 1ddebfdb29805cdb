"""Parquet and Arrow files as the Hub and `datasets` have them."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_folders import list_shades, make_picture, open_error, open_split, show, write_pictures

from vsezoo.data.pictures import row_file, rows
from vsezoo.errors import DataError, MissingPackageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def holders(shades: list[int], paths: list[str | None] | None = None) -> Any:
    paths = paths or [f"{shade}.png" for shade in shades]
    return pa.array(
        [{"bytes": make_picture(shade), "path": path} for shade, path in zip(shades, paths, strict=True)], STRUCT
    )


def write(file: Path, columns: dict[str, Any], **settings: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if file.suffix == ".parquet":
        pq.write_table(table, file, **settings)
        return
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_the_form_of_the_hub(tmp_path: Path, ending: str) -> None:
    """Splits by the names of files, bytes and paths in a struct, a list of captions."""
    write(
        tmp_path / f"data/train-00000-of-00001.{ending}",
        {"image": holders([3, 5, 7]), "caption": [["a", "b"], ["c"], ["d", "e", "f"]]},
    )
    write(tmp_path / f"data/validation-00000-of-00001.{ending}", {"image": holders([9]), "caption": [["g"]]})
    train = open_split(tmp_path)
    assert show(train) == {"3.png": ["a", "b"], "5.png": ["c"], "7.png": ["d", "e", "f"]}
    assert list_shades(pickle.loads(pickle.dumps(train))) == [3, 5, 7]  # as workers get it
    assert show(open_split(tmp_path, "dev")) == {"9.png": ["g"]}
    assert train.account["layout"] == "parquet"
    assert (train.account["images"], train.account["used"]) == (4, 4)


def test_row_groups_are_read_as_they_are_wanted_and_not_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "KEPT", 1)
    reader = rows.RowReader()
    monkeypatch.setattr(rows, "READER", reader)
    shades = list(range(1, 8))
    write(tmp_path / "train.parquet", {"image": holders(shades), "text": list("abcdefg")}, row_group_size=2)
    train = open_split(tmp_path)
    order = [6, 0, 3, 3, 5, 1, 2]
    assert [picture.getpixel((0, 0))[0] for picture in train.images(order)] == [shades[row] for row in order]
    assert len(reader._groups) == 1


def test_one_row_for_each_caption_is_one_picture(tmp_path: Path) -> None:
    columns = {"image": holders([3, 3, 5], ["a.png", "a.png", "b.png"]), "caption": ["one", "two", "three"]}
    write(tmp_path / "train.parquet", columns)
    assert show(open_split(tmp_path)) == {"a.png": ["one", "two"], "b.png": ["three"]}


def test_one_path_for_all_pictures_means_nothing(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", {"image": holders([3, 5], ["x.png"] * 2), "caption": ["one", "two"]})
    train = open_split(tmp_path)
    assert list(train.captions) == ["one", "two"]
    assert list_shades(train) == [3, 5]


def test_bytes_without_paths_and_five_columns(tmp_path: Path) -> None:
    columns = {"image": [make_picture(4)], **{f"caption_{number}": [f"c{number}"] for number in range(5)}}
    write(tmp_path / "default/train/0000.parquet", columns)
    assert show(open_split(tmp_path)) == {"default/train/0000/0": ["c0", "c1", "c2", "c3", "c4"]}


def test_paths_to_files_and_the_column_split(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["images/a.png", "images/b.png"])
    columns = {"file_name": ["a.png", "b.png"], "caption": ["one", "two"], "split": ["train", "val"]}
    write(tmp_path / "captions.parquet", columns)
    assert list_shades(open_split(tmp_path, "dev")) == [2]
    assert open_split(tmp_path).account["rule"] == "given by the column `split`"


def test_rows_without_a_picture_are_counted(tmp_path: Path) -> None:
    for ending in ("parquet", "arrow"):
        folder = tmp_path / ending
        image = pa.array([{"bytes": make_picture(3), "path": "a"}, None, {"bytes": None, "path": "b"}], STRUCT)
        write(folder / f"train.{ending}", {"image": image, "caption": list("xyz")})
        train = open_split(folder, on_bad_image="skip")
        assert list(train.image_ids) == ["a"]
        assert train.account["images"] == len(train.skipped) + sum(train.account["left_out"].values()) + 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": holders([1]), "caption": [7]}, "row 0 has a caption that is not text: 7"),
        ({"pixels": [[1, 2]], "caption": ["a"]}, "no column of pictures"),
        ({"image": [[1, 2]], "caption": ["a"]}, "has a column 'image' of list<"),
        ({"image": holders([1]), "label": ["a"]}, "captions"),
    ],
)
def test_columns_that_do_not_suit_are_named(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    write(tmp_path / "train.parquet", columns)
    assert words in open_error(tmp_path)


def test_a_truncated_file_and_one_without_a_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", {"image": holders([1]), "caption": ["a"]})
    content = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "more.parquet").write_bytes(content)
    assert "does not name a split" in open_error(tmp_path)
    (tmp_path / "more.parquet").unlink()
    (tmp_path / "train.parquet").write_bytes(content[:-9])
    assert "not a complete Parquet file" in open_error(tmp_path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "train.parquet", {"image": holders([1]), "caption": ["a"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"vsezoo\[parquet\]"):
        open_split(tmp_path)


def test_the_figures_of_img2dataset_beside_its_files_are_no_data(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["00000/000000000.jpg"])
    (tmp_path / "00000" / "000000000.txt").write_text("a dog")
    write(tmp_path / "00000.parquet", {"url": ["https://example.org/1.jpg"], "caption": ["a dog"]})
    for split in ("train", "dev", "test"):
        with suppress(DataError):
            assert open_split(tmp_path, split).account["layout"] == "texts"


def test_a_large_row_group_is_copied_to_the_cache_and_not_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(row_file, "KEPT", 1)
    monkeypatch.setattr(rows, "READER", rows.RowReader())
    shades = list(range(1, 100))
    write(tmp_path / "all" / "train.parquet", {"image": holders(shades), "text": [f"t{shade}" for shade in shades]})
    assert list_shades(open_split(tmp_path / "all")) == shades
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 1
    monkeypatch.setattr(row_file.RowFile, "_stream", None)  # not read again
    monkeypatch.setattr(rows, "READER", rows.RowReader())
    assert list_shades(open_split(tmp_path / "all")) == shades


def test_the_column_split_is_heeded_in_files_of_one_name(tmp_path: Path) -> None:
    """As in the Hub's Flickr30K, whose only files are called `test`."""
    splits = ["train", "val", "test", "train"]
    columns = {"image": holders([1, 2, 3, 4]), "caption": [["a"]] * 4, "split": splits}
    write(tmp_path / "TEST" / "test-00000-of-00001.parquet", columns)
    train = open_split(tmp_path)
    assert (list_shades(train), train.account["rule"]) == ([1, 4], "given by the column `split`")
    assert list_shades(open_split(tmp_path, "dev")) == [2]


def test_what_datasets_writes_beside_its_files_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"features": {"image": {"_type": "Image"}}}')
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    write(tmp_path / "train" / "data-00000-of-00001.arrow", {"image": holders([1]), "caption": ["a dog"]})
    assert list(open_split(tmp_path).captions) == ["a dog"]


def test_sentences_as_karpathy_has_them(tmp_path: Path) -> None:
    sentences = [[{"raw": "a dog", "sentid": 1}, {"raw": "a cat", "sentid": 2}]]
    write(tmp_path / "train.parquet", {"image": holders([1]), "sentences": sentences})
    assert list(open_split(tmp_path).captions) == ["a dog", "a cat"]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("columns", "languages"),
    [
        ({"caption_en": [["a", "b"], ["d"]], "caption_de": [["c"], ["e"]]}, ["en", "en", "de", "en", "de"]),
        ({"en": ["a", "d"], "de": ["b", None]}, ["en", "de", "en"]),
        ({"caption": [["a", "b"], ["c"]], "language": ["en", "de"]}, ["en", "en", "de"]),
        ({"caption_en": ["a", "c"], "caption_de": ["b", "d"], "lang": [None, "fr"]}, ["en", "de", "fr", "fr"]),
        ({"caption": ["a", "b"], "language": [1, 2]}, []),
        ({"caption": [["a", "b"], ["c"]], "language": [["en", "de"], None]}, ["en", "de", ""]),
        ({"caption": [["a", "b"], ["c"]], "language": [["en"], ["de"]]}, ["de"]),  # a bad row
    ],
)
def test_languages_of_columns_and_rows(
    tmp_path: Path, ending: str, columns: dict[str, Any], languages: list[str]
) -> None:
    write(tmp_path / f"train.{ending}", {"image": holders([3, 5]), **columns})
    assert list(open_split(tmp_path, on_bad_image="skip").languages) == languages


def test_languages_follow_their_captions_through_splits_and_rows_of_one_picture(tmp_path: Path) -> None:
    rows = {"image": holders([3, 5, 3]), "caption": ["a", "b", "c"], "language": ["en", "en", "de"]}
    write(tmp_path / "0.parquet", {**rows, "split": ["train", "dev", "train"]})
    write(tmp_path / "1.parquet", {"image": holders([7]), "caption": ["d"], "split": ["train"]})
    train = open_split(tmp_path)
    assert (list(train.captions), list(train.languages)) == (["a", "c", "d"], ["en", "de", ""])
    assert list(open_split(tmp_path, "dev").languages) == ["en"]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.text("ab é", max_size=3), min_size=1, max_size=3), min_size=1, max_size=9), st.data())
def test_columns_are_what_lists_of_objects_would_be(captions: list[list[str]], data: st.DataObject) -> None:
    from vsezoo.data.pictures.columns import ImageColumns, RowPlaces
    from vsezoo.data.pictures.text_columns import Languages, Texts

    def column(texts: list[str]) -> Texts:
        parts = [texts[start : start + 2] for start in range(0, len(texts), 2)]
        return Texts(pa.chunked_array([pa.array(part, pa.large_string()) for part in parts], pa.large_string()))

    count = len(captions)
    names = data.draw(st.lists(st.text("abc", max_size=4), min_size=count, max_size=count))
    places = RowPlaces(["f.parquet"], np.zeros(count, np.int32), np.arange(count, dtype=np.int32))
    flat = column([text for texts in captions for text in texts])
    languages = Languages(["", "en", "de"], np.arange(len(flat)) % 3)
    columns = ImageColumns(column(names), flat, np.array([len(texts) for texts in captions]), places, languages)
    assert [(one.name, one.captions) for one in columns] == list(zip(names, captions, strict=True))
    assert [language for one in columns for language in one.languages] == list(languages)
    assert [columns[index] for index in range(count)] == list(columns)
    chosen = data.draw(st.lists(st.integers(0, count - 1), max_size=6))
    assert list(columns.take(np.array(chosen, int))) == [columns[index] for index in chosen]
    assert list(columns[1:3]) == list(columns)[1:3]
    assert columns.find_uncaptioned() == [i for i, texts in enumerate(captions) if not all(map(str.strip, texts))]
    if columns.names.are_distinct():  # type: ignore[union-attr]
        assert len(set(names)) == count
    else:
        assert len(set(names)) < count
    codes = [list(dict.fromkeys(names)).index(name) for name in names]
    merged = columns.merge(np.array(codes))
    wanted = {name: [t for n, texts in zip(names, captions, strict=True) if n == name for t in texts] for name in names}
    assert {one.name: one.captions for one in merged} == wanted
    assert Counter(merged.languages) == Counter(languages)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_texts_that_are_too_long_are_not_read(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"train.{ending}", {"image": holders([3, 5]), "caption": ["a dog", "\x01" + "é" * 2_200_000]})
    message = open_error(tmp_path)
    assert re.match(
        rf"\S+train.{ending}: column caption( of row group 0)? has 4,\d+,\d+ bytes of text in 2 rows", message
    )

"""Splits chosen anew: by group, by other names, in `splits.csv`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from picture_folders import open_error, open_split, write_pictures
from PIL import Image

from vsezoo.data.pictures.drawing import draw_groups, group_by_folder, group_by_pattern
from vsezoo.data.pictures.likeness import find_near, group_near, sketch
from vsezoo.data.pictures.resplit import draw_splits, rename_splits
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.pictures.split_file import read_splits
from vsezoo.errors import UsageError


@settings(deadline=None, max_examples=25)
@example(sizes=[3, 1, 1], dev=0.1, test=0.3)  # test could have two groups, and none would be left for dev
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40),
    dev=st.sampled_from([0.0, 0.1, 0.25]),
    test=st.sampled_from([0.0, 0.1, 0.3]),
)
@pytest.mark.slow
def test_a_group_is_never_divided_and_every_wanted_split_is_there(sizes: list[int], dev: float, test: float) -> None:
    groups = {f"{group}/{number}": f"g{group}" for group, size in enumerate(sizes) for number in range(size)}
    split_of = draw_groups(groups, dev, test)
    assert split_of.keys() == groups.keys()
    assert all(len({split_of[name] for name in groups if groups[name] == group}) == 1 for group in groups.values())
    wanted = {"train"} | ({"dev"} if dev else set()) | ({"test"} if test else set())
    assert set(split_of.values()) == wanted
    assert split_of == draw_groups(dict(reversed(groups.items())), dev, test)  # the order does not matter


def test_shares_are_met_where_groups_are_small() -> None:
    counts = Counter(draw_groups({str(number): str(number) for number in range(1000)}, 0.1, 0.2).values())
    assert counts == {"train": 700, "dev": 100, "test": 200}


def test_ways_to_group() -> None:
    names = ["clip1/a_1.png", "clip1/a_2.png", "b_1.png"]
    assert group_by_folder(names) == {names[0]: "clip1", names[1]: "clip1", names[2]: ""}
    assert list(group_by_pattern(names, r"([ab])_\d").values()) == ["a", "a", "b"]
    with pytest.raises(UsageError, match="finds nothing in 1 of the 3 ids"):
        group_by_pattern(names, "clip")
    with pytest.raises(UsageError, match="not a regular expression"):
        group_by_pattern(names, "(")


def write_folder(folder: Path, rows: list[str]) -> PictureSource:
    write_pictures(folder, [row.split(",")[0] for row in rows])
    header = "image,caption,split\n" if rows[0].count(",") == 2 else "image,caption\n"
    (folder / "captions.csv").write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return PictureSource(folder.name, "", folder=folder)


def test_splits_by_folder_are_written_and_heeded(tmp_path: Path) -> None:
    source = write_folder(
        tmp_path, [f"v{video}/{frame}.png,video {video}" for video in range(10) for frame in range(3)]
    )
    chosen = draw_splits(source.read(), "folder", 0.1, 0.1)
    chosen.write(force=False)
    with pytest.raises(UsageError, match="already exists"):
        chosen.write(force=False)
    assert read_splits(tmp_path / "splits.csv") == chosen.split_of
    train = open_split(tmp_path)
    assert train.account["rule"] == "given by splits.csv"
    assert [len(open_split(tmp_path, split).image_ids) for split in ("train", "dev", "test")] == [24, 3, 3]
    write_pictures(tmp_path, ["v0/new.png"])
    with (tmp_path / "captions.csv").open("a") as file:
        file.write("v0/new.png,one more\n")
    assert open_split(tmp_path).account["left_out"] == {"named by no list": 1}


def test_a_file_of_splits_for_other_pictures_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, ["a.png,one", "b.png,two"])
    (tmp_path / "splits.csv").write_text("image,split\nx.png,train\n")
    assert "names none of the 2 pictures" in open_error(tmp_path)
    (tmp_path / "splits.csv").write_text("image,split\na.png,train\na.png,dev\n")
    assert "line 3 has a.png in a second split" in open_error(tmp_path)


def test_absent_splits_are_drawn_from_train_and_the_others_kept(tmp_path: Path) -> None:
    rows = [f"{name}.png,a {name},{'train' if name < 't' else 'test'}" for name in "abcdefghijklmnopqrstuv"]
    source = write_folder(tmp_path, rows)
    assert f"vsezoo data split {tmp_path} --keep" in open_error(tmp_path, "dev")
    chosen = draw_splits(source.read(), "", 0.1, 0.1, keep=True)
    chosen.write(force=False)
    assert list(open_split(tmp_path, "test").image_ids) == ["t.png", "u.png", "v.png"]
    assert len(open_split(tmp_path, "dev").image_ids) == 2
    assert len(open_split(tmp_path).image_ids) == 17
    with pytest.raises(UsageError, match="nothing to draw: the splits are"):
        draw_splits(source.read(), "", 0.1, 0.1, keep=True)
    with pytest.raises(UsageError, match="no split train to draw from"):
        draw_splits(write_folder(tmp_path / "own", ["a.png,a,dev"]).read(), "", 0.1, 0.1, keep=True)


def test_splits_get_other_names(tmp_path: Path) -> None:
    source = write_folder(tmp_path, ["a.png,one,0", "b.png,two,1", "c.png,three,2"])
    assert "vsezoo data split DATA --rename" in open_error(tmp_path)
    rename_splits(source.read(), {"0": "train", "1": "val", "2": "test"}).write(force=False)
    assert list(open_split(tmp_path, "dev").image_ids) == ["b.png"]
    with pytest.raises(UsageError, match="no split '3'"):
        rename_splits(source.read(own_splits=False), {"3": "train"})
    with pytest.raises(UsageError, match="'first' is not the name of a split"):
        rename_splits(source.read(own_splits=False), {"0": "first"})


def draw(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return a picture with the structure of a photo: coarse random colours, smoothed."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def test_scaled_and_recoloured_copies(tmp_path: Path) -> None:
    pytest.importorskip("imagehash")
    pictures = [draw(seed) for seed in range(12)]
    pictures[5].save(tmp_path / "a.jpg", quality=60)
    copies = [pictures[3].resize((40, 33)), Image.open(tmp_path / "a.jpg"), Image.eval(pictures[7], lambda v: 255 - v)]
    first, other = ([sketch(picture) for picture in side] for side in (pictures, copies))
    assert list(find_near(first, other)) == [(3, 0), (5, 1)]
    assert group_near([*first[:6], *other[:2]]) == [0, 1, 2, 3, 4, 5, 3, 5]


def test_plain_pictures_are_like_nothing() -> None:
    pytest.importorskip("imagehash")
    assert sketch(Image.new("RGB", (20, 20), (90, 90, 91))) is None
    assert list(find_near([None], [None, sketch(draw(1))])) == []

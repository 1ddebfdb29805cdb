"""One split of pictures: where the files are, what is bad, what is left out."""

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from picture_folders import PICTURE, list_shades, open_error, open_split, show, write_picture, write_pictures

from vsezoo.data.folder_source import FolderSource
from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.walk import list_pictures
from vsezoo.errors import DataError
from vsezoo.storage import waiting


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


def write_table(folder: Path, *names: str, split: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},{name} {k},{split}\n" for name in names for k in range(2)]
    (folder / "captions.csv").write_text("image,caption,split\n" + "".join(rows))
    return folder


def test_images_in_their_order(tmp_path: Path) -> None:
    names = ["c.jpg", "a.jpg", "b.jpg"]
    write_pictures(write_table(tmp_path / "own", *names), names)
    pairs = open_split(tmp_path / "own")
    assert pairs.image_ids == names
    assert [picture.getpixel((0, 0))[0] for picture in pairs.images(np.array([2, 0, 2]))] == [3, 1, 3]
    assert [(picture.mode, picture.size) for picture in pairs.images([1])] == [("RGB", (8, 6))]
    assert pairs.images([]) == []
    for index in (-1, 3):
        with pytest.raises(IndexError):
            pairs.images([0, index])


def test_workers_get_a_small_copy(tmp_path: Path) -> None:
    names = [f"{index}.jpg" for index in range(50)]
    write_pictures(write_table(tmp_path / "own", *names), names)
    pairs = open_split(tmp_path / "own")
    list_shades(pairs)  # what was decoded is not kept
    content = pickle.dumps(pairs)
    assert len(content) < 50 * 300
    copy = pickle.loads(content)
    assert list_shades(copy) == list(range(1, 51))
    assert (copy.captions, copy.image_ids) == (pairs.captions, pairs.image_ids)


def test_pictures_are_looked_for_in_folders_of_the_folder(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "top.jpg", "one.jpg", "two.jpg", "part/three.jpg")
    files = ["top.jpg", "images/one.jpg", "images/train/two.jpg", "images/part/three.jpg", "images/top.jpg"]
    write_pictures(folder, [*files, ".hidden/one.jpg"])
    assert list_shades(open_split(folder)) == [1, 2, 3, 4]  # what lies in the folder itself goes before


def test_two_files_of_one_name(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "a.jpg")
    write_pictures(folder, ["images/a.jpg", "scans/a.jpg"])
    assert f"{folder}: has 2 files 'a.jpg': images/a.jpg and scans/a.jpg" in open_error(folder)
    write_table(folder, "images/a.jpg", "scans/a.jpg")
    assert list_shades(open_split(folder)) == [1, 2]


def test_capitals_count(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "A.jpg", "a.jpg")
    write_pictures(folder / "images", ["a.jpg", "A.jpg"])
    if len(list((folder / "images").iterdir())) == 1:
        pytest.skip("the disk does not tell capitals")
    assert list_shades(open_split(folder)) == [2, 1]
    (folder / "images" / "A.jpg").unlink()
    assert "are absent: A.jpg. Found images/a.jpg: case matters." in open_error(folder)


@pytest.mark.parametrize(("listed", "there"), [("a.jpg", "a.JPG"), ("a.JPEG", "a.jpg"), ("a.png", "a.PNG")])
def test_suffixes_of_one_format(tmp_path: Path, listed: str, there: str) -> None:
    folder = write_table(tmp_path / "own", listed)
    write_pictures(folder / "images", [there])
    assert list_shades(open_split(folder)) == [1]
    write_picture(folder / "images" / "a.webp")  # now two files have this stem
    assert "the suffix differs" in open_error(folder) or "case matters" in open_error(folder)


def test_another_format_is_not_guessed(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "a.jpg")
    write_pictures(folder, ["a.png"])
    for options in ({}, {"on_bad_image": "skip"}):
        assert "Found a.png: the suffix differs." in open_error(folder, **options)


def test_folders_parted_as_windows_does(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "summer\\a.jpg")
    write_picture(folder / "images" / "summer" / "a.jpg")
    assert open_split(folder).places[0].file == str(folder / "images" / "summer" / "a.jpg")
    write_table(folder, "Summer\\A.jpg")
    assert "absent: Summer\\A.jpg." in open_error(folder)


def test_what_is_no_file_is_absent(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "a.jpg", "b.jpg", "c.jpg")
    (folder / "a.jpg").symlink_to("gone.jpg")
    os.mkfifo(folder / "b.jpg")  # whoever opened it would wait for ever
    (folder / "c.jpg").mkdir()
    assert "3 of the 3 pictures of the split train are absent: a.jpg, b.jpg, c.jpg" in open_error(folder)


def test_absent_pictures_are_told_at_opening(tmp_path: Path) -> None:
    names = [f"{index}.jpg" for index in range(6)]
    folder = write_table(tmp_path / "own", *names)
    write_picture(folder / "3.jpg", 3)
    message = open_error(folder)
    assert (
        f"{folder / 'captions.csv'}: 5 of the 6 pictures of the split train are absent: 0.jpg, 1.jpg, 2.jpg, …"
        in message
    )
    assert "--on-bad-image skip" in message
    pairs = open_split(folder, on_bad_image="skip")
    assert show(pairs) == {"3.jpg": ["3.jpg 0", "3.jpg 1"]}
    assert list_shades(pairs) == [3]
    assert pairs.skipped == {name: "is absent" for name in names if name != "3.jpg"}


def write_bad(folder: Path) -> Path:
    write_table(folder, "empty.jpg", "good.jpg", "text.jpg", "cut.jpg", "also.jpg")
    write_pictures(folder, ["cut.jpg", "good.jpg", "also.jpg"])
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-30])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("<html>")
    return folder


def test_unreadable_pictures_end_the_run_when_they_are_read(tmp_path: Path) -> None:
    pairs = open_split(write_bad(tmp_path / "own"))
    assert (len(pairs.image_ids), pairs.skipped) == (5, {})
    assert pairs.images([1])[0].getpixel((0, 0)) == (2, 0, 0)
    with pytest.raises(DataError, match=r"own/empty\.jpg: is empty"):
        pairs.images([1, 0])


def test_unreadable_pictures_are_left_out_with_their_captions(tmp_path: Path) -> None:
    pairs = open_split(write_bad(tmp_path / "own"), on_bad_image="skip")
    assert show(pairs) == {name: [f"{name} 0", f"{name} 1"] for name in ("good.jpg", "also.jpg")}
    assert pairs.image_of.tolist() == [0, 0, 1, 1]
    assert list_shades(pairs) == [2, 3]
    assert list(pairs.skipped) == ["empty.jpg", "text.jpg", "cut.jpg"]
    assert pairs.skipped["text.jpg"] == "is not a picture, or has an unknown format"
    assert pairs.skipped["cut.jpg"].startswith("cannot be decoded: ")


def test_check_is_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bad(tmp_path / "own")
    checked, read = [], Place.read
    monkeypatch.setattr(Place, "read", lambda place, **options: checked.append(place) or read(place, **options))
    first = open_split(folder, on_bad_image="skip")
    assert open_split(folder, on_bad_image="skip").skipped == first.skipped
    assert len(checked) == 5
    write_picture(folder / "text.jpg", 9)
    assert list(open_split(folder, on_bad_image="skip").skipped) == ["empty.jpg", "cut.jpg"]
    assert len(checked) == 10


def test_long_check_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "INTERVAL", -1.0)
    open_split(write_bad(tmp_path / "own\x1b[2J"), on_bad_image="skip")
    captured = capsys.readouterr()
    assert captured.err.splitlines()[3] == r"3 of 5 pictures of own\x1b[2J train checked"
    assert captured.out == ""


def test_nothing_that_can_be_used(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "a.jpg")
    assert "no usable picture in the split train (a.jpg: is absent)" in open_error(folder, on_bad_image="skip")


@pytest.mark.slow
def test_dev_is_cut_before_the_check(tmp_path: Path) -> None:
    names = [f"{index}.jpg" for index in range(1003)]
    folder = write_table(tmp_path / "own", *names, split="dev")
    for name in names:
        (folder / name).symlink_to(folder / "0.jpg") if name != "0.jpg" else write_picture(folder / name)
    (folder / "5.jpg").unlink()
    first = open_split(folder, "dev", on_bad_image="skip")
    assert first.image_ids == [n for n in names[:1000] if n != "5.jpg"]
    whole = open_split(folder, "dev", on_bad_image="skip", full_dev=True)
    assert len(whole.image_ids) == 1002
    assert first.all_captions == whole.captions == whole.all_captions
    assert pickle.loads(pickle.dumps(first)).all_captions == whole.captions


def test_restval_that_is_not_there(tmp_path: Path) -> None:
    write_pictures(write_table(tmp_path / "own", "a.jpg"), ["a.jpg"])
    assert "has no split 'restval'.\nIts splits are train." in open_error(tmp_path / "own", use_restval=True)


def write_features(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "train_ims.npy", np.ones((2, 3), np.float32))
    (folder / "train_caps.txt").write_text("a dog\n" * 10)
    return folder


def test_folder_of_both_gives_what_the_encoder_prefers(tmp_path: Path) -> None:
    folder = write_features(write_table(tmp_path / "own", "a.jpg"))
    write_pictures(folder, ["a.jpg"])
    for kinds, kind in (
        (PICTURE, "picture"),
        (("vector", "regions"), "vector"),
        (("vector", "picture"), "vector"),
        (("picture", "vector"), "picture"),
    ):
        assert open_data(f"{folder}/", "train", kinds).kind == kind
    assert [source.kinds for source in FolderSource(folder).list_sources()] == [("vector", "regions"), PICTURE]


def test_features_for_an_encoder_of_pictures_and_the_reverse(tmp_path: Path) -> None:
    features = write_features(tmp_path / "features")
    message = open_error(features)
    assert "encoder takes 'picture'.\nUse an image encoder for features, or pass the pictures" in message
    pictures = write_table(tmp_path / "pictures", "a.jpg")
    with pytest.raises(DataError, match=r"(?s)images are pictures.*`vsezoo features`.*--image-encoder timm:") as caught:
        open_data(f"{pictures}/", "train", ("vector", "regions"))
    assert "takes 'vector' or 'regions'" in caught.value.problem


def test_folder_of_nothing_names_what_it_could_have(tmp_path: Path) -> None:
    write_pictures(tmp_path / "own", ["a.jpg"])
    with pytest.raises(DataError, match="images of data set 'own' were not found") as caught:
        open_split(tmp_path / "own")
    for part in ("train_ims.npy", "captions.csv", "*.tar", "contains a.jpg"):
        assert part in caught.value.remedy


def test_pictures_below_a_folder_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["b.JPG", "a.png", "z/c.webp", "z/.d.jpg", ".git/e.jpg", "notes.txt"])
    assert [str(path.relative_to(tmp_path)) for path in list_pictures(tmp_path)] == ["a.png", "b.JPG", "z/c.webp"]


@pytest.mark.parametrize("cause", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE])
def test_what_this_machine_could_not_read_is_tried_again(
    cause: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_bad(tmp_path / "own")
    opens = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "good.jpg":
            raise OSError(cause, os.strerror(cause))
        return opens(path, *arguments, **options)

    with monkeypatch.context() as trouble:
        trouble.setattr(Path, "open", refuse)
        for _ in range(2):
            skipped = open_split(folder, on_bad_image="skip").skipped
            assert list(skipped) == ["empty.jpg", "good.jpg", "text.jpg", "cut.jpg"]
            assert skipped["good.jpg"] == f"cannot be read: {os.strerror(cause)}"
    checked, read = [], Place.read
    monkeypatch.setattr(Place, "read", lambda place, **options: checked.append(place) or read(place, **options))
    assert list(open_split(folder, on_bad_image="skip").skipped) == ["empty.jpg", "text.jpg", "cut.jpg"]
    assert [Path(place.file).name for place in checked] == ["good.jpg"]  # of the others it is known


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="this user may read every file")
def test_picture_that_may_not_be_read(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "own", "a.jpg", "b.jpg")
    write_pictures(folder, ["a.jpg", "b.jpg"])
    (folder / "a.jpg").chmod(0)
    assert open_split(folder, on_bad_image="skip").skipped == {"a.jpg": "cannot be read: Permission denied"}
    (folder / "a.jpg").chmod(0o644)
    assert open_split(folder, on_bad_image="skip").skipped == {}

"""`vsezoo data convert`: the same pictures, ids, captions and splits in every form, continued after a stop."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_folders import make_picture, open_split, write_pictures
from PIL import Image

from vsezoo.data.pictures.writing.convert import STATE, convert_data
from vsezoo.data.pictures.writing.forms import FORMS, ShardForm
from vsezoo.data.pictures.writing.samples import is_path
from vsezoo.errors import StorageError, UsageError

FREE = [form for form in FORMS if form != "parquet"]  # without another library
NAMES = ("a.png", "b.c.png", "x/a.png", "x/y z.png", "é.png", "no suffix", "q#1.png")


def write(folder: Path, names: dict[str, tuple[str, list[str]]]) -> None:
    """Write a folder of pictures with their splits and captions."""
    write_pictures(folder, list(names))
    rows = [f"{name},{split},{caption}\n" for name, (split, captions) in names.items() for caption in captions]
    (folder / "captions.csv").write_text("image,split,caption\n" + "".join(rows), encoding="utf-8")


def read(folder: Path, split: str) -> dict[str, tuple[list[str], bytes]]:
    pairs = open_split(folder, split)
    found: dict[str, tuple[list[str], bytes]] = {}
    for image, name in enumerate(pairs.image_ids):
        with pairs.places[image].open() as stream:
            captions = [pairs.captions[row] for row in (pairs.image_of == image).nonzero()[0]]
            found[name] = captions, stream.read()
    return found


def check_form(form: str, names: dict[str, tuple[str, list[str]]], size: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "source", Path(place) / "target"
        write(source, names)
        convert_data(f"{source}/", target, form, shard_size=size)
        for split in {split for split, _ in names.values()}:
            assert read(target, split) == read(source, split), (form, split)


@pytest.mark.slow
@settings(deadline=None, max_examples=10)
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(
            st.sampled_from(("train", "dev", "test")),
            st.lists(st.sampled_from(("a dog", "two dogs run .", "ein Hund läuft", "雪")), min_size=1, max_size=5),
        ),
        min_size=1,
    ),
    st.integers(1, 3),
    st.sampled_from(FREE),
)
def test_what_was_written_reads_back_equal(names: dict[str, tuple[str, list[str]]], size: int, form: str) -> None:
    check_form(form, names, size)


def test_parquet_reads_back_equal() -> None:
    pytest.importorskip("pyarrow")
    check_form(
        "parquet",
        {name: ("train" if size % 3 else "dev", ["a dog"] * (size + 1)) for size, name in enumerate(NAMES)},
        2,
    )


@pytest.mark.parametrize("form", FORMS)
def test_languages_read_back_equal(tmp_path: Path, form: str) -> None:
    """In any order, and unknown for some captions."""
    write_pictures(tmp_path / "source", ["a.png", "b.png", "c.png"])
    rows = ["a.png,ein Hund,de", "a.png,a dog,en", "a.png,noch einer,de", "b.png,one,", "c.png,two,", "c.png,zwei,de"]
    text = "".join(f"{row},train\n" for row in rows)
    (tmp_path / "source" / "captions.csv").write_text(f"image,caption,language,split\n{text}", encoding="utf-8")
    if form == "parquet":
        pytest.importorskip("pyarrow")
    assert convert_data(f"{tmp_path}/source", tmp_path / "target", form).changes == []
    before, after = open_split(tmp_path / "source"), open_split(tmp_path / "target")
    assert list(before.languages) == ["de", "en", "de", "", "", "de"]
    assert list(after.languages) == list(before.languages)
    assert list(after.captions) == list(before.captions)


def test_a_conversion_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, {f"{number}.png": ("train", ["a dog"]) for number in range(7)})
    written: list[str] = []
    whole = ShardForm.write

    def stop(self: ShardForm, unit: tuple[str, list[object]], file: Path) -> None:
        written.append(unit[0])
        if len(written) == 2:
            file.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        whole(self, unit, file)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardForm, "write", stop)
    with pytest.raises(StorageError, match="No space left") as caught:
        convert_data(f"{source}/", target, "webdataset", shard_size=3)
    assert "--resume" in caught.value.remedy
    assert sorted(file.name for file in target.rglob("*") if file.is_file()) == [STATE, "00000.tar"]
    begun = (target / STATE).stat().st_mtime_ns
    with pytest.raises(UsageError, match="unfinished conversion"):
        convert_data(f"{source}/", target, "webdataset", shard_size=3)
    with pytest.raises(UsageError, match="of other data or to another form"):
        convert_data(f"{source}/", target, "webdataset", shard_size=2, resume=True)
    written.pop()
    with pytest.raises(StorageError, match="No space left"):
        convert_data(f"{source}/", target, "webdataset", shard_size=3, resume=True)
    assert (target / STATE).stat().st_mtime_ns == begun  # written again, it would be lost with the rest of the disk
    made = convert_data(f"{source}/", target, "webdataset", shard_size=3, resume=True)
    assert written == ["train/00000.tar", "train/00001.tar", "train/00001.tar", "train/00002.tar"]
    assert made.files == (3, 1)
    assert not (target / STATE).exists()
    assert read(target, "train") == read(source, "train")
    with pytest.raises(UsageError, match="is not empty"):
        convert_data(f"{source}/", target, "folder")


def test_what_a_form_cannot_hold_is_said(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source, {"a.png": ("train", ["one", "two", "three", "four", "five", "six"]), "b.png": ("train", ["a"])})
    made = convert_data(f"{source}/", tmp_path / "karpathy", "karpathy")
    assert made.changes == ["1 pictures have more than five captions, of which this form is read with the first five."]
    assert made.to_json()["splits"] == {"train": {"images": 2, "captions": 7}}
    assert convert_data(f"{source}/", tmp_path / "folder", "folder").changes == []
    write(tmp_path / "numbers", {"a.png": ("0", ["a dog"]), "b.png": ("test", ["a cat"])})
    (change,) = convert_data(f"{tmp_path / 'numbers'}/", tmp_path / "shards", "webdataset").changes
    assert change.startswith("The splits 0 name files, and are not known as splits when these are read")


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../b.png", "./a.png", "a//b", ".hidden.png", "a\\b.png"])
def test_ids_that_are_no_paths(name: str) -> None:
    assert not is_path(name)
    assert is_path("a/b c.png")


@pytest.mark.process
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves the file open
def test_the_library_webdataset_reads_the_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write(tmp_path / "source", {f"{number}.png": ("train", [f"dog {number}", "b"]) for number in range(3)})
    convert_data(f"{tmp_path}/source", tmp_path / "target", "webdataset")
    found = list(webdataset.WebDataset(str(tmp_path / "target/train/00000.tar"), shardshuffle=False))
    assert [sample["txt"].decode() for sample in found] == [f"dog {number}\nb" for number in range(3)]
    assert [sample["png"] for sample in found] == [make_picture(number + 1) for number in range(3)]


@pytest.mark.slow
@pytest.mark.process
def test_the_library_datasets_reads_the_parquet_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    write(tmp_path / "source", {f"{number}.png": ("train", [f"dog {number}", "b"]) for number in range(3)})
    convert_data(f"{tmp_path}/source", tmp_path / "target", "parquet")
    found = datasets.load_dataset(str(tmp_path / "target"), cache_dir=str(tmp_path / "cache"))["train"]
    assert found["caption"][:] == [[f"dog {number}", "b"] for number in range(3)]
    assert isinstance(found[2]["image"], Image.Image)
    assert found[2]["image"].convert("RGB").tobytes() == Image.open(io.BytesIO(make_picture(3))).tobytes()
    datasets.DatasetDict({"train": found}).save_to_disk(str(tmp_path / "saved"))  # dataset_dict.json beside train
    assert read(tmp_path / "saved", "train") == read(tmp_path / "source", "train")

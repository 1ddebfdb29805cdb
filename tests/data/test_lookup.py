"""How a data set is found: registered names, folders, roots, and the messages when it is not there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vsezoo import registry
from vsezoo.data.lookup import find_source, open_data, require_data
from vsezoo.data.precomputed.source import PrecomputedSource
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions, SplitFiles
from vsezoo.errors import DataError, UnknownNameError

NAMES = ("f8k_precomp", "f30k_precomp", "coco_precomp", "10crop_precomp", "f8k", "f30k", "coco")
VECTOR = ("vector",)


def make_data(folder: Path, stem: str = "train", value: float = 1, shape: tuple[int, ...] = (2, 3)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{stem}_ims.npy", np.full(shape, value, np.float32))
    (folder / f"{stem}_caps.txt").write_text("a dog\n" * 5 * shape[0])


def found_value(data: str, root: Path | None = None) -> float:
    return float(open_data(data, "train", VECTOR, OpenOptions(root)).images([0])[0, 0])


@pytest.fixture(autouse=True)
def _empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VSEZOO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_is_registered_and_tells_where_it_comes_from_when_absent(name: str) -> None:
    source = find_source(name)
    assert isinstance(source, PrecomputedSource)
    assert source.name == name
    with pytest.raises(DataError) as caught:
        open_data(name, "train", VECTOR)
    text = str(caught.value)
    own_prefix = f"{name}_" if name in ("f8k", "f30k", "coco") else ""
    for part in (
        repr(name),
        f" {own_prefix}train_ims.npy",
        f" {own_prefix}test_caps.txt",
        f"data/{name}",
        "cs.toronto",
    ):
        assert part in text


def test_roots_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, root in enumerate(["explicit", "variable", "data"]):
        make_data(tmp_path / root / "f8k_precomp", value=value)
    assert found_value("f8k_precomp") == 2
    monkeypatch.setenv("VSEZOO_DATA", str(tmp_path / "variable"))
    assert found_value("f8k_precomp") == 1
    assert found_value("f8k_precomp", tmp_path / "explicit") == 0


def test_explicit_root_is_the_only_one(tmp_path: Path) -> None:
    make_data(tmp_path / "data" / "f8k_precomp")
    with pytest.raises(DataError) as caught:
        open_data("f8k_precomp", "train", VECTOR, OpenOptions(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere" / "f8k_precomp") in caught.value.remedy
    assert str(tmp_path / "data") not in caught.value.remedy


def test_root_may_be_the_folder_of_the_data_set(tmp_path: Path) -> None:
    make_data(tmp_path / "f8k_precomp", value=3)
    make_data(tmp_path / "features", value=4)
    make_data(tmp_path / "kiros", "f8k_train", value=5)
    assert found_value("f8k_precomp", tmp_path / "f8k_precomp") == 3
    assert found_value("f8k_precomp", tmp_path / "features") == 4
    assert found_value("f8k", tmp_path / "kiros") == 5


@pytest.mark.parametrize(("folder", "stem"), [("f8k_precomp", "train"), ("features", "f30k_train")])
def test_features_of_another_data_set_are_not_taken(tmp_path: Path, folder: str, stem: str) -> None:
    make_data(tmp_path / folder, stem)
    with pytest.raises(DataError, match="'coco' were not found"):
        open_data("coco", "train", VECTOR, OpenOptions(tmp_path / folder))


def test_folder_is_named_by_its_basename(tmp_path: Path) -> None:
    make_data(tmp_path / "mine" / "f8k_precomp", value=6)
    make_data(tmp_path / "own", "old_train", value=7)
    for data in ("mine/f8k_precomp", "./mine/f8k_precomp/", str(tmp_path / "mine" / "f8k_precomp")):
        assert found_value(data) == 6
        assert open_data(data, "train", VECTOR).name == "f8k_precomp"
    assert found_value("own") == 7


def test_registered_name_goes_before_a_folder_of_that_name(tmp_path: Path) -> None:
    make_data(tmp_path / "f8k_precomp", value=1)
    make_data(tmp_path / "data" / "f8k_precomp", value=2)
    assert found_value("f8k_precomp") == 2
    assert found_value("./f8k_precomp") == 1


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="f8k_precomp"):
        find_source("f8k_precmp")


def test_folder_that_is_absent_empty_or_of_no_layout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train_caps.txt").write_text("a\n")
    expected = {
        "absent": "No such file",
        "empty": "(empty)",
        "other": "contains train_caps.txt",
    }
    for name, words in expected.items():
        with pytest.raises(DataError) as caught:
            open_data(f"./{name}", "train", VECTOR)
        assert words in caught.value.remedy
        assert ("train_ims.npy, train_caps.txt" in caught.value.remedy) == (name != "plain")


@pytest.mark.parametrize(
    ("name", "remedy"), [("captions.csv", "Give the folder that it is in: {}/"), ("all.zip", "Unpack it")]
)
def test_a_file_is_no_data_set(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_text("image,caption\n")
    for refuse in (require_data, find_source):
        with pytest.raises(DataError, match="is a file; a data set is a folder") as caught:
            refuse(str(tmp_path / name))
        assert remedy.format(tmp_path) in str(caught.value)


def test_absent_split_lists_those_that_are_there(tmp_path: Path) -> None:
    for split in ("test", "dev", "train"):
        make_data(tmp_path / "data" / "f8k_precomp", split)
    with pytest.raises(DataError, match=r"(?s)'testall'.*train, dev, test\."):
        open_data("f8k_precomp", "testall", VECTOR)


@pytest.mark.parametrize(("shape", "kinds"), [((2, 3), ("regions", "picture")), ((2, 4, 3), VECTOR)])
def test_form_that_the_encoder_does_not_take(tmp_path: Path, shape: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    make_data(tmp_path / "data" / "coco_precomp", shape=shape)
    with pytest.raises(DataError) as caught:
        open_data("coco_precomp", "train", kinds)
    assert str(shape[1:]) in str(caught.value)
    assert all(repr(kind) in str(caught.value) for kind in kinds)


@pytest.mark.slow
def test_a_single_kind_may_be_a_string() -> None:
    assert open_data("shapes", "test", kinds="regions").kind == "regions"
    with pytest.raises(DataError, match=r"no images of kind 'region'"):
        open_data("shapes", "test", kinds="region")


def test_full_dev_reaches_the_data_set(tmp_path: Path) -> None:
    make_data(tmp_path / "data" / "f30k_precomp", "dev", shape=(1014, 2))
    assert len(open_data("f30k_precomp", "dev", VECTOR).captions) == 5000
    assert len(open_data("f30k_precomp", "dev", VECTOR, OpenOptions(full_dev=True)).captions) == 5070


def test_what_a_source_says_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for split, file in (("train", "train_ids.txt"), ("mine", "stray.txt"), ("test", "features.json")):
        make_data(folder, split)
        (folder / file).write_text("{}")
    source = find_source("./mine")
    assert source.list_splits() == ["train", "test", "mine"]
    assert source.find_folder() == Path("mine")
    read = {path.name for path in source.list_files()}
    assert {path.name for path in folder.iterdir()} - read == {"stray.txt"}
    (features,) = source.list_sources()
    assert features.locate_split("mine") == SplitFiles(Path("mine/mine_caps.txt"), Path("mine/mine_ims.npy"))
    assert features.locate_split("dev") == SplitFiles()
    assert find_source("shapes").list_splits() == ["train", "dev", "test"]
    assert (find_source("shapes").find_folder(), list(find_source("shapes").list_files())) == (None, [])
    with pytest.raises(DataError, match="were not found"):
        find_source("f8k_precomp").list_splits()


def test_the_form_that_the_data_set_prefers(tmp_path: Path) -> None:
    make_data(tmp_path / "mine", shape=(2, 4, 3))
    assert open_data("./mine", "train").kind == "regions"
    assert open_data(Path("mine"), "train").kind == "regions"
    assert open_data("shapes", "dev").kind == "vector"


class OtherSource(DataSource):
    """A data set of another package."""

    name, summary, origin, splits, kinds = "other", "", "", ("train",), VECTOR

    def open(self, split: str, kinds: object, options: OpenOptions = DEFAULT_OPTIONS) -> object:
        return split, kinds, options


def test_other_data_sets_get_the_same_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: OtherSource())
    assert open_data("other", "train", VECTOR) == ("train", VECTOR, OpenOptions())
    assert open_data("other", "dev", VECTOR, OpenOptions(Path("x"), True)) == (
        "dev",
        VECTOR,
        OpenOptions(Path("x"), True),
    )


@pytest.mark.process
def test_listing_data_sets_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys, vsezoo.data.lookup, vsezoo.data.catalogue as c; c.f8k_precomp.summary; "
        "vsezoo.data.lookup.find_source('f30k'); "
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.skipif("VSEZOO_SHARED" not in os.environ, reason="VSEZOO_SHARED is not set")
def test_flickr8k(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    root = pytestconfig.invocation_params.dir / os.environ["VSEZOO_SHARED"] / "data"
    train, dev = (open_data("f8k_precomp", split, VECTOR, OpenOptions(root)) for split in ("train", "dev"))
    assert (len(train.image_ids), len(train.captions), len(dev.image_ids)) == (6000, 30000, 1000)
    assert train.image_shape == (1280,)
    assert train.captions[0] == "A black dog is running after a white dog in the snow ."
    assert train.image_ids[0] == "2513260012_03d33305cf.jpg"
    norms = np.linalg.norm(train.images(np.arange(6000)), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-4)


def test_a_misspelt_folder_in_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/myregions_precomp"))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'data/myregions_precomp'\? `vsezoo list-datasets`"):
        require_data("myregions_precmp")
    with pytest.raises(UnknownNameError, match=r"\nThere is a folder of that name: data/myregions_precomp$"):
        require_data("myregions_precomp")

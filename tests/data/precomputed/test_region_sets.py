"""Images with different numbers of regions: every form of file gives the same sets, and models use no padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.numpy import save_file
from tiny import TinyPairs, make_model

import vsezoo
from vsezoo.batch import Embeddings
from vsezoo.data.doctor.check import check_data
from vsezoo.data.folder_source import FolderSource
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset
from vsezoo.testing import check_dataset

WORDS = ("red", "blue", "green", "old", "new", "hot")
SIZES, WIDTH = (3, 1, 4, 2, 4, 1), 6
SETS = [np.random.default_rng(size + 10 * i).normal(size=(size, WIDTH)).astype("f") for i, size in enumerate(SIZES)]
BOXES = [np.arange(4 * size, dtype=np.float32).reshape(size, 4) + 10 * i for i, size in enumerate(SIZES)]
FLAT, FLAT_BOXES = np.concatenate(SETS), np.concatenate(BOXES)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def pad(sets: list[np.ndarray], seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return sets in places that are drawn among five, with noise elsewhere, and the mask of the places."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((len(sets), 5), dtype=bool)
    for image, of_image in zip(sets, mask, strict=True):
        of_image[rng.permutation(5)[: len(image)]] = True
    padded = rng.normal(size=(len(sets), 5, sets[0].shape[1])).astype("f")
    padded[mask] = np.concatenate(sets)
    return padded, mask


def first_places(sets: list[np.ndarray]) -> np.ndarray:
    padded = np.full((len(sets), 5, sets[0].shape[1]), 9, dtype=np.float32)
    for row, image in zip(padded, sets, strict=True):
        row[: len(image)] = image
    return padded


def save_h5(path: Path, arrays: Mapping[str, np.ndarray], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **(options if array.ndim > 1 else {}))


def save_lists(path: Path, sets: list[np.ndarray]) -> None:
    columns = {"id": list(range(len(sets))), "features": [one.tolist() for one in sets]}
    columns["boxes"] = [one.tolist() for one in BOXES]
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=4)


def save_beside(path: Path, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        np.save(path if name == "features" else path.with_name(f"{path.stem}_{name}.npy"), array)


LENGTHS = {"features": FLAT, "lengths": np.array(SIZES), "boxes": FLAT_BOXES}
ENDS = np.cumsum(SIZES)
RANGES = {"image_features": FLAT, "pos_boxes": np.stack([ENDS - SIZES, ENDS], axis=1), "image_bb": FLAT_BOXES}
MASKED, MASK = pad(SETS)
WRITERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "npy and lengths": (".npy", lambda path: save_beside(path, features=FLAT, lengths=np.array(SIZES), bbx=FLAT_BOXES)),
    "npy and mask": (".npy", lambda path: save_beside(path, features=MASKED, mask=MASK, bbx=pad(BOXES)[0])),
    "npz": (".npz", lambda path: np.savez(path, **LENGTHS)),
    "npz, compressed": (".npz", lambda path: np.savez_compressed(path, **LENGTHS)),
    "npz, padded": (
        ".npz",
        lambda path: np.savez(path, feats=first_places(SETS), num_boxes=np.array(SIZES), boxes=first_places(BOXES)),
    ),
    "npz, mask": (".npz", lambda path: np.savez(path, features=MASKED, mask=MASK.astype("i4"), bboxes=pad(BOXES)[0])),
    "npz of each image": (".npz", lambda path: np.savez(path, *SETS)),
    "safetensors": (".safetensors", lambda path: save_file(LENGTHS, path)),
    "safetensors of each image": (
        ".safetensors",
        lambda path: save_file({str(i): s for i, s in enumerate(SETS)}, path),
    ),
    "pt": (".pt", lambda path: torch.save({name: torch.from_numpy(array) for name, array in LENGTHS.items()}, path)),
    "h5": (".h5", lambda path: save_h5(path, LENGTHS)),
    "h5, ranges": (".hdf5", lambda path: save_h5(path, {**RANGES, "spatial_features": np.zeros((15, 6), "f")})),
    "h5, in chunks": (".h5", lambda path: save_h5(path, {"features": MASKED, "mask": MASK}, compression="gzip")),
    "h5 of each image": (".h5", lambda path: save_h5(path, {f"{i}/features": one for i, one in enumerate(SETS)})),
    "parquet": (".parquet", lambda path: save_lists(path, SETS)),
}
WITHOUT_BOXES = {"npz of each image", "safetensors of each image", "h5, in chunks", "h5 of each image"}


def write(folder: Path, form: str = "npz", split: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    ending, save = WRITERS[form]
    save(folder / f"{split}_ims{ending}")
    lines = [f"caption {number} of a {word} thing" for word in WORDS for number in range(5)]
    (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read(folder: Path, split: str = "train") -> PairDataset:
    return FolderSource(folder).open(split, ("regions",))


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_sets_and_boxes(tmp_path: Path, form: str) -> None:
    pairs = read(write(tmp_path, form))
    assert (pairs.kind, pairs.image_shape) == ("regions", (4, WIDTH))
    for index, (found, expected) in enumerate(zip(pairs.images([5, 0, 2, 0]), [5, 0, 2, 0], strict=True)):
        np.testing.assert_array_equal(found, SETS[expected], err_msg=str(index))
    boxes = pairs.boxes(2)  # type: ignore[attr-defined]
    if form in WITHOUT_BOXES:
        assert boxes is None
    else:
        np.testing.assert_array_equal(boxes, BOXES[2])


def test_a_data_set_of_sets_keeps_its_promises(tmp_path: Path) -> None:
    check_dataset(read(write(tmp_path / "sets", "npz, mask")))


def test_equal_numbers_of_regions_are_an_array(tmp_path: Path) -> None:
    array = np.stack([SETS[2], SETS[4]])
    np.savez(tmp_path / "train_ims.npz", features=array, mask=np.ones((2, 4)))
    (tmp_path / "train_caps.txt").write_text("a\n" * 10, encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path).images([1, 0]), array[::-1])


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (
            {"features": MASKED, "mask": np.where(np.arange(6)[:, None] == 2, False, MASK)},
            "without any region ('mask'): row 2",
        ),
        (
            {"features": FLAT, "lengths": np.array([3, 1, 0, 6, 0, 5])},
            "2 images without any region ('lengths'): row 2, row 4",
        ),
        ({"features": FLAT, "lengths": np.array(SIZES[:-1])}, "counts 14 regions in all, and there are 15 rows"),
        ({"features": MASKED, "lengths": np.array(SIZES[:-1])}, "has 5 numbers, and there are 6 images"),
        ({"features": MASKED, "lengths": np.array([3, 1, 6, 2, 4, 1])}, "has 6 for image 2, which has 5 rows"),
        ({"features": MASKED, "mask": MASK[:, :4]}, "has the shape (6, 4), and the features (6, 5, 6)"),
        ({"features": FLAT, "pos_boxes": np.array([[0, 16]])}, "has ranges outside of the 15 rows"),
        ({"features": FLAT, "lengths": np.array([0.5, 14.5])}, "numbers of type float64, not whole ones"),
    ],
)
def test_counts_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], problem: str) -> None:
    write(tmp_path)
    np.savez(tmp_path / "train_ims.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert problem in caught.value.problem
    report = check_data(str(tmp_path))
    assert any(problem in finding.what for finding in report.findings if finding.split == "train")


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train_ims.npz").unlink()
    np.save(tmp_path / "train_ims.npy", np.array([*SETS, None], dtype=object)[:-1])
    with pytest.raises(DataError, match="array of Python objects") as caught:
        read(tmp_path)
    assert "lengths=[len(x) for x in a]" in caught.value.remedy


def test_the_order_of_arrays_of_images_is_that_of_the_ids(tmp_path: Path) -> None:
    write(tmp_path)
    names = ["cat.jpg", "ant.jpg", "bee.jpg", "dog.jpg", "elk.jpg", "fox.jpg"]
    np.savez(tmp_path / "train_ims.npz", **dict(sorted(zip(names, SETS, strict=True))))
    with pytest.raises(DataError, match="do not tell their order"):
        read(tmp_path)
    (tmp_path / "train_ids.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    pairs = read(tmp_path)
    assert pairs.image_ids == names
    np.testing.assert_array_equal(pairs.images([1])[0], SETS[1])


def test_the_doctor_leaves_padding_out(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write(tmp_path, "npz, padded", split)
    report = check_data(str(tmp_path))
    norms = np.linalg.norm(FLAT.astype("f8"), axis=1)
    figures = report.splits["train"]
    assert figures.norms is not None
    np.testing.assert_allclose([figures.norms.min, figures.norms.max], [norms.min(), norms.max()])
    equal = [finding for finding in report.findings if "equal" in finding.what and "dev" in finding.what]
    assert [finding.count for finding in equal] == [len(SIZES)]


class Sets(TinyPairs):
    """The sets of this module with five captions each."""

    def __init__(self) -> None:
        super().__init__(len(SETS), (max(SIZES), WIDTH))

    def images(self, indices: Any) -> Any:
        return [SETS[index] for index in indices]


MODELS = {
    "scan-t2i": {},
    "vse-infty-bigru": {},
    "pcmepp-regions": {},
    "chan": {"image_encoder__heads": 1},
    "saf": {"image_encoder__node_norm": False},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_set_is_encoded_as_it_is_alone(name: str) -> None:
    model = make_model(name, Sets(), embed_size=8, **MODELS[name]).eval()
    together = model.embed_images(SETS)
    for index, regions in enumerate(SETS):
        alone = model.embed_images(regions[None])
        torch.testing.assert_close(together.embeddings[index], alone.embeddings[0], atol=1e-5, rtol=1e-5)
        if together.items is not None:
            assert int(together.counts[index]) == len(regions)
            torch.testing.assert_close(together.items[index, : len(regions)], alone.regions[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["vsrn", "sgr"])
def test_an_encoder_of_one_number_of_regions_refuses_others(name: str) -> None:
    model = make_model(name, Sets(), embed_size=8)
    with pytest.raises(DataError, match="different numbers of regions, here 1 to 4"):
        model.embed_images(SETS)


def test_sets_without_regions_or_of_other_widths_are_refused() -> None:
    model = make_model("scan-t2i", Sets())
    for images, problem in (
        ([SETS[0], SETS[1][:0]], "the image at index 1 has no regions"),
        ([SETS[0], SETS[1][:, :5]], "different widths"),
    ):
        with pytest.raises(DataError, match=problem):
            model.embed_images(images)


@pytest.mark.slow
def test_a_model_trains_evaluates_and_searches(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        write(tmp_path / "sets", "npy and lengths", split)
    settings = {
        "embed_size": 8,
        "text_encoder.word_dim": 4,
        "text_encoder.vocab_threshold": 1,
        "training.num_epochs": 1,
    }
    result = vsezoo.train("scan-t2i", tmp_path / "sets", output=tmp_path / "run", settings=settings, workers=0)
    assert result.evaluation.split == "test"
    model = vsezoo.load(tmp_path / "run")
    data = vsezoo.open_data(tmp_path / "sets", "test", kinds=("regions",))
    images = model.embed_images(data.images(range(6)))
    assert isinstance(images, Embeddings)
    assert images.counts.tolist() == list(SIZES)
    assert len(vsezoo.open_index(tmp_path / "run", images=data).search("a red thing")) == 5

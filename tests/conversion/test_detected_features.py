"""`vsezoo features --from`: regions of a detector in TSV and LMDB become features with boxes."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vsezoo.cli import main
from vsezoo.conversion.detected_features import DetectedFeatures, write_detected
from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError, UsageError, VsezooError

Regions = Mapping[str, tuple[np.ndarray, np.ndarray]]
COUNTS = {9: 3, 25: 1, 30: 5}
"""Numbers of regions by COCO's ids."""


def make_regions(counts: Mapping[int, int] = COUNTS, width: int = 6) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {
        name: (rng.random((count, width), np.float32), np.cumsum(rng.random((count, 4), np.float32), axis=1))
        for name, count in counts.items()
    }


def encode(array: np.ndarray) -> bytes:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes())


def write_bottom_up(path: Path, regions: Mapping[Any, tuple[np.ndarray, np.ndarray]]) -> None:
    with path.open("wb") as file:
        for name, (features, boxes) in regions.items():
            file.write(
                b"%s\t640\t480\t%d\t%s\t%s\n" % (str(name).encode(), len(boxes), encode(boxes), encode(features))
            )


def write_lxmert(path: Path, regions: Mapping[Any, tuple[np.ndarray, np.ndarray]]) -> None:
    with path.open("wb") as file:
        file.write(
            b"img_id\timg_h\timg_w\tobjects_id\tobjects_conf\tattrs_id\tattrs_conf\tnum_boxes\tboxes\tfeatures\n"
        )
        for name, (features, boxes) in regions.items():
            other = encode(np.zeros(len(boxes)))
            cells = (str(name).encode(), b"480", b"640", *[other] * 4, str(len(boxes)).encode(), encode(boxes))
            file.write(b"\t".join((*cells, encode(features))) + b"\n")


def write_lmdb(path: Path, regions: Mapping[Any, tuple[np.ndarray, np.ndarray]], text: bool = True) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), map_size=2**24) as base, base.begin(write=True) as writing:
        writing.put(b"keys", pickle.dumps([str(name).encode() for name in regions]))
        for name, (features, boxes) in regions.items():
            record = {"image_id": str(name), "image_h": 480, "image_w": 640, "num_boxes": len(boxes)}
            both = {"boxes": boxes, "features": features}
            record |= {key: encode(value).decode() for key, value in both.items()} if text else both
            writing.put(str(name).encode(), pickle.dumps(record))


WRITE: dict[str, Callable[[Path, Mapping[Any, tuple[np.ndarray, np.ndarray]]], None]] = {
    "bottom-up.tsv": write_bottom_up,
    "train.tsv.0": write_bottom_up,
    "lxmert.tsv": write_lxmert,
    "vilbert": write_lmdb,
    "mmf.lmdb": lambda path, regions: write_lmdb(path, regions, text=False),
}


def write_list(folder: Path, names: Mapping[str, str], captions: int = 5) -> Path:
    """Write Karpathy's JSON with the split of each picture, and no picture."""
    folder.mkdir(exist_ok=True)
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": f"{name} {n}"} for n in range(captions)]}
        for name, split in names.items()
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    return folder


NAMES = {
    "COCO_val2014_000000000030.jpg": "train",
    "COCO_val2014_000000000009.jpg": "train",
    "COCO_train2014_000000000025.jpg": "val",
}


def convert(folder: Path, form: str = "bottom-up.tsv", **options: Any) -> DetectedFeatures:
    WRITE[form](folder / form, make_regions())
    return write_detected([folder / form], folder / "out", str(write_list(folder / "data", NAMES)), **options)


@pytest.mark.parametrize("form", WRITE)
def test_regions_and_boxes_are_in_the_order_of_the_list(tmp_path: Path, form: str) -> None:
    made = convert(tmp_path, form)
    assert [(one.split, one.shape, one.regions, one.captions) for one in made.splits] == [
        ("train", (2, 5, 6), 8, 10),
        ("dev", (1, 1, 6), 1, 5),
    ]
    regions, pairs = make_regions(), open_data(tmp_path / "out", "train")
    assert list(pairs.image_ids) == list(NAMES)[:2]
    assert pairs.captions[5] == "COCO_val2014_000000000009.jpg 0"
    for index, name in enumerate((30, 9)):
        np.testing.assert_array_equal(pairs.images([index])[0], regions[name][0])
        np.testing.assert_array_equal(pairs.boxes(index), regions[name][1])  # type: ignore[attr-defined]


def test_images_with_as_many_regions_are_one_array(tmp_path: Path) -> None:
    write_bottom_up(tmp_path / "a.tsv", regions := make_regions({1: 4, 2: 4, 3: 4}))
    write_detected([tmp_path / "a.tsv"], tmp_path / "out", dtype="float16")
    assert np.load(tmp_path / "out" / "all_ims.npy", mmap_mode="r").shape == (3, 4, 6)
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "all_ims.npy"), np.stack([one for one, _ in regions.values()]).astype(np.float16)
    )
    assert np.load(tmp_path / "out" / "all_ims_boxes.npy").shape == (3, 4, 4)
    assert not (tmp_path / "out" / "all_ims_lengths.npy").exists()
    assert (tmp_path / "out" / "all_ids.txt").read_text().split() == ["1", "2", "3"]


def test_several_files_and_what_they_have_beyond_the_list(tmp_path: Path) -> None:
    regions = make_regions({**COUNTS, 77: 2})
    write_bottom_up(tmp_path / "a.tsv", {name: regions[name] for name in (9, 25)})
    write_lmdb(tmp_path / "b", {name: regions[name] for name in (25, 30, 77)})
    data = write_list(tmp_path / "data", NAMES)
    made = write_detected([tmp_path / "a.tsv", tmp_path / "b"], tmp_path / "out", str(data))
    assert (made.unused, made.repeated) == (1, 1)


def spoil(folder: Path, name: str) -> Path:
    """Write a file that is bad in one of many ways, and return it."""
    path = folder / "a.tsv"
    write_bottom_up(path, make_regions())
    lines = path.read_bytes().splitlines(keepends=True)
    cells = lines[0].split(b"\t")
    spoilt = {
        "truncated": b"".join(lines)[:-30],
        "no tab": b"".join(lines) + b"just words\n",
        "no base64": b"\t".join((*cells[:-1], b"?!\n")) + b"".join(lines[1:]),
        "wrong count": b"\t".join((*cells[:3], b"2", *cells[4:])) + b"".join(lines[1:]),
        "no region": b"\t".join((*cells[:3], b"0", b"", b"\n")) + b"".join(lines[1:]),
        "a word for the count": b"\t".join((*cells[:3], b"many", *cells[4:])) + b"".join(lines[1:]),
        "NaN": b"\t".join((*cells[:-1], encode(np.full((3, 6), np.nan)) + b"\n")) + b"".join(lines[1:]),
        "other width": b"\t".join((*cells[:-1], encode(np.ones((3, 7))) + b"\n")) + b"".join(lines[1:]),
        "an image too few": b"".join(lines[1:]),
    }
    path.write_bytes(spoilt[name])
    return path


LEFT_OUT = ("no base64", "wrong count", "no region", "a word for the count", "NaN", "an image too few")
"""What `--on-bad-image skip` leaves out."""


@pytest.mark.parametrize("name", [*LEFT_OUT, "truncated", "no tab", "other width"])
def test_a_bad_file_is_one_message_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    data = write_list(tmp_path / "data", NAMES)
    command = ["features", str(data), "--from", str(spoil(tmp_path, name)), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tsv", "data"}
    if name in LEFT_OUT:
        done = CliRunner().invoke(main, [*command, "--on-bad-image", "skip", "--json"])
        assert done.exit_code == 0, done.stderr
        skipped = json.loads(done.stdout)["splits"][0]["skipped"]
        assert list(skipped) == ["COCO_val2014_000000000009.jpg"]
        assert list(open_data(tmp_path / "out", "train").image_ids) == ["COCO_val2014_000000000030.jpg"]


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize("content", [pickle.dumps({"features": Evil()}), b"\x80\x02garbage", b"{half", b"\x00\x01"])
def test_records_that_are_no_plain_data_are_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "a"), map_size=2**20) as base, base.begin(write=True) as writing:
        writing.put(b"9", content)
    with pytest.raises(DataError, match="the record 9 has "):
        write_detected([tmp_path / "a"], tmp_path / "out")
    assert "executed" not in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_truncated_lmdb_is_refused(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "a", make_regions(dict.fromkeys(range(50), 20)))
    file = tmp_path / "a" / "data.mdb"
    file.write_bytes(file.read_bytes()[: 2**14])
    with pytest.raises(DataError, match="truncated"):
        write_detected([tmp_path / "a"], tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "records", "message"),
    [
        ({"train/1.jpg": "train", "test/1.jpg": "test"}, {1: 2}, "fits both"),
        ({"a.jpg": "train"}, {1: 2}, "a.jpg has no regions"),
    ],
)
def test_images_that_match_no_record_or_one_together(
    tmp_path: Path, names: dict[str, str], records: dict[int, int], message: str
) -> None:
    write_bottom_up(tmp_path / "a.tsv", make_regions(records))
    with pytest.raises(VsezooError, match=message):
        write_detected([tmp_path / "a.tsv"], tmp_path / "out", str(write_list(tmp_path / "data", names)))


def test_the_command_says_what_does_not_apply(tmp_path: Path) -> None:
    write_bottom_up(tmp_path / "a.tsv", make_regions())
    command = ["features", "--from", str(tmp_path / "a.tsv"), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*command, "--crops", "10"])
    assert (done.exit_code, "--crops does not apply to --from" in done.stderr) == (2, True)
    assert CliRunner().invoke(main, command).exit_code == 0
    assert "already exists" in CliRunner().invoke(main, command).stderr
    with pytest.raises(UsageError, match="already exists"):
        write_detected([tmp_path / "a.tsv"], tmp_path / "out")
    (tmp_path / "b.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"neither a \.tsv file nor an LMDB"):
        write_detected([tmp_path / "b.zip"], tmp_path / "other")

"""A training on a folder of pictures."""

import json
from pathlib import Path

import pytest
from commands import run_command
from picture_folders import write_pictures
from processes import Done, assert_one_message

FLAGS = (
    *("vsepp", "--image-encoder", "torchvision:resnet18", "--set", "image_encoder.weights=none"),
    *("--set", "image_encoder.image_size=32", "--set", "text_encoder.vocab_threshold=1"),
    *("--embed-size", "8", "--word-dim", "4", "--num-epochs", "1", "--batch-size", "4", "--device", "cpu"),
)


def write_photos(folder: Path) -> Path:
    """Six, two and two pictures with one, two or three captions each; the second picture of train is empty."""
    names = [f"{index}.jpg" for index in range(10)]
    write_pictures(folder / "images", names)
    (folder / "images" / "1.jpg").write_bytes(b"")
    splits = ["train"] * 6 + ["dev"] * 2 + ["test"] * 2
    rows = [
        f"{name},picture {name[0]} {'again ' * k},{split}\n"
        for name, split in zip(names, splits, strict=True)
        for k in range(1 + int(name[0]) % 3)
    ]
    (folder / "captions.csv").write_text("image,caption,split\n" + "".join(rows))
    return folder


def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Done:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    photos = write_photos(tmp_path / "photos")
    return run_command(tmp_path / "work", "train", *FLAGS, "--data", photos, "--output", "run", *more)


@pytest.mark.process
def test_bad_picture_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = train(tmp_path, monkeypatch, "--on-bad-image", "skip", "--workers", "1")
    assert done.code == 0, done.stderr
    assert "1 of the 6 images of the split train are skipped" in done.stderr
    assert "1.jpg: is empty (0 bytes)" in done.stderr
    config = json.loads((tmp_path / "work" / "run" / "best" / "config.json").read_text())
    # pictures 0, 2, 3, 4, 5 have 1, 3, 1, 2 and 3 captions
    account = config["data"].pop("account")
    assert (account["layout"], account["images"]) == ("table", 10)
    assert config["data"].pop("sentinel").keys() == {"splits"}
    assert config["data"] == {"name": "photos", "kind": "picture", "image_shape": [], "images": 5, "captions": 10}
    metrics = json.loads((tmp_path / "work" / "run" / "best" / "metrics.json").read_text())
    assert (metrics["images"], metrics["captions"]) == (2, 4)  # pictures 8 and 9 have 3 captions and 1


@pytest.mark.slow
def test_bad_picture_ends_the_run_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = train(tmp_path, monkeypatch)
    assert_one_message(done, 1, r"photos/images/1\.jpg: is empty \(0 bytes\)\.\n.*--on-bad-image skip")

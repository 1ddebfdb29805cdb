"""`vsezoo caption`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import tiny
from PIL import Image

import vsezoo
from vsezoo.captioning.loss import CaptionLoss
from vsezoo.captioning.search import write_captions
from vsezoo.checkpoints.checkpoint import load_loss

SETTINGS = tiny.SETTINGS | {
    "image_encoder.num_blocks": 1,
    "loss.hidden_size": 24,
    "loss.word_dim": 8,
    "training.num_epochs": 3,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of region features: three regions for each image."""
    folder = tiny.write_data(tmp_path_factory.mktemp("caption") / "photos")
    for path in folder.glob("*_ims.npy"):
        features = np.load(path)
        np.save(path, np.stack([features, -features, features[:, ::-1]], axis=1))
    (folder / "test_ids.txt").write_text("\n".join(f"photo-{index}.jpg" for index in range(20)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a little."""
    run = tmp_path_factory.mktemp("runs") / "vsrn"
    vsezoo.train("vsrn", photos, output=run, settings=SETTINGS, device="cpu")
    return run


def caption(folder: Path, *arguments: str | Path, **options: Any) -> processes.Done:
    return commands.run_command(folder, "caption", *arguments, "--device", "cpu", **options)


def read_captions(folder: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Return what `--json` prints."""
    done = caption(folder, *arguments, "--json")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == ["checkpoint", "model", "beam", "captions"]
    assert (found["checkpoint"], found["model"]) == (str(arguments[0]), "vsrn")
    return found["captions"]


@pytest.mark.slow
def test_captions_are_those_of_the_checkpoint(run: Path, photos: Path, tmp_path: Path) -> None:
    model, loss = vsezoo.load(run), load_loss(run)
    assert isinstance(loss, CaptionLoss)
    features = np.load(photos / "test_ims.npy")
    for beam in (1, 3):
        written = write_captions(model, loss, features[[2, 7]], beam=beam)
        found = read_captions(tmp_path, run, "2", "photo-7.jpg", "--data", photos, "--beam", str(beam))
        assert [item["image"] for item in found] == ["photo-2.jpg", "photo-7.jpg"]
        assert [item["caption"] for item in found] == [one.text for one in written]
        logs = [one.log_probability for one in written]
        assert [item["log_probability"] for item in found] == pytest.approx(logs, abs=1e-4)
    assert set(written[0].text.split()) <= set(loss.vocabulary.words)


@pytest.mark.slow
def test_training_makes_captions_likelier(run: Path, photos: Path) -> None:
    steps = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    costs = [step["parts"]["caption"] for step in steps if "parts" in step]
    assert costs[-1] < costs[0] / 1.5


@pytest.mark.slow
def test_rows_of_a_file_are_the_images_of_the_split(run: Path, photos: Path, tmp_path: Path) -> None:
    file = photos / "test_ims.npy"
    split = read_captions(tmp_path, run, "0", "1", "2", "5", "--data", photos)
    rows = read_captions(tmp_path, run, file, "--rows", "0-2,5")
    assert [item["image"] for item in rows] == [f"{file}:{row}" for row in (0, 1, 2, 5)]
    assert [item["caption"] for item in rows] == [item["caption"] for item in split]
    (one,) = read_captions(tmp_path, run, f"{file}:5")
    assert one["caption"] == split[3]["caption"]
    assert len(read_captions(tmp_path, run, file)) == 20


@pytest.mark.slow
def test_another_split(run: Path, photos: Path, tmp_path: Path) -> None:
    (found,) = read_captions(tmp_path, run, "4", "--data", photos, "--split", "dev")
    (row,) = read_captions(tmp_path, run, f"{photos / 'dev_ims.npy'}:4")
    assert (found["image"], found["caption"]) == ("4", row["caption"])


@pytest.mark.slow
def test_the_table_fits_a_terminal(run: Path, photos: Path, tmp_path: Path) -> None:
    done = caption(tmp_path, run, "2", "7", "--data", photos, before=narrow)
    assert (done.code, done.stderr) == (0, "")
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["image", "caption", "log", "p"]
    assert max(map(len, lines)) <= 80
    found = read_captions(tmp_path, run, "2", "7", "--data", photos)
    for item in found:
        assert item["image"] in done.stdout
        assert f"{item['log_probability']:.2f}" in done.stdout
    # A line that is too long goes on in the next, inside its column.
    table = " ".join(word for line in lines for word in line.split() if not word.startswith(("photo", "-")))
    assert table == " ".join(item["caption"] for item in found)


def narrow() -> None:
    os.environ["COLUMNS"] = "80"


def test_max_len(run: Path, photos: Path, tmp_path: Path) -> None:
    longer, shorter = (
        read_captions(tmp_path, run, "3", "--data", photos, "--max-len", number)[0]["caption"] for number in ("9", "2")
    )
    assert shorter.split() == longer.split()[:2]
    assert len(shorter.split()) == 2


# Mistakes


def test_a_checkpoint_without_a_caption_head(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "plain")
    message = (
        r"plain: has no caption head; its loss is 'hinge'\.\nTrain one with .* `caption` .*: vsezoo train vsrn --data"
    )
    processes.assert_one_message(caption(tmp_path, tmp_path / "plain", "0"), 1, message)


def test_a_checkpoint_whose_head_was_left_out(tmp_path: Path) -> None:
    """As one converted from a file that has none."""
    data = tiny.TinyPairs(shape=(3, tiny.WIDTH))
    tiny.save_model(tmp_path / "bare", tiny.make_model("vsrn", data=data), data)
    message = r"bare: has no caption head; its loss is 'caption'"
    processes.assert_one_message(caption(tmp_path, tmp_path / "bare", "0"), 1, message)


def test_images_of_another_form(run: Path, photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png")
    processes.assert_one_message(
        caption(tmp_path, run, "cat.png"),
        1,
        r"^cat\.png: this model takes features of several regions .*, not pictures",
    )
    np.save(tmp_path / "vectors.npy", np.zeros((2, tiny.WIDTH), dtype=np.float32))
    processes.assert_one_message(
        caption(tmp_path, run, "vectors.npy"), 1, r"^vectors\.npy: this model takes .*, not features of one vector"
    )
    np.save(tmp_path / "wide.npy", np.zeros((2, 3, tiny.WIDTH + 1), dtype=np.float32))
    message = rf"^wide\.npy: the images have the shape \(2, 3, 13\), but this model takes .* {tiny.WIDTH}\)"
    processes.assert_one_message(caption(tmp_path, run, "wide.npy"), 1, message)


@pytest.mark.slow
def test_images_that_are_not_there(run: Path, photos: Path, tmp_path: Path) -> None:
    place = ("--data", photos)
    message = r"^'photo-3' is neither a file nor an image of the test split of photos\.\nDid you mean 'photo-3\.jpg'\?"
    processes.assert_one_message(caption(tmp_path, run, "photo-3", *place), 2, message)
    processes.assert_one_message(
        caption(tmp_path, run, "20", *place), 2, "Give an index from 0 to 19 or an id, such as"
    )
    processes.assert_one_message(caption(tmp_path, run, "0", *place, "--split", "val"), 1, "has no split 'val'")
    (tmp_path / "photos").symlink_to(photos)  # a folder of that name need not be the one that the model was trained on
    fetched = shutil.copytree(run, tmp_path / "vsrn")
    (fetched / "best" / "local.json").unlink()  # as on another machine
    message = r"vsrn: was trained on 'photos', which is not .*registered.*\n.* --data FOLDER"
    processes.assert_one_message(caption(tmp_path, fetched, "0"), 2, message)
    processes.assert_one_message(caption(tmp_path, run, "0", *place, "--rows", "1"), 2, "--rows needs a FILE")
    processes.assert_one_message(caption(tmp_path, run), 2, r"Missing argument 'IMAGE\.\.\.'")
    processes.assert_one_message(caption(tmp_path, run, "0", "--beam", "0"), 2, "0 is not in the range x>=1")

"""`vsezoo explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pictures
import processes
import pytest
import tiny
from PIL import Image

import vsezoo
from vsezoo.checkpoints.checkpoint import save_checkpoint

REGIONS = tiny.TinyPairs(shape=(3, tiny.WIDTH))
CAPTION = "the dog has a ball"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of SCAN, untrained."""
    run = tmp_path_factory.mktemp("runs") / "scan"
    tiny.save_model(run, tiny.make_model("scan-t2i", data=REGIONS), REGIONS)
    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of features, three regions for each image."""
    folder = tiny.write_data(tmp_path_factory.mktemp("data") / "photos")
    for path in folder.glob("*_ims.npy"):
        features = np.load(path)
        np.save(path, np.stack([features, -features, features[:, ::-1]], axis=1))
    return folder


def explain(folder: Path, *arguments: str | Path, **options: Any) -> processes.Done:
    return commands.run_command(folder, "explain", *arguments, "--device", "cpu", **options)


@pytest.mark.slow
def test_attention(run: Path, photos: Path, tmp_path: Path) -> None:
    done = explain(tmp_path, run, "2", CAPTION, "--data", photos, "--json", "--html", "page.html")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    expected = vsezoo.explain(vsezoo.load(run), np.load(photos / "test_ims.npy")[2], CAPTION)
    assert (found["checkpoint"], found["model"], found["image"]) == (str(run), "scan-t2i", "2")
    assert found["score"] == pytest.approx(expected.score)
    assert [word["word"] for word in found["words"]] == list(expected.words)
    for row, word in zip(expected.region_weights, found["words"], strict=True):
        np.testing.assert_allclose(word["weights"], row, rtol=1e-6)
        assert (word["region"], word["weight"]) == (row.argmax(), pytest.approx(row.max()))
    assert "dog" in (tmp_path / "page.html").read_text(encoding="utf-8")

    table = explain(tmp_path, run, f"{photos / 'test_ims.npy'}:2", CAPTION, "--data", photos)
    first, heading, *lines = table.stdout.splitlines()
    assert first == f"score {expected.score:.4f}, by attention"
    assert heading.split() == ["word", "region", "weight"]
    cells = [line.split() for line in lines]
    assert [row[0] for row in cells] == list(expected.words)
    assert [int(row[1]) for row in cells] == expected.region_weights.argmax(axis=1).tolist()


def test_gradient(run: Path, photos: Path, tmp_path: Path) -> None:
    done = explain(tmp_path, run, "2", CAPTION, "--data", photos, "--method", "gradient")
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("by gradient")
    assert lines[1].split() == ["word", "weight"]
    assert "The 3 regions of 3 with the largest weights" in lines
    weights = [float(line.split()[1]) for line in lines[-3:]]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.slow
def test_an_image_of_one_vector(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "plain")
    data = tiny.write_data(tmp_path / "vectors")
    done = explain(tmp_path, "plain", "0", CAPTION, "--data", data, "--html", "page.html")
    assert (done.code, done.stderr) == (0, "")
    assert "region" not in done.stdout
    done = explain(tmp_path, "plain", "0", CAPTION, "--data", data, "--method", "attention")
    processes.assert_one_message(done, 2, "'cosine' has no attention: it compares one vector of the image with one")


@pytest.mark.slow
def test_shapes_are_drawn_on(tmp_path: Path) -> None:
    data = vsezoo.open_data("shapes", "dev", kinds=("regions",))
    settings = {"embed_size": 8, "text_encoder.word_dim": 4, "text_encoder.vocab_threshold": 100}
    # Without figures: to compare all captions with all images takes a minute.
    save_checkpoint(tmp_path / "run", vsezoo.create_model("scan-t2i", data, settings=settings), data, {})
    done = explain(tmp_path, "run", "2", "a small blue star", "--html", "page.html")
    assert (done.code, done.stderr) == (0, "")
    assert "place" in done.stdout
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 13  # the picture, and two maps for each of six words


@pytest.mark.slow
def test_a_picture(tmp_path: Path) -> None:
    data = pictures.PicturePairs()
    settings = {"image_encoder": pictures.BACKBONE, "image_encoder.weights": "none", "image_encoder.image_size": 64}
    tiny.save_model(tmp_path / "run", vsezoo.create_model("vsepp", data, settings=settings | pictures.SIZES), data)
    pictures.draw(0).save(tmp_path / "red.png")
    done = explain(tmp_path, "run", "red.png", "a red thing", "--html", "page.html")
    assert (done.code, done.stderr) == (0, "")
    assert "row 1, column 1" in done.stdout
    done = explain(tmp_path, "run", "red.png", "a red thing", "--pictures", "red.png")
    processes.assert_one_message(done, 2, "--pictures is for features")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    processes.assert_one_message(explain(tmp_path, "run", "bad.png", "a red thing"), 1, "bad.png: is not a picture")


def test_mistakes(run: Path, photos: Path, tmp_path: Path) -> None:
    place = ("--data", photos)
    done = explain(tmp_path, run, "0", "xylophone zebra", *place)
    processes.assert_one_message(done, 2, "knows no word of the caption 'xylophone zebra'")
    done = explain(tmp_path, run, photos / "test_ims.npy", CAPTION)
    processes.assert_one_message(
        done, 2, r"contains 20 images; one is explained at a time\.\nName one .*test_ims\.npy:0"
    )
    done = explain(tmp_path, run, "99", CAPTION, *place)
    processes.assert_one_message(done, 2, "'99' is neither a file nor an image of the test split")
    done = explain(tmp_path, run, "0", CAPTION, *place, "--pictures", "nowhere.jpg")
    processes.assert_one_message(done, 1, r"nowhere\.jpg: cannot be read: No such file")
    done = explain(tmp_path, run, "0", CAPTION, *place, "--html", photos / "test_caps.txt" / "page.html")
    processes.assert_one_message(done, 1, r"page\.html: ")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png")
    done = explain(tmp_path, run, "cat.png", CAPTION, *place)
    processes.assert_one_message(done, 1, r"^cat\.png: this model takes features of several regions .*, not pictures")

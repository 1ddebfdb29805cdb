"""Choices: what counts as right, the forms of the files, and the pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from vsezoo.errors import DataError
from vsezoo.evaluation.choices.items import read_choices
from vsezoo.evaluation.choices.protocol import choices, mark

WINOGROUND = {"id": 0, "caption_0": "a b", "caption_1": "b a", "image_0": "ex_0_img_0", "image_1": "ex_0_img_1"}
SUGARCREPE = {"0": {"filename": "0001.jpg", "caption": "a cat", "negative_caption": "a dog"}}
ARO = {"image_path": "7.jpg", "bbox_x": 2, "bbox_y": 1, "bbox_w": 3, "bbox_h": 4}
ARO |= {"true_caption": "a on b", "false_caption": "b on a"}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[0.2, 0.1]], {"accuracy": True, "tie": False}),
        ([[0.1, 0.1]], {"accuracy": False, "tie": True}),  # a tie is wrong
        ([[0.1, -0.3, 0.2]], {"accuracy": False, "tie": False}),
        ([[float("nan"), 0.0]], {"accuracy": False, "tie": False}),
        ([[2, 1], [0, 3]], {"text": True, "image": True, "group": True, "tie": False}),
        ([[2, 1], [3, 4]], {"text": True, "image": False, "group": False, "tie": False}),
        ([[2, 3], [1, 4]], {"text": False, "image": True, "group": False, "tie": False}),
        ([[2, 2], [2, 2]], {"text": False, "image": False, "group": False, "tie": True}),
    ],
)
def test_what_is_right(scores: list, expected: dict) -> None:
    assert mark(np.array(scores, np.float32)) == expected


def write(file: Path, value: object) -> Path:
    lines = [json.dumps(item) for item in value] if isinstance(value, list) else [json.dumps(value)]
    file.write_text("\n".join(lines) if file.suffix == ".jsonl" else json.dumps(value))
    return file


def test_forms(tmp_path: Path) -> None:
    (two,) = read_choices(write(tmp_path / "examples.jsonl", [WINOGROUND]))
    assert [crop.file for crop in two.images] == ["ex_0_img_0", "ex_0_img_1"]
    assert two.captions == ("a b", "b a")
    (one,) = read_choices(write(tmp_path / "replace_obj.json", SUGARCREPE))
    assert (one.images[0].name, one.captions, one.group) == ("0001.jpg", ("a cat", "a dog"), "replace_obj")
    (box,) = read_choices(write(tmp_path / "visual_genome_relation.json", [ARO]))
    assert (box.images[0].box, box.captions) == ((2, 1, 5, 5), ("a on b", "b on a"))
    plain = {"image": "a.jpg", "captions": ["right", "wrong", "worse"], "group": "mine"}
    (mine,) = read_choices(write(tmp_path / "own.jsonl", [plain]))
    assert (len(mine.captions), mine.group) == (3, "mine")
    assert len(read_choices(tmp_path)) == 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"image": "a.jpg"}], r"entry 1 is not a choice: KeyError\('caption_options'\)"),
        ([{"image": "a.jpg", "captions": ["one"]}], "entry 1 has 1 images and 1 captions"),
        ([{"images": ["a", "b"], "captions": ["1", "2", "3"]}], "entry 1 has 2 images and 3 captions"),
        ([{"image": 3, "captions": ["1", "2"]}], "images and captions are texts"),
        ([1], "is not a list of choices"),
        ([], "has no choices"),
    ],
)
def test_damaged_files(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_choices(write(tmp_path / "x.json", value))


def test_pictures_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path / "examples.jsonl", [WINOGROUND])
    write(tmp_path / "relation.json", [ARO])
    pixels = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    (tmp_path / "images").mkdir()
    for name in ("ex_0_img_0.png", "ex_0_img_1.png"):
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    with pytest.raises(DataError, match=r"lacks the picture 7\.jpg\.\n.*next to the file of choices"):
        choices.open_images(tmp_path)
    Image.fromarray(pixels).save(tmp_path / "7.png")
    data = choices.open_images(tmp_path)
    assert data.image_ids == ["ex_0_img_0", "ex_0_img_1", "7.jpg[2,1,5,5]"]
    whole, crop = data.images([0, 2])
    assert np.array_equal(np.asarray(whole), pixels)
    assert np.array_equal(np.asarray(crop), pixels[1:5, 2:5])

    def score(images, captions):
        return np.array([[len(c) * (i + 1) if c[0] == "ab"[i % 2] else i for c in captions] for i in images], float)

    figures = choices.measure(score, data, tmp_path)
    # Image 0: "a b" 3, "b a" 0; image 1: 1 and 6. Image 2: "a on b" 18, "b on a" 2.
    assert figures == {
        **{"accuracy": 100, "text": 100, "image": 100, "group": 100},
        **{"examples text": 100, "examples image": 100, "examples group": 100, "relation accuracy": 100},
        **{"ties": 0, "items": 2},
    }


def test_images_of_a_data_set(tmp_path: Path) -> None:
    data = tiny.TinyPairs(2)
    data.image_ids = ["val2017/0001.jpg", "x"]
    file = write(tmp_path / "replace_obj.json", SUGARCREPE)
    figures = choices.measure(lambda images, captions: np.zeros((len(images), len(captions))), data, file)
    assert figures == {"accuracy": 0, "ties": 1, "items": 1}
    data.image_ids = ["y", "x"]
    with pytest.raises(DataError, match=r"lacks the image 0001\.jpg"):
        choices.measure(lambda images, captions: np.zeros((len(images), len(captions))), data, file)

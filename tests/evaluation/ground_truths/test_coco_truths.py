"""ECCV Caption and CxC: a small ground truth by hand, and the figures of eccv-caption's own code on the real one."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from vsezoo.errors import DataError, MissingPackageError
from vsezoo.evaluation.ground_truths import coco, protocols
from vsezoo.evaluation.ground_truths.first import find_first
from vsezoo.evaluation.ground_truths.protocols import cxc, eccv
from vsezoo.evaluation.registered import ModelScore

IMAGES = {"a_11.jpg": [101, 102], "b_22.jpg": [201, 202], "c_33.jpg": [301, 302]}


class Pairs(tiny.TinyPairs):
    """Three images with three captions each, of which the first two are in the ground truth; the text is the number."""

    name, split = "coco", "test"

    def __init__(self, names=tuple(IMAGES)):
        super().__init__(len(names))
        self.image_ids = list(names)
        self.captions = [str(text) for name in names for text in (*IMAGES.get(name, (7, 8)), "sixth")]
        self.image_of = np.repeat(np.arange(len(names)), 3)


class Table:
    """A score by the numbers of image and caption."""

    compares_alike = True

    def __init__(self, data, scores):
        self.data, self.scores = data, scores

    def __call__(self, images, captions):
        names = [self.data.image_ids[image] for image in images]
        return np.array([[self.scores[name][text] for text in captions] for name in names], np.float32)

    def compare_captions(self, captions, others):
        """The nearer the numbers, the greater."""
        return -np.abs(np.subtract.outer([int(c) for c in captions], [int(c) for c in others])).astype(np.float32)

    def compare_images(self, images, others):
        return -np.abs(np.subtract.outer(images, others)).astype(np.float32)


SCORES = {
    "a_11.jpg": {"101": 0.9, "102": -0.5, "201": 0.5, "202": 0.1, "301": 0.7, "302": 0.0},
    "b_22.jpg": {"101": 0.8, "102": 0.2, "201": 0.6, "202": -0.1, "301": 0.6, "302": 0.0},
    "c_33.jpg": {"101": 0.1, "102": 0.2, "201": 0.3, "202": 0.4, "301": 0.5, "302": 0.6},
}


def write_truth(folder: Path, name: str, i2t: dict, t2i: dict) -> None:
    (folder / f"{name}_image_to_caption.json").write_text(json.dumps(i2t))
    (folder / f"{name}_caption_to_image.json").write_text(json.dumps(t2i))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    numbers = [number for own in IMAGES.values() for number in own]
    np.save(tmp_path / "coco_test_ids.npy", numbers)
    own = {int(name[2:4]): numbers for name, numbers in IMAGES.items()}
    back = {number: [image] for image, numbers in own.items() for number in numbers}
    write_truth(tmp_path, "original", own, back)
    # 999 is no candidate: a sixth caption. Caption 302 has no match in CxC.
    write_truth(tmp_path, "eccv", {11: [101, 201, 301], 22: [201, 999]}, {101: [11, 22], 202: [22]})
    write_truth(tmp_path, "cxc", {11: [102], 22: [201, 301], 33: [301, 302]}, {101: [22], 201: [11], 302: []})
    return tmp_path


def test_eccv_by_hand(folder: Path) -> None:
    data = Pairs()
    figures = eccv.measure(Table(data, SCORES), data, folder)
    # Image 11 ranks 101, 301, 201: all three matches. Image 22 ranks 101, then 201 (equal to 301, and before it).
    assert figures["i2t mAP@R"] == pytest.approx(100 * (1 + (1 / 2) / 2) / 2)
    assert figures["i2t R-P"] == pytest.approx(100 * (1 + 1 / 2) / 2)
    assert figures["i2t R@1"] == 50
    # Caption 101 ranks 11, 22; caption 202 ranks 33, 11, 22.
    assert figures["t2i mAP@R"] == figures["t2i R-P"] == figures["t2i R@1"] == 50
    assert next(iter(figures)) == "i2t mAP@R"


def test_cxc_by_hand(folder: Path) -> None:
    data = Pairs()
    score = Table(data, SCORES)
    figures = cxc.measure(score, data, folder)
    # The matches of 11, 22 and 33 have the ranks 6, 2 and 1; those of 101 and 201 the ranks 2 and 2.
    assert [figures[f"i2t R@{k}"] for k in (1, 5, 10)] == pytest.approx([100 / 3, 200 / 3, 100])
    assert [figures[f"t2i R@{k}"] for k in (1, 5, 10)] == [0, 100, 100]
    assert "t2t R@1" not in figures

    header = "caption1,caption2,agg_score,sampling_method\n"
    rows = "COCO:sentid:101,COCO:sentid:102,2.9,c2c_cocaption\nCOCO:sentid:101,COCO:sentid:302,3.0,c2c_isim\n"
    (folder / "sts_test.csv").write_text(header + rows)
    (folder / "sis_test.csv").write_text("image1,image2,agg_score,x\nCOCO_000011.jpg,COCO_000033.jpg,4.1,i2i_csim\n")
    figures = cxc.measure(score, data, folder)
    # 101 no longer matches 102, which now has no match, but 302: its last of five. The others' captions are nearest.
    # 302 matches 301 as well, the nearest.
    assert figures["t2t R@1"] == pytest.approx(100 * 4 / 5)
    assert figures["t2t R@5"] == 100
    assert figures["i2i R@1"] == 0  # images 11 and 33 are two apart
    assert figures["i2i R@5"] == 100


def test_images_by_order_and_images_that_are_missing(folder: Path) -> None:
    data = Pairs()
    named = eccv.measure(Table(data, SCORES), data, folder)
    data.image_ids = ["one", "two", "three"]
    scores = dict(zip(data.image_ids, SCORES.values(), strict=True))
    assert eccv.measure(Table(data, scores), data, folder) == named
    few = Pairs(("b_22.jpg", "d_44.jpg"))
    with pytest.raises(DataError, match=r"lacks 2 of COCO's 3 test images\.\n.*--split testall"):
        eccv.measure(Table(few, SCORES), few, folder)


def test_damaged_and_missing_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Pairs()
    (folder / "eccv_caption_to_image.json").write_text("[]")
    with pytest.raises(DataError, match=r"eccv_caption_to_image\.json: is not a ground truth"):
        eccv.measure(Table(data, SCORES), data, folder)
    (folder / "sts_test.csv").write_text("a,b,c,d\n1,2,x,y\n")
    with pytest.raises(DataError, match=r"sts_test\.csv: is not a file of Crisscrossed Captions"):
        cxc.measure(Table(data, SCORES), data, folder)
    monkeypatch.setattr(coco, "PACKAGE", "none_such_package")
    with pytest.raises(MissingPackageError, match=r"need the files of eccv-caption\.\n.*'vsezoo\[eccv\]'"):
        eccv.measure(Table(data, SCORES), data, folder / "empty")


def test_first_candidates_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as from a stable sort of all scores, with many ties."""
    scores = np.random.default_rng(0).integers(0, 4, (6, 25)).astype(np.float32)
    monkeypatch.setattr("vsezoo.evaluation.ground_truths.first.BLOCK", 4)
    captions = [str(number) for number in range(25)]
    found = find_first(lambda images, texts: scores[:, [int(text) for text in texts]], range(6), captions, 7)
    assert np.array_equal(found[0], np.argsort(-scores, axis=1, kind="stable")[:, :7])
    assert np.array_equal(found[1], np.argsort(-scores.T, axis=1, kind="stable")[:, :6])


def test_a_model_compares_captions_and_images() -> None:
    data = tiny.TinyPairs()
    model = tiny.make_model(data=data)
    score = ModelScore([model, model], [data, data])
    texts = list(data.captions[:4])
    captions, images = score.compare_captions(texts[:2], texts), score.compare_images([0, 1], [0, 1, 2])
    assert captions.shape == (2, 4)
    assert np.diag(captions) == pytest.approx([1, 1], abs=1e-6)  # cosine
    assert np.diag(images) == pytest.approx([1, 1], abs=1e-6)
    vectors = model.encode_texts(texts)
    assert captions == pytest.approx((vectors[:2] @ vectors.T).detach().numpy(), abs=1e-6)


def rank_own_first(own: list[list[int]], numbers: list[int], count: int) -> np.ndarray:
    """Return the first candidates of queries: their own ones, then those with the least numbers."""
    least = np.argsort(numbers)[: count + max(map(len, own))].tolist()
    return np.array([[*mine, *(place for place in least if place not in mine)][:count] for mine in own])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("eccv_caption") is None, reason="eccv-caption is not installed")
def test_the_figures_of_eccv_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own matches first, then ascending numbers: what eccv-caption 0.1.0 computes of this ranking."""
    folder = coco.find_files(Path("none"))
    originals = json.loads((folder / "original_image_to_caption.json").read_text())

    class Split(tiny.TinyPairs):
        name, split = "coco", "test"

        def __init__(self):
            super().__init__(1)
            self.image_ids = [f"COCO_val2014_{int(image):012}.jpg" for image in originals]
            self.captions = [""] * 25000
            self.image_of = np.repeat(np.arange(5000), 5)

    order = coco.identify(Split(), folder)
    place_of = {number: place for place, number in enumerate(order.caption_numbers)}
    own = [[place_of[int(number)] for number in numbers if int(number) in place_of] for numbers in originals.values()]

    def rank(score: object, images: object, captions: object, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As `find_first` would, without the scores of all pairs."""
        return (
            rank_own_first(own, order.caption_numbers, count),
            rank_own_first([[place] for place in order.image_of], order.image_numbers, count),
        )

    monkeypatch.setattr(protocols, "find_first", rank)
    score = Table(Split(), {})
    score.compares_alike = False
    expected = {
        "i2t mAP@R": 0.3129336134243313,
        "i2t R-P": 0.3133937543890613,
        "i2t R@1": 0.9984139571768438,
        "t2i mAP@R": 0.13629567806421808,
        "t2i R-P": 0.1372162762771638,
        "t2i R@1": 1.0,
    }
    figures = eccv.measure(score, score.data, folder)
    assert {name: figures[name] / 100 for name in expected} == pytest.approx(expected, abs=1e-12)
    figures = cxc.measure(score, score.data, folder)
    assert figures["i2t R@1"] / 100 == pytest.approx(0.9992, abs=1e-12)
    assert figures["t2i R@1"] / 100 == pytest.approx(0.9999599551497678, abs=1e-12)

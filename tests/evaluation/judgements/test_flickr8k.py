"""Flickr8K's judgements: on files made by hand, and on the real ones with baselines that need no model."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from vsezoo.errors import DataError
from vsezoo.evaluation.judgements import flickr8k

CAPTIONS = """\
a.jpg#0\tA dog runs .
a.jpg#1\tA brown dog .
b.jpg#0\tA dog runs .
b.jpg#1\tTwo cats
"""


class Pairs(tiny.TinyPairs):
    name, split = "f8k", "test"

    def __init__(self, names):
        super().__init__(len(names))
        self.image_ids = names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Flickr8k.token.txt").write_text(CAPTIONS)
    # The first row is left out: b.jpg#0 has the text of a caption of a.jpg.
    (tmp_path / "ExpertAnnotations.txt").write_text(
        "a.jpg\tb.jpg#0\t4\t4\t4\na.jpg\tb.jpg#1\t1\t1\t2\nb.jpg\ta.jpg#1\t3\t3\t4\n"
    )
    (tmp_path / "CrowdFlowerAnnotations.txt").write_text(
        "a.jpg\ta.jpg#0\t1\t3\t0\na.jpg\tb.jpg#1\t0.25\t1\t3\nb.jpg\ta.jpg#1\t0\t0\t3\n"
    )
    return tmp_path


def score(images, captions):
    """More for longer captions, and for the second image."""
    return np.array([[len(caption) + 100 * image for caption in captions] for image in images], np.float32)


def test_by_hand(folder: Path) -> None:
    data = Pairs(["a.jpg", "b.jpg"])
    expert = flickr8k.expert.measure(score, data, folder)
    assert list(expert) == ["tau-c", "tau-b", "points"]
    assert expert["points"] == 6
    # Nine pairs of points of the two rows, all in one order; six points, two distinct scores.
    assert expert["tau-c"] == pytest.approx(100 * 2 * 9 * 2 / 36)
    crowd = flickr8k.crowd.measure(score, data, folder)
    assert crowd["points"] == 3
    # Scores 12, 8 and 113; shares 1, 1/4 and 0: one pair agrees, two do not.
    assert crowd["tau-b"] == pytest.approx(100 * -1 / 3)


def test_images_that_are_missing(folder: Path) -> None:
    with pytest.raises(DataError, match=r"lacks 1 of the 2 images that were judged, such as b\.jpg"):
        flickr8k.expert.measure(score, Pairs(["a.jpg"]), folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"a.jpg\tb.jpg#1\t1\tx\t1\n", "line 1 has something else than numbers"), (b"\xff\n", "is not UTF-8 text")],
)
def test_judgements_that_cannot_be_read(folder: Path, content: bytes, problem: str) -> None:
    for name, protocol in (("ExpertAnnotations", flickr8k.expert), ("CrowdFlowerAnnotations", flickr8k.crowd)):
        (folder / f"{name}.txt").write_bytes(content)
        with pytest.raises(DataError, match=f"{name}.txt: {problem}"):
            protocol.measure(score, Pairs(["a.jpg", "b.jpg"]), folder)


def test_a_pair_without_votes(folder: Path) -> None:
    (folder / "CrowdFlowerAnnotations.txt").write_text("a.jpg\tb.jpg#1\t0\t0\t0\n")
    with pytest.raises(DataError, match=r"CrowdFlowerAnnotations\.txt: has a pair that nobody judged"):
        flickr8k.crowd.measure(score, Pairs(["a.jpg", "b.jpg"]), folder)


def test_files_that_are_missing_or_damaged(folder: Path) -> None:
    (folder / "ExpertAnnotations.txt").write_text("a.jpg\tb.jpg#0\t4\n")
    with pytest.raises(DataError, match=r"ExpertAnnotations\.txt: has 3 columns instead of 5 in line 1"):
        flickr8k.expert.measure(score, Pairs(["a.jpg"]), folder)
    (folder / "Flickr8k.token.txt").unlink()
    with pytest.raises(DataError, match=r"Flickr8k\.token\.txt: cannot be read"):
        flickr8k.crowd.measure(score, Pairs(["a.jpg"]), folder)


@pytest.mark.slow
def test_baselines_on_the_real_files(request: pytest.FixtureRequest) -> None:
    """Known values (scipy.stats.kendalltau): the greatest Jaccard index with the image's other captions; the length."""
    import os

    place = Path(os.environ.get("VSEZOO_SHARED", "")) / "data" / "flickr8k"
    if not os.environ.get("VSEZOO_SHARED") or not place.is_dir():
        pytest.skip("VSEZOO_SHARED has no data/flickr8k")
    texts = flickr8k.read_captions(place)
    names = sorted({name.rpartition("#")[0] for name in texts})
    own: dict[str, list[str]] = {}
    by_text: dict[str, list[str]] = {}
    for name, text in texts.items():
        own.setdefault(name.rpartition("#")[0], []).append(name)
        by_text.setdefault(text, []).append(name)

    def split(text):
        return frozenset(re.findall("[a-z0-9]+", text.lower()))

    def length(images, captions):
        row = [len(re.findall("[a-z0-9]+", caption.lower())) for caption in captions]
        return np.tile(np.array(row, np.float32), (len(images), 1))

    data = Pairs(names)
    expert, crowd = (protocol.measure(length, data, place) for protocol in (flickr8k.expert, flickr8k.crowd))
    assert (expert["points"], crowd["points"]) == (16_992, 47_830)
    assert (expert["tau-b"], expert["tau-c"]) == pytest.approx((-9.865, -9.533), abs=6e-4)
    assert (crowd["tau-b"], crowd["tau-c"]) == pytest.approx((-8.090, -4.011), abs=6e-4)

    judged: dict[str, list[str]] = {}  # the images of each text; no other scores are looked at
    for line in (place / flickr8k.EXPERT).read_text().splitlines():
        image, caption, *_ = line.split("\t")
        judged.setdefault(texts[caption], []).append(image)

    def overlap(images, captions):
        row_of = {names[image]: row for row, image in enumerate(images)}
        scores = np.zeros((len(images), len(captions)))
        for column, caption in enumerate(captions):
            said = split(caption)
            for image in judged[caption]:
                others = [split(texts[name]) for name in own[image] if name not in by_text[caption]]
                scores[row_of[image], column] = max(len(said & other) / len(said | other) for other in others)
        return scores

    found = flickr8k.expert.measure(overlap, data, place)
    assert found["tau-c"] == pytest.approx(36.778, abs=0.01)

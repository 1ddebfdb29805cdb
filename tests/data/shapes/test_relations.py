"""What the captions of `shapes` say, read from the text alone, is true of the scenes; mirrored pairs differ by it."""

from __future__ import annotations

import re
from dataclasses import astuple

import numpy as np
import pytest

from vsezoo.data.shapes import features
from vsezoo.data.shapes.dataset import ShapesDataset
from vsezoo.data.shapes.scenes import Relation, Scene, SceneObject
from vsezoo.data.shapes.source import shapes

SIZE = {"small": "small", "little": "small", "tiny": "small", "big": "big", "large": "big"}
SHAPE = {"disc": "circle", "plus sign": "cross"} | {
    name: name for name in ("circle", "square", "triangle", "star", "cross")
}
OBJECT = re.compile(
    rf"(?P<article>a|an|the) (?:(?P<size>{'|'.join(SIZE)}) )?(?P<colour>[a-z]+) (?P<shape>{'|'.join(SHAPE)})\b"
)
DIRECTION = re.compile(r"\b(left|right|above|over|below|beneath|under)\b")
PLAIN_DIRECTION = {"over": "above", "beneath": "below", "under": "below"}


@pytest.fixture(params=shapes.splits)
def split(request: pytest.FixtureRequest) -> ShapesDataset:
    return shapes.open(request.param, ["vector"])


def find_object(scene: Scene, match: re.Match[str]) -> SceneObject:
    """Return the object that a noun phrase names; fails unless there is exactly one."""
    (found,) = [
        thing
        for thing in scene.objects
        if (thing.colour, thing.shape) == (match["colour"], SHAPE[match["shape"]])
        and match["size"] in (None, *[word for word, size in SIZE.items() if size == thing.size])
    ]
    return found


def read_relation(caption: str, scene: Scene) -> tuple[SceneObject, str, SceneObject] | None:
    """Return subject, direction and object of what a caption states."""
    text = caption.lower()
    nouns = list(OBJECT.finditer(text))
    word = DIRECTION.search(OBJECT.sub(lambda match: "_" * len(match[0]), text))
    if word is None:
        return None
    after = next(noun for noun in nouns if noun.start() > word.end())
    before = [noun for noun in nouns if noun.end() < word.start()]
    subject = before[-1] if before else next(noun for noun in nouns if noun.start() > after.end())
    direction = PLAIN_DIRECTION.get(word[1], word[1])
    return find_object(scene, subject), direction, find_object(scene, after)


def is_true(subject: SceneObject, direction: str, other: SceneObject) -> bool:
    """Compare bounding boxes: no pixel of the one reaches the side of the other."""
    reach = {"small": 4, "big": 7}[subject.size] + {"small": 4, "big": 7}[other.size]
    if direction in ("left", "right"):
        apart = other.x - subject.x if direction == "left" else subject.x - other.x
    else:
        apart = other.y - subject.y if direction == "above" else subject.y - other.y
    return apart > reach


def test_every_statement_is_true(split: ShapesDataset) -> None:
    relations = 0
    for caption, image in zip(split.captions, split.image_of, strict=True):
        scene = split.scenes[image]
        named = [find_object(scene, noun) for noun in OBJECT.finditer(caption.lower())]
        assert 2 <= len(named) == len(set(named)) <= len(scene.objects), caption
        if (count := re.search(r"\b(two|three) shapes", caption.lower())) is not None:
            assert {"two": 2, "three": 3}[count[1]] == len(scene.objects) == len(named)
        if (relation := read_relation(caption, scene)) is not None:
            relations += 1
            assert is_true(*relation), (caption, scene)
            subject, direction, other = relation
            across = subject.y - other.y if direction in ("left", "right") else subject.x - other.x
            assert abs(across) <= 4, (caption, scene)  # level, so that "directly above" is right
    assert relations == 3 * len(split.scenes)


def test_captions_are_sentences(split: ShapesDataset) -> None:
    for caption in split.captions:
        assert re.fullmatch(r"[A-Z][a-z]*,?( [a-z]+[,:]?)+\.", caption), caption
        assert len(list(OBJECT.finditer(caption.lower()))) == len(
            re.findall(r"\b(a|an|the) (?!picture|image|left|right|white)", caption.lower())
        )
        for article, word in re.findall(r"\b(an?) (\w)", caption.lower()):
            assert (article == "an") == (word in "aeiou"), caption
    lengths = [len(caption.split()) for caption in split.captions]
    assert min(lengths) >= 7
    assert max(lengths) <= 23
    assert 9 <= np.mean(lengths) <= 14


def test_mirrored_pairs_are_the_same_objects_with_two_places_exchanged(split: ShapesDataset) -> None:
    paired = np.flatnonzero(split.mirrored >= 0)
    assert len(paired) == len(split.scenes) / 2
    assert (split.mirrored[split.mirrored[paired]] == paired).all()
    for index in paired:
        one, other = split.scenes[index].objects, split.scenes[split.mirrored[index]].objects
        assert [astuple(thing)[:3] for thing in one] == [astuple(thing)[:3] for thing in other]
        assert [(thing.x, thing.y) for thing in other] == [(one[n].x, one[n].y) for n in (1, 0, 2)[: len(one)]]


def test_relational_captions_are_true_here_and_false_of_the_twin(split: ShapesDataset) -> None:
    for caption, image, relational in zip(split.captions, split.image_of, split.relational, strict=True):
        twin = split.mirrored[image]
        relation = None if twin < 0 else read_relation(caption, split.scenes[twin])
        assert relational == (relation is not None and not is_true(*relation)), caption
    counts = split.relational.reshape(-1, 5).sum(axis=1)
    assert counts[split.mirrored >= 0].min() >= 2
    assert counts[split.mirrored < 0].max() == 0


def test_relation_by_hand() -> None:
    left, right = SceneObject("red", "star", "big", 12, 32), SceneObject("blue", "disc", "big", 28, 20)
    scene = Scene("by-hand", (left, right))
    assert Relation(0, "left", 1).holds(scene)
    assert Relation(1, "right", 0).holds(scene)
    assert not Relation(1, "left", 0).holds(scene)
    assert not Relation(0, "below", 1).holds(scene)  # 12 pixels lower: not clearly


@pytest.mark.slow
def test_pooled_vectors_of_a_pair_are_equal_up_to_noise_and_regions_are_not() -> None:
    vectors, regions = (shapes.open("test", [kind]).images(range(500)) for kind in ("vector", "regions"))
    twins = shapes.open("test", ["vector"]).mirrored
    paired = np.flatnonzero(twins >= 0)
    similarities = vectors @ vectors.T
    # Nothing but noise tells a vector from its twin's, and it tells every other scene apart.
    assert similarities[paired, twins[paired]].min() > 0.98
    np.fill_diagonal(similarities, 0)
    similarities[paired, twins[paired]] = 0
    assert similarities.max() < 0.98
    # Matching the regions of a pair by what they show, their places differ by far more than noise.
    width = features.APPEARANCE_WIDTH
    for index in paired:
        one, other = regions[index], regions[twins[index]]
        same = (one[:, None, :width] - other[None, :, :width]).__pow__(2).sum(axis=2).argmin(axis=1)
        moved = np.linalg.norm(one[:, width:] - other[same][:, width:], axis=1)
        assert sorted(moved > 2 * features.NOISE * features.LOCATION_WIDTH**0.5) == [False, True, True]

"""A split seen through another object."""

from __future__ import annotations

import pickle

import pytest
import tiny

from vsezoo.data.view import PairView
from vsezoo.encoders.feature_pairs import FeaturePairs
from vsezoo.interfaces import PairDataset


class DevPairs(tiny.TinyPairs):
    """Pairs that have all that a split may have."""

    split = "dev"

    def __init__(self) -> None:
        super().__init__()
        self.skipped = {"a.jpg": "is absent"}
        self.extraction = {"backbone.sha256": "abc"}
        self.places = ["first", "second"]

    @property
    def all_captions(self) -> list[str]:
        return [*self.captions, "one more"]


@pytest.mark.parametrize("name", [*PairDataset.__annotations__, "all_captions"])
def test_a_view_passes_on_every_attribute(name: str) -> None:
    data = DevPairs()
    assert getattr(PairView(data), name) is getattr(data, name) or name == "all_captions"
    assert PairView(data).all_captions == [*data.captions, "one more"]


def test_a_view_passes_on_the_images() -> None:
    data = DevPairs()
    assert (PairView(data).images([3, 1]) == data.images([3, 1])).all()


def test_a_view_is_sent_to_processes_that_are_not_forked() -> None:
    data = tiny.TinyPairs()
    again = pickle.loads(pickle.dumps(PairView(data)))
    assert (again.captions, again.skipped) == (data.captions, data.skipped)


def test_features_of_pictures_are_no_picture_files() -> None:
    view = FeaturePairs(DevPairs(), (4, 7))
    assert (view.kind, view.image_shape, list(view.places)) == ("regions", (4, 7), [])
    assert view.skipped == {"a.jpg": "is absent"}

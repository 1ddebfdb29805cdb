"""Explanations: attention worked out by hand, what is refused, and what parts say of themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pictures
import pytest
import tiny
import torch
from PIL import Image

import vsezoo
from vsezoo import testing
from vsezoo.batch import Embeddings
from vsezoo.construction import create_model
from vsezoo.errors import RecipeError, UsageError
from vsezoo.explanation.regions import Regions
from vsezoo.model import JointEmbedding
from vsezoo_scan.similarity import CrossAttentionSimilarity

REGIONS = tiny.TinyPairs(shape=(3, tiny.WIDTH))


def make_scan(**settings: Any) -> JointEmbedding:
    return tiny.make_model("scan-t2i", data=REGIONS, **settings).eval()


def test_attention_by_hand() -> None:
    """Two words and two regions on the axes: cosines 1 and 0, without a norm of them, times 2."""
    images = Embeddings(torch.zeros(1, 2), torch.eye(2)[None])
    texts = Embeddings(torch.zeros(1, 2), torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]]), torch.tensor([2]))
    similarity = CrossAttentionSimilarity(norm="no_norm", softmax_scale=2.0)
    high, low = math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)
    expected = torch.tensor([[high, low], [low, high], [0, 0]])
    torch.testing.assert_close(similarity.attention(images, texts)[0, 0], expected)
    assert similarity.attends == "words"


def test_attention_of_regions_adds_up_over_the_words() -> None:
    similarity = CrossAttentionSimilarity(direction="i2t")
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 2, 4, 5, generator=generator)
    images = Embeddings(drawn[0, :, 0], drawn[0], torch.tensor([3, 4]))
    texts = Embeddings(drawn[1, :, 0], drawn[1], torch.tensor([2, 4]))
    found = similarity.attention(images, texts)
    assert similarity.attends == "regions"
    torch.testing.assert_close(found.sum(dim=2), images.mask[:, None].float().expand(2, 2, 4))
    assert not found[:, 0, 2:].any()
    # The longer set of a batch changes nothing.
    alone = similarity.attention(images[:1], Embeddings(texts.embeddings[:1], texts.regions[:1, :2]))
    torch.testing.assert_close(alone[0, 0], found[0, 0, :2])


def test_an_explanation_by_attention() -> None:
    model = make_scan()
    image = REGIONS.features[0]
    found = vsezoo.explain(model, image, "the dog has a zebra")
    assert (found.method, found.attends) == ("attention", "words")
    assert found.words == ("<start>", "the", "dog", "has", "a", "zebra (unknown)", "<end>")
    sides = model.embed_images(image[None]), model.embed_texts([found.caption])
    assert found.score == pytest.approx(float(model.similarity.compare(*sides)))
    np.testing.assert_allclose(found.region_weights, model.similarity.attention(*sides)[0, 0])  # type: ignore[operator]
    np.testing.assert_allclose(found.region_weights.sum(axis=1), 1, atol=1e-6)
    assert found.regions == Regions(3)
    value = found.to_json()
    assert [word["region"] for word in value["words"]] == found.region_weights.argmax(axis=1).tolist()
    assert value["regions"] == {"count": 3, "grid": None, "boxes": None}


def test_the_gradient_of_a_model_with_attention() -> None:
    found = vsezoo.explain(make_scan(), REGIONS.features[0], "a dog", method="gradient")
    assert (found.method, found.attends) == ("gradient", "")
    assert found.region_weights.shape == (1, 3)
    assert len(found.words) == len(found.word_weights) == 4
    assert len(found.to_json()["regions"]["weights"]) == 3


def test_the_mode_of_the_model_is_as_before() -> None:
    model = make_scan().train()
    vsezoo.explain(model, REGIONS.features[0], "a dog")
    assert model.training


def test_regions_of_another_number_are_not_used() -> None:
    boxes = Regions(2, boxes=np.zeros((2, 4)))
    assert vsezoo.explain(make_scan(), REGIONS.features[0], "a dog", regions=boxes).regions == Regions(3)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["scan-regions", "precomp"])
def test_pictures_have_cells_on_the_part_that_was_seen(head: str) -> None:
    model = "scan-t2i" if head == "scan-regions" else "vsepp"
    settings = {"image_encoder.weights": "none", "image_encoder.image_size": 64, "image_encoder.crop_pct": 0.5}
    torch.manual_seed(0)
    built = create_model(
        model, pictures.PicturePairs(), settings={"image_encoder": pictures.BACKBONE, **settings, **pictures.SIZES}
    ).eval()
    picture = Image.new("RGB", (80, 40), "red")
    found = vsezoo.explain(built, picture, "a red thing")
    assert found.method == ("attention" if head == "scan-regions" else "gradient")
    rows, columns = found.regions.grid or (0, 0)
    assert rows * columns == found.region_weights.shape[1] > 1
    # The short side is scaled to 128 and the middle 64 of both sides are kept: 64 of 256, and 64 of 128.
    assert found.regions.view == pytest.approx((0.375, 0.25, 0.625, 0.75))
    assert found.regions.aspect == 2
    assert found.regions.picture is not None


@pytest.mark.slow
def test_several_crops_have_no_place() -> None:
    settings = {"image_encoder.weights": "none", "image_encoder.image_size": 64, "image_encoder.crops": 10}
    model = create_model(
        "vsepp", pictures.PicturePairs(), settings={"image_encoder": pictures.BACKBONE, **settings, **pictures.SIZES}
    ).eval()
    found = vsezoo.explain(model, pictures.draw(0), "a red thing")
    assert not found.regions.has_places
    assert found.region_weights.shape[1] > 1


class Wrong(CrossAttentionSimilarity):
    def attention(self, images: Embeddings, texts: Embeddings) -> torch.Tensor:
        return super().attention(images, texts)[0]


def test_what_is_refused() -> None:
    model = make_scan()
    for caption in ("", "  ", "zebra xylophone"):
        with pytest.raises(UsageError, match=f"knows no word of the caption '{caption}'"):
            vsezoo.explain(model, REGIONS.features[0], caption)
    plain = tiny.make_model()
    with pytest.raises(UsageError, match=r"'cosine' has no attention: it compares one vector .*\n.*--method gradient"):
        vsezoo.explain(plain, tiny.TinyPairs().features[0], "a dog", method="attention")
    model.similarity = Wrong()
    with pytest.raises(RecipeError, match=r"attention of Wrong has the shape \(1, 4, 3\); expected .* \(1, 1, 4, 3\)"):
        vsezoo.explain(model, REGIONS.features[0], "a dog")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cross-attention", {"direction": "t2i"}),
        ("cross-attention", {"direction": "i2t"}),
        ("sgr", {}),
        ("saf", {}),
        ("hard-alignment", {"coding": "VHA"}),
        ("hard-alignment", {"coding": "THA"}),
        ("hard-alignment", {"coding": "VSA"}),
    ],
)
def test_the_kit_checks_attention(name: str, options: dict[str, Any]) -> None:
    checks = testing.list_checks("similarities", name, options=options)
    (check,) = [check for check in checks if check.name == "attention"]
    check()

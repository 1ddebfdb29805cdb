"""Gradient x input: the derivatives of a score along each word and each region, by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pictures
import pytest
import tiny
import torch
from torch import Tensor, nn

from vsezoo.construction import create_model
from vsezoo.errors import RecipeError
from vsezoo.explanation.gradients import Contributions, find_grid, weigh_inputs
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding

CAPTION = "the dog has a ball"
REGIONS = tiny.TinyPairs(shape=(3, tiny.WIDTH))
STEP = 1e-6


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float64, also what encoders convert to float32: differences of float32 are too coarse."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def weigh(model: JointEmbedding, images: Tensor, caption: str = CAPTION, **options: Any) -> Contributions:
    return weigh_inputs(model, images, read(model, caption), **{"picture": False, **options})


def read(model: JointEmbedding, caption: str = CAPTION) -> Tokens:
    return Tokens.pad(model.tokenizer.encode([caption]))


def derive(score: Callable[[float], float]) -> float:
    return (score(STEP) - score(-STEP)) / (2 * STEP)


def score_with(model: JointEmbedding, images: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> float:
    """Return the score of an image, with the output of the word embedding changed."""
    lookup = model.text_encoder.embed
    assert isinstance(lookup, nn.Module)
    handle = lookup.register_forward_hook(lambda module, inputs, output: change(output) if change else output)
    score = model.similarity.compare(*model(images, read(model)))  # with gradients: without, words are looked up once
    handle.remove()
    return float(score.detach())


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["vsepp", "scan-t2i", "order0", "vsrn", "vse-infty-bigru"])
@pytest.mark.slow
def test_weights_are_derivatives(name: str) -> None:
    data = tiny.TinyPairs() if name in ("vsepp", "order0") else REGIONS
    options = {"image_encoder.num_blocks": 1} if name == "vsrn" else {}
    model = tiny.make_model(name, data=data, **options).eval().double()
    images = torch.from_numpy(data.features[:1]).double()
    found = weigh(model, images)
    length = len(read(model).ids[0])
    assert found.words.shape == (length,)
    for word in range(length):

        def grow(step: float, word: int = word) -> float:
            factor = torch.ones(length, 1, dtype=torch.float64)
            factor[word] += step
            return score_with(model, images, lambda vectors: vectors * factor)

        assert found.words[word] == pytest.approx(derive(grow), abs=1e-7)
    if data is not REGIONS:
        assert found.regions is None
        return
    assert found.regions is not None
    mean = images.mean(dim=1)
    for region in range(3):

        def move(step: float, region: int = region) -> float:
            changed = images.clone()
            changed[:, region] += step * (images[:, region] - mean)
            return score_with(model, changed)

        assert found.regions[region] == pytest.approx(derive(move), abs=1e-7)
    assert np.abs(found.regions).max() > 1e-4


@pytest.mark.usefixtures("double")
def test_a_bag_of_words_weighs_each_word() -> None:
    """An embedding bag returns a sum: the weight of a word is its part of the sum times the gradient of that."""
    model = tiny.make_model("kiros-bow", text_encoder__word_dim=0).eval().double()
    images = torch.from_numpy(tiny.TinyPairs().features[:1]).double()
    found, tokens = weigh(model, images), read(model)
    vectors: Tensor = model.text_encoder.embed.weight.detach()[tokens.ids[0]]  # type: ignore[union-attr,index]
    for word, vector in enumerate(vectors):
        expected = derive(lambda step, vector=vector: score_with(model, images, lambda total: total + step * vector))  # type: ignore[misc]
        assert found.words[word] == pytest.approx(expected, abs=1e-7)
    assert np.ptp(found.words) > 1e-4


def make_picture_model(**settings: Any) -> JointEmbedding:
    torch.manual_seed(0)
    settings = {"image_encoder.weights": "none", "image_encoder.image_size": 64, **pictures.SIZES, **settings}
    return create_model(
        "vsepp", pictures.PicturePairs(), settings={"image_encoder": pictures.BACKBONE, **settings}
    ).eval()


@pytest.mark.slow
def test_a_picture_is_weighed_by_the_cells_of_its_last_feature_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a frozen backbone, which passes no gradient in training."""
    model = make_picture_model().double()
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    images = model.image_encoder.transform(False)([pictures.draw(0)]).double()
    found = weigh(model, images, "a red thing", picture=True)
    assert found.regions is not None
    assert found.grid is not None
    rows, columns = found.grid
    assert rows == columns > 1
    assert found.regions.shape == (rows * columns,)
    assert find_grid(model, images, rows * columns) == (rows, columns)
    assert find_grid(model, images, 7) is None
    assert not any(parameter.grad is not None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())

    # A change of the last feature map: the last four-dimensional output of the backbone that is not pooled.
    last: list[nn.Module] = []
    watch = [
        module.register_forward_hook(
            lambda module, inputs, output: last.append(module) if output.dim() == 4 and output.shape[2] > 1 else None
        )
        for module in model.image_encoder.modules()
    ]
    score_with(model, images)
    for handle in watch:
        handle.remove()
    tokens = read(model, "a red thing")
    for cell in (0, rows * columns - 1):

        def move(step: float, cell: int = cell) -> float:
            def change(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
                changed = output.clone().flatten(2)
                changed[:, :, cell] += step * (output.flatten(2)[:, :, cell] - output.mean(dim=(2, 3)))
                return changed.view(output.shape)

            handle = last[-1].register_forward_hook(change)
            with torch.no_grad():
                score = float(model.similarity.compare(*model(images, tokens)))
            handle.remove()
            return score

        assert found.regions[cell] == pytest.approx(derive(move), abs=1e-7)


def test_normalised_cells_have_weights() -> None:
    """Each cell of a grid is scaled to unit norm before the head, so that a smaller cell is the same cell."""
    model = make_picture_model(**{"image_encoder.head": "regions", "image_encoder.normalize_features": True})
    images = model.image_encoder.transform(False)([pictures.draw(1)])
    found = weigh(model, images, "a green thing", picture=True)
    assert found.regions is not None
    assert np.abs(found.regions).max() > 1e-6


class FlatEncoder(nn.Module):
    """An image encoder without a feature map."""

    uncertain = False

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 48 * 32, 5)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.fc(images.flatten(1))
        return output


def test_without_a_feature_map_patches_of_pixels_are_weighed() -> None:
    model = tiny.make_model().eval()
    model.image_encoder = FlatEncoder()  # type: ignore[assignment]
    images = torch.randn(1, 3, 48, 32, generator=torch.Generator().manual_seed(0))
    found = weigh(model, images, picture=True)
    assert found.grid == (3, 2)
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(model.similarity.compare(*model(images, read(model))).sum(), images)
    product = (gradient * (images - images.mean(dim=(2, 3), keepdim=True))).detach().sum(dim=1)[0]
    patches = product.view(3, 16, 2, 16).sum(dim=(1, 3)).flatten()
    np.testing.assert_allclose(found.regions, patches, atol=1e-6)


def test_words_without_an_embedding() -> None:
    model = tiny.make_model().eval()
    weights = model.text_encoder.embed.weight  # type: ignore[union-attr]
    model.text_encoder.forward = lambda tokens: weights[tokens.ids].sum(dim=1) @ torch.ones(4, 5)  # type: ignore
    with pytest.raises(RecipeError, match="'gru' passes no gradient to word embeddings"):
        weigh(model, torch.from_numpy(tiny.TinyPairs().features[:1]))


def test_it_works_inside_inference_mode() -> None:
    model = tiny.make_model().eval()
    images = torch.from_numpy(tiny.TinyPairs().features[:1])
    with torch.inference_mode():
        found = weigh(model, images)
    np.testing.assert_array_equal(found.words, weigh(model, images).words)


def test_an_encoder_may_change_its_word_embeddings_in_place() -> None:
    model = tiny.make_model().eval()
    encoder: Any = model.text_encoder
    encoder.forward = lambda tokens: encoder.embed(tokens.ids).add_(1).sum(dim=1) @ torch.eye(4, 5)
    found = weigh(model, torch.from_numpy(tiny.TinyPairs().features[:1]))
    assert np.abs(found.words).max() > 0

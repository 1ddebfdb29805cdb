"""The joint embedding: what it takes, what it gives, and how it is built from a recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import WIDTH, TinyPairs, make_batch, make_model
from torch.nn import functional

import vsezoo.model
from vsezoo import create_model, registry
from vsezoo.construction import COUNT_WORDS, build_loss, build_model, count_parameters
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import DataError, RecipeError, UnknownNameError, UsageError
from vsezoo.interfaces import Tokens
from vsezoo.losses import HingeLoss
from vsezoo.parts import list_options, resolve_recipe

TEXTS = ["two red balls", "", "a dog runs", "a dog runs over the snow to the ball", "two red balls"]


def list_defaults(part: type) -> dict[str, Any]:
    return {name: option.default for name, option in list_options(part).items()}


def test_images_as_array_tensor_or_list_are_the_same() -> None:
    model, features = make_model(), TinyPairs().features
    embeddings = model.encode_images(features)
    assert embeddings.shape == (6, 5)
    assert embeddings.dtype == torch.float32
    for form in (torch.from_numpy(features), features.tolist(), list(features), features.astype(np.float64)):
        assert torch.equal(model.encode_images(form), embeddings)
    trained = torch.from_numpy(features).requires_grad_()
    assert torch.equal(model.encode_images(trained), embeddings)
    assert torch.equal(
        model.encode_images(torch.from_numpy(features).bfloat16()),
        model.encode_images(torch.from_numpy(features).bfloat16().float()),
    )


@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    model, features = make_model(), TinyPairs().features
    torch.testing.assert_close(model.encode_images(features, batch_size), model.encode_images(features))
    torch.testing.assert_close(model.encode_texts(TEXTS, batch_size), model.encode_texts(TEXTS))


def test_large_images_are_encoded_fewer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features, sizes = make_model(), TinyPairs().features, []
    whole = model.encode_images(features)
    model.image_encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for largest in (4 * WIDTH, WIDTH - 1):
        monkeypatch.setattr(vsezoo.model, "LARGEST_BATCH", largest)
        torch.testing.assert_close(model.encode_images(features), whole)
    assert sizes == [4, 2, 1, 1, 1, 1, 1, 1]


def test_texts_keep_their_order() -> None:
    model = make_model()
    embeddings = model.encode_texts(TEXTS, batch_size=2)
    assert embeddings.shape == (5, 5)
    for row, text in zip(embeddings, TEXTS, strict=True):
        torch.testing.assert_close(row, model.encode_texts([text])[0])
    assert (embeddings[0] - embeddings[2]).abs().max() > 1e-3


def test_unknown_words_are_encoded() -> None:
    first, second = make_model().encode_texts(["zebra", "xylophone"])
    assert torch.equal(first, second)


def test_nothing_gives_no_rows() -> None:
    model = make_model()
    assert model.encode_texts([]).shape == (0, 5)
    assert model.encode_images(np.empty((0, WIDTH), dtype=np.float32)).shape == (0, 5)


def test_the_similarity_scores_every_pair() -> None:
    model, features = make_model(), TinyPairs().features
    images, texts = model.encode_images(features), model.encode_texts(TEXTS)
    scores = model.similarity(images, texts)
    assert scores.shape == (6, 5)
    for i, j in ((0, 0), (5, 3)):
        assert scores[i, j].item() == pytest.approx(float(images[i] @ texts[j]), abs=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("index", [0, 3, 5])
def test_an_image_with_a_number_that_is_not_finite_is_named(value: float, index: int) -> None:
    features = TinyPairs().features.astype(np.float64)
    features[index, 2] = value
    with pytest.raises(DataError, match=f"image at index {index} contains NaN or infinite"):
        make_model().encode_images(features, batch_size=2)


def test_large_numbers_are_finite_although_their_sum_is_not() -> None:
    features = TinyPairs().features
    features[1, :2] = 3e38
    assert len(make_model().encode_images(features)) == 6


def test_a_single_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a list of pictures .*, not one Image\.\nPass \[picture\]"):
        make_model().encode_images(Image.new("RGB", (8, 8)))


def test_a_single_string_is_refused() -> None:
    with pytest.raises(UsageError, match="a list of strings, not one string") as caught:
        make_model().encode_texts("a dog")
    assert caught.value.remedy == "Pass [text]."


@pytest.mark.parametrize(("text", "kind"), [(b"a dog", "bytes"), (None, "NoneType"), (["a", "dog"], "list")])
def test_what_is_no_string_is_refused(text: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=f"text at index 1 is of type {kind}, not str"):
        make_model().encode_texts(["a", text])


def test_encoding_leaves_no_graph_and_no_random_draw() -> None:
    model = make_model()
    before = torch.get_rng_state()
    assert not model.encode_texts(["a"]).requires_grad
    assert not model.encode_images(TinyPairs().features).requires_grad
    assert torch.equal(torch.get_rng_state(), before)


# Building


def test_create_model_applies_settings() -> None:
    model = make_model("vse0", similarity="order", similarity__squared=True, loss__margin=0.5)
    assert model.recipe.similarity.name == "order"
    assert model.recipe.loss.options == {**list_defaults(HingeLoss), "margin": 0.5}
    assert (model.similarity(torch.zeros(1, 5), torch.full((1, 5), 2.0)) == -20).all()
    assert not model.training
    images = model.encode_images(TinyPairs().features)
    assert (images.norm(dim=1) - 1).abs().min() > 1e-3  # vse0 leaves images un-normalised


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        ("vsrn", (WIDTH,), r"^The images of tiny are of the kind 'vector'; the image encoder 'vsrn' takes 'regions'"),
        ("vsepp", (3, WIDTH), r"^The images of tiny are of the kind 'regions'; .* 'precomp' takes 'vector'"),
    ],
)
def test_data_of_a_kind_that_the_model_does_not_take(model: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        create_model(model, TinyPairs(shape=shape))


def test_create_model_without_data() -> None:
    model = create_model(
        "vsepp",
        captions=["a dog", "a dog"],
        settings={"embed_size": 7, "image_encoder.img_dim": 3, "text_encoder.vocab_threshold": 2},
    )
    assert len(model.tokenizer) == 6
    assert model.encode_images(np.ones((1, 3))).shape == (1, 7)
    assert model.encode_texts(["a dog"]).shape == (1, 7)


def test_initial_weights_are_those_of_the_random_state() -> None:
    first, second = make_model().state_dict(), make_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(4)
    third = create_model("vsepp", TinyPairs(), settings={"embed_size": 5})
    assert not torch.equal(third.state_dict()["image_encoder.fc.weight"], first["image_encoder.fc.weight"])


def test_an_unknown_model_is_met_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vsepp'"):
        create_model("vsepq")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss__marge": 0.1}, r"loss 'hinge' has no option 'marge'.\nDid you mean 'margin'\?"),
        ({"loss__margin": "0.1"}, r"loss.margin is '0.1'; it must be of type float, such as 0.2"),
        ({"loss__max_violation": 1}, "loss.max_violation is 1; it must be of type bool"),
        ({"text_encoder__word_dim": 3.0}, "text_encoder.word_dim is 3.0; it must be of type int"),
        ({"text_encoder__num_layers": 0}, r"text_encoder 'gru' cannot be built: .*\n.*num_layers=0"),
        ({"text_encoder__word_dim": -2}, r"text_encoder 'gru' cannot be built: .*\n.*word_dim=-2"),
        ({"embed_size": 10**12}, r"image_encoder 'precomp' cannot be built: .*\n.*embed_size=1000000000000"),
        ({"embed_size": 10**30}, r"image_encoder 'precomp' cannot be built: .*\n.*embed_size=1000"),
    ],
)
def test_impossible_settings_are_one_clear_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_model(**settings)


def test_a_whole_number_is_taken_for_a_float() -> None:
    loss, scores = build_loss((model := make_model(loss__margin=1)).recipe, model.tokenizer), torch.zeros(2, 2)
    assert loss(scores, scores, scores, make_batch([0, 1])).total.item() == 4


def test_a_resolved_recipe_holds_every_option() -> None:
    recipe = resolve_recipe(registry.load("models", "vsepp"), TinyPairs())
    # Widths as the data have them; how each option of vsepp stands is in tests/plugins/vsepp/test_recipes_vsepp.py.
    assert recipe.image_encoder.options == {**list_defaults(PrecomputedImageEncoder), "img_dim": WIDTH}
    assert recipe.text_encoder.options == list_defaults(GRUTextEncoder)
    assert resolve_recipe(recipe) == recipe
    tokenizer = make_model().tokenizer
    assert build_model(recipe, tokenizer).recipe == recipe


@pytest.mark.parametrize("model", ["vse0", "vsepp", "order0", "orderpp"])
def test_parameters_are_counted_without_being_made(model: str) -> None:
    features, words, width = 4096, 300, 1024
    image = features * width + width
    text = COUNT_WORDS * words + 3 * width * (words + width) + 6 * width
    recipe = registry.load("models", model)
    assert count_parameters(recipe) == {"image_encoder": image, "text_encoder": text, "total": image + text}


def test_parameters_follow_the_settings() -> None:
    recipe = registry.load("models", "vsepp").replace(
        {"embed_size": 10, "text_encoder.word_dim": 3, "text_encoder.num_layers": 2, "image_encoder.img_dim": 7}
    )
    gru = 3 * 10 * (3 + 10) + 60 + 3 * 10 * (10 + 10) + 60
    expected = {"image_encoder": 80, "text_encoder": 30_000 + gru, "total": 80 + 30_000 + gru}
    assert count_parameters(recipe) == expected


def test_forward_is_what_encoding_uses() -> None:
    model, data = make_model(), TinyPairs()
    ids = model.tokenizer.encode(data.captions[:6])
    images, texts = model(torch.from_numpy(data.features), Tokens.pad(ids))
    torch.testing.assert_close(images.detach(), model.encode_images(data.features))
    torch.testing.assert_close(texts.detach(), model.encode_texts(data.captions[:6]))
    torch.testing.assert_close(functional.normalize(texts), texts)

"""The general encoders: precomputed features through a linear layer, captions through a GRU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import WIDTH, TinyPairs, make_model, save_model
from torch import Tensor

from vsezoo import load, registry
from vsezoo.encoders import precomputed
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import DataError, RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.text import SPECIAL_WORDS, Vocabulary, WordTokenizer


def make_tokenizer(words: int = 20) -> WordTokenizer:
    return WordTokenizer(1, Vocabulary([*SPECIAL_WORDS, *(f"w{index}" for index in range(words - 4))]))


def make_gru(**options: Any) -> GRUTextEncoder:
    torch.manual_seed(0)
    return GRUTextEncoder(**{"embed_size": 6, "tokenizer": make_tokenizer(), "word_dim": 3, **options}).eval()


def draw_captions(lengths: list[int]) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    return [generator.integers(1, 20, size=length).astype(np.int32) for length in lengths]


# Images


def test_an_image_is_a_linear_map_of_its_feature() -> None:
    encoder = PrecomputedImageEncoder(embed_size=2, img_dim=3, normalize=False)
    with torch.no_grad():
        encoder.fc.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]]))
        encoder.fc.bias.copy_(torch.tensor([0.5, 0.0]))
    features = torch.tensor([[1.0, 4.0, 0.75]])
    assert encoder(features).tolist() == [[3.0, -4.0]]
    encoder.normalize = True
    torch.testing.assert_close(encoder(features), torch.tensor([[0.6, -0.8]]))
    encoder.use_abs = True
    torch.testing.assert_close(encoder(features), torch.tensor([[0.6, 0.8]]))


def test_images_may_be_left_as_they_are_in_training_alone() -> None:
    features = torch.tensor([[3.0, -4.0]])
    encoder = PrecomputedImageEncoder(embed_size=2, img_dim=2, normalize_in_training=False)
    with torch.no_grad():
        encoder.fc.weight.copy_(torch.eye(2))
    assert encoder.train()(features).tolist() == [[3.0, -4.0]]
    torch.testing.assert_close(encoder.eval()(features), torch.tensor([[0.6, -0.8]]))
    encoder.normalize = False
    assert encoder(features).tolist() == [[3.0, -4.0]]


def test_linear_is_another_name() -> None:
    assert registry.load("image_encoders", "linear") is PrecomputedImageEncoder


def test_a_feature_of_zeros_gives_no_nan() -> None:
    assert PrecomputedImageEncoder(embed_size=4, img_dim=3)(torch.zeros(1, 3)).tolist() == [[0.0] * 4]


def test_initial_weights_of_the_image_encoder() -> None:
    torch.manual_seed(0)
    encoder = PrecomputedImageEncoder(embed_size=200, img_dim=300)
    bound = math.sqrt(6 / 500)
    assert encoder.fc.bias.abs().max() == 0
    assert 0.99 * bound < encoder.fc.weight.abs().max() <= bound
    assert encoder.fc.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_initial_weights_of_the_image_encoder_from_a_normal_distribution() -> None:
    torch.manual_seed(0)
    encoder = PrecomputedImageEncoder(embed_size=200, img_dim=300, init="xavier_normal")
    assert encoder.fc.bias.abs().max() == 0
    assert encoder.fc.weight.std().item() == pytest.approx(math.sqrt(6 / 500), rel=0.02)
    assert encoder.fc.weight.abs().max() > 3 * math.sqrt(6 / 500)


@pytest.mark.parametrize("shape", [(WIDTH,), (3, WIDTH)])
def test_center_takes_the_mean_of_all_training_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(precomputed, "FIT_BLOCK", 4)  # 4 + 4 + 3 images
    data = TinyPairs(11, shape)
    model = make_model(data=data, image_encoder__center=True, image_encoder__pool="mean" if len(shape) > 1 else "none")
    mean = data.features.reshape(-1, WIDTH).mean(axis=0)
    assert isinstance(model.image_encoder, PrecomputedImageEncoder)
    np.testing.assert_allclose(model.image_encoder.mean.numpy(), mean, rtol=1e-6)
    save_model(tmp_path / "m", model, data)
    stored = load(tmp_path / "m").image_encoder
    assert isinstance(stored, PrecomputedImageEncoder)
    assert torch.equal(stored.mean, model.image_encoder.mean)

    centred = data.features.mean(axis=1) if len(shape) > 1 else data.features
    plain = torch.nn.functional.linear(torch.from_numpy(centred - mean), model.image_encoder.fc.weight)
    torch.testing.assert_close(
        model.encode_images(data.features), torch.nn.functional.normalize(plain), rtol=1e-4, atol=1e-5
    )


def test_without_center_there_is_no_mean() -> None:
    assert set(make_model().image_encoder.state_dict()) == {"fc.weight", "fc.bias"}


def test_regions_are_pooled_by_their_mean() -> None:
    encoder = PrecomputedImageEncoder(embed_size=4, img_dim=3, pool="mean").eval()
    regions = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder(regions), encoder(regions.mean(dim=1)))
    assert encoder.accepted_kinds({"pool": "mean"}) == ("regions", "vector")
    assert encoder.accepted_kinds({"pool": "none"}) == encoder.accepted_kinds({}) == ("vector",)


def test_half_precision_features_are_encoded_in_float32() -> None:
    model, data = make_model(), TinyPairs(dtype="float16")
    embeddings = model.encode_images(data.features)
    assert embeddings.dtype == torch.float32
    assert torch.equal(embeddings, model.encode_images(data.features.astype("float32")))


def test_the_transform_gives_a_copy() -> None:
    """Features may lie in a read-only mapping of a file, which torch must not be let to write into."""
    features = np.zeros((2, WIDTH), dtype=np.float32)
    tensor = make_model().image_encoder.transform(training=True)(features)
    tensor += 1
    assert features.max() == 0


@pytest.mark.parametrize("shape", [(2, 9), (2, 3, WIDTH), (WIDTH,), (2, 3, 3, WIDTH)])
def test_images_of_another_shape_are_a_clear_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"shape .*takes features of \(images, 12\)") as caught:
        make_model().encode_images(np.zeros(shape, dtype=np.float32))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("images", [["a.jpg", "b.jpg"], [[1.0, 2.0], [3.0]], np.array([object()])])
def test_images_that_are_no_array_are_a_clear_error(images: Any) -> None:
    with pytest.raises(DataError, match="not an array of features"):
        make_model().encode_images(images)


def test_the_width_comes_from_the_data() -> None:
    assert make_model(data=TinyPairs(shape=(11,))).recipe.image_encoder.options["img_dim"] == 11
    with pytest.raises(RecipeError, match=r"img_dim is 9, but the features of tiny are 12 wide") as caught:
        make_model(image_encoder__img_dim=9)
    assert "Remove img_dim" in str(caught.value)


@pytest.mark.parametrize("options", [{"img_dim": 0}, {"img_dim": -3}, {"pool": "max"}, {"init": "zeros"}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"^{next(iter(options))} is"):
        PrecomputedImageEncoder(embed_size=2, **options)


# Captions


def run_gru(encoder: GRUTextEncoder, ids: np.ndarray[Any, Any]) -> Tensor:
    """Return the unit state after the last word, by the equations of the GRU, word by word."""
    inputs = list(encoder.embed.weight[torch.from_numpy(ids).long()])
    for layer in range(encoder.rnn.num_layers):
        weights = [
            getattr(encoder.rnn, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        state = torch.zeros(encoder.rnn.hidden_size)
        states = []
        for word in inputs:
            x_r, x_z, x_n = (weights[0] @ word + weights[2]).chunk(3)
            h_r, h_z, h_n = (weights[1] @ state + weights[3]).chunk(3)
            update = torch.sigmoid(x_z + h_z)
            state = update * state + (1 - update) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
            states.append(state)
        inputs = states
    return inputs[-1] / inputs[-1].norm()


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_caption_is_the_state_after_its_last_word(num_layers: int) -> None:
    encoder, captions = make_gru(num_layers=num_layers), draw_captions([3, 7, 1, 5])
    expected = torch.stack([run_gru(encoder, caption) for caption in captions])
    torch.testing.assert_close(encoder(Tokens.pad(captions)), expected, rtol=1e-5, atol=1e-6)
    encoder.use_abs = True
    torch.testing.assert_close(encoder(Tokens.pad(captions)), expected.abs(), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_an_embedding_does_not_depend_on_its_batch() -> None:
    encoder, captions = make_gru(), draw_captions([2, 9, 4, 4, 30, 1])
    together = encoder(Tokens.pad(captions))
    alone = torch.cat([encoder(Tokens.pad([caption])) for caption in captions])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6))


@torch.no_grad()
def test_what_stands_in_the_padding_does_not_matter() -> None:
    encoder, tokens = make_gru(), Tokens.pad(draw_captions([2, 6]))
    before = encoder(tokens)
    tokens.ids[0, 2:] = 7
    assert torch.equal(encoder(tokens), before)


def test_padding_stacks_captions() -> None:
    tokens = Tokens.pad([np.array([1, 5, 2], dtype=np.int32), np.array([1], dtype=np.int32)])
    assert tokens.ids.tolist() == [[1, 5, 2], [1, 0, 0]]
    assert tokens.lengths.tolist() == [3, 1]
    assert tokens.ids.dtype == tokens.lengths.dtype == torch.int64


def test_initial_weights_of_the_text_encoder() -> None:
    encoder = make_gru(embed_size=64, tokenizer=make_tokenizer(300), word_dim=50)
    assert 0.099 < encoder.embed.weight.abs().max() <= 0.1
    assert encoder.embed.weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    for weight in encoder.rnn.parameters():
        assert 0.9 / 8 < weight.abs().max() <= 1 / 8


def test_the_threshold_of_the_recipe_makes_the_vocabulary() -> None:
    tokenizer = GRUTextEncoder.make_tokenizer({"vocab_threshold": 3})
    tokenizer.fit(tokenizer.split(["a a a b b"]))
    assert tokenizer.vocabulary.words[4:] == ("a",)
    assert GRUTextEncoder.make_tokenizer({}).threshold == 4

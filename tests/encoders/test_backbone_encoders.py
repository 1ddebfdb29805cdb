"""The image encoders timm and torchvision: the formula on pictures, heads, the training of the backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import tiny
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from vsezoo import registry
from vsezoo.construction import create_model
from vsezoo.encoders.backbone import BackboneImageEncoder, TimmImageEncoder, TorchvisionImageEncoder
from vsezoo.errors import DataError, RecipeError, UnknownNameError
from vsezoo.interfaces import ImageOutput
from vsezoo.parts import change_recipe, list_options, resolve_recipe
from vsezoo.recipe import Part


def make_encoder(**options: Any) -> BackboneImageEncoder:
    torch.manual_seed(0)
    given = {"embed_size": 5, "model": "test_resnet", "weights": "none", "image_size": 64}
    return TimmImageEncoder(**{**given, **options})


def make_images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize(("normalize_features", "use_abs"), [(False, True), (True, False)])
def test_the_formula(normalize_features: bool, use_abs: bool) -> None:
    encoder = TorchvisionImageEncoder(
        embed_size=5, model="resnet18", weights="none", normalize_features=normalize_features, use_abs=use_abs
    ).eval()
    cnn = torchvision.models.resnet18(weights=None).eval()
    cnn.fc = nn.Identity()
    cnn.load_state_dict(encoder.backbone.network.state_dict())
    layer: Any = encoder.head.fc
    with torch.inference_mode():
        features = cnn(make_images())
        if normalize_features:
            features = features / features.norm(dim=1, keepdim=True)
        expected = functional.normalize(features @ layer.weight.T + layer.bias)
        torch.testing.assert_close(encoder(make_images()), expected.abs() if use_abs else expected)


@pytest.mark.parametrize("head", ["regions", "vsrn"])
def test_a_head_of_regions_gets_the_grid(head: str) -> None:
    encoder = make_encoder(head=head, embed_size=6).eval()
    with torch.inference_mode():
        output = encoder(make_images())
        alone = encoder.head(functional.normalize(encoder.backbone(make_images()), dim=-1))
    assert isinstance(output, ImageOutput)
    assert output.regions.shape == (2, 4, 6)
    torch.testing.assert_close(output.embeddings, alone.embeddings, rtol=0, atol=0)


def test_a_head_of_both_prefers_its_first_kind_unless_told() -> None:
    assert make_encoder(pool="mean").backbone.options.features == "grid"
    assert make_encoder(pool="mean", features="pooled").backbone.options.features == "pooled"


def test_options_of_the_head_are_options_of_the_whole() -> None:
    options = list_options(TimmImageEncoder, {"head": "vsrn"})
    assert options["num_blocks"].default == 4
    assert options["finetune"].default is False
    assert "img_dim" not in options
    assert "num_blocks" not in list_options(TimmImageEncoder)
    recipe = change_recipe(registry.load("models", "vsepp"), {"image_encoder": "timm:test_resnet"})
    assert resolve_recipe(recipe).image_encoder.options["init"] == "xavier_uniform"
    with pytest.raises(
        RecipeError, match=r"image_encoder.init is 'xavier'; it must be one of xavier_uniform, xavier_n"
    ):
        resolve_recipe(recipe.replace({"image_encoder.init": "xavier"}))
    with pytest.raises(RecipeError, match=r"image_encoder.crops is 3; it must be one of 1, 10"):
        resolve_recipe(recipe.replace({"image_encoder.crops": 3}))
    with pytest.raises(RecipeError, match="image_encoder 'timm' has no option 'num_blocks'"):
        resolve_recipe(recipe.replace({"image_encoder.num_blocks": 2}))
    with pytest.raises(RecipeError, match=r"image_encoder.center is 'yes'; it must be of type bool"):
        resolve_recipe(recipe.replace({"image_encoder.center": "yes"}))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cnn_mode": "eval"}, RecipeError, "^cnn_mode is 'eval'; it must be one of frozen, train, legacy"),
        ({"finetune_epoch": -1}, RecipeError, "^finetune_epoch is -1; it must be at least 0"),
        ({"learning_rate_scale": 0.0}, RecipeError, "^learning_rate_scale is 0.0; it must be above 0"),
        ({"model": ""}, RecipeError, "does not name a backbone.\nName one: --image-encoder timm:"),
        ({"features": "grid"}, RecipeError, "features is 'grid', but the head 'precomp' takes pooled"),
        ({"head": "regions", "features": "pooled"}, RecipeError, "is 'pooled', but the head 'regions' takes grid"),
        ({"head": "precom"}, UnknownNameError, "no image encoder 'precom'.\nDid you mean 'precomp'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_encoder(**options)


def test_a_head_that_takes_pictures() -> None:
    with pytest.raises(RecipeError, match=r"image_encoder\.head is .torchvision., which takes pictures"):
        list_options(TimmImageEncoder, {"head": "torchvision"})


def test_the_encoder_of_a_recipe_becomes_the_head() -> None:
    kiros = registry.load("models", "kiros-lstm").for_data("f8k_precomp")
    changed = change_recipe(kiros, {"image_encoder": "timm:test_resnet", "image_encoder.finetune": True}).image_encoder
    kept = {name: value for name, value in kiros.image_encoder.options.items() if name != "img_dim"}
    assert kept
    assert changed == Part("timm", {"head": "precomp", **kept, "model": "test_resnet", "finetune": True})
    again = change_recipe(
        registry.load("models", "vsepp")
        .replace({"image_encoder": "timm"})
        .replace({f"image_encoder.{name}": value for name, value in changed.options.items()}),
        {"image_encoder": "torchvision:resnet18"},
    ).image_encoder
    assert again == Part("torchvision", {"head": "precomp", **kept, "model": "resnet18", "finetune": True})
    vsrn = change_recipe(registry.load("models", "vsrn"), {"image_encoder": "timm:test_resnet"})
    assert vsrn.image_encoder.options["head"] == "vsrn"
    plain = change_recipe(vsrn, {"image_encoder": "precomp"})
    assert plain.image_encoder == Part("precomp")


@pytest.mark.slow
def test_vsrn_takes_from_pictures_what_it_takes_from_regions() -> None:
    settings = {**tiny.SETTINGS, "image_encoder": "timm:test_resnet", "image_encoder.weights": "none"}
    settings = {name.replace(".", "__"): value for name, value in settings.items()}
    settings["loss__hidden_size"] = settings["loss__word_dim"] = 8
    model = create_model(
        "vsrn", pictures.PicturePairs(), settings={**tiny.dotted(settings), "image_encoder.image_size": 192}
    )
    assert model.recipe.image_encoder.options["head"] == "vsrn"
    assert model.image_encoder.backbone.width == pictures.WIDTH
    with torch.inference_mode():
        images = model.image_encoder.transform(training=False)([pictures.draw(0), pictures.draw(1)])
        assert model.image_encoder(images).regions.shape == (2, 36, 16)
    with pytest.raises(DataError, match="1 region each"):
        create_model(
            "vsrn", pictures.PicturePairs(), settings={**tiny.dotted(settings), "image_encoder.image_size": 32}
        )


def test_features_are_no_pictures() -> None:
    with pytest.raises(DataError, match="of the kind 'vector'; the image encoder 'timm' takes 'picture'"):
        tiny.make_model(image_encoder="timm:test_resnet", image_encoder__weights="none")


@pytest.mark.parametrize("finetune", [False, True])
@pytest.mark.slow
def test_a_frozen_backbone_has_no_gradients(finetune: bool) -> None:
    encoder = make_encoder(finetune=finetune, cnn_mode="train").train()
    features = encoder.extract(make_images())
    assert features.requires_grad is finetune
    encoder.head(features)[:, 0].sum().backward()
    learned = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert {name for name, parameter in encoder.named_parameters() if parameter.requires_grad} == learned
    assert {"head.fc.weight", "head.fc.bias"} <= learned
    assert any(name.startswith("backbone.") for name in learned) == finetune


def test_the_backbone_is_trained_from_an_epoch_on() -> None:
    encoder = make_encoder(finetune=True, finetune_epoch=2).train()
    assert all(parameter.requires_grad for parameter in encoder.parameters())  # for an optimiser that is made now
    found = []
    for epoch in (0, 1, 2, 3):
        encoder.start_epoch(epoch)
        encoder.zero_grad(set_to_none=True)
        encoder(make_images())[:, 0].sum().backward()
        found.append([parameter.grad is not None for parameter in encoder.backbone.parameters()])
    assert [all(grads) for grads in found] == [any(grads) for grads in found] == [False, False, True, True]


@pytest.mark.parametrize(
    ("cnn_mode", "trains"),
    [("frozen", [False] * 4), ("train", [True] * 4), ("legacy", [True, False, False, True])],
)
def test_modes_of_the_backbone(cnn_mode: str, trains: list[bool]) -> None:
    """At the start of an epoch, after a validation inside it, after the one at its end, and in the next one."""
    encoder = make_encoder(cnn_mode=cnn_mode)
    counts = [buffer for name, buffer in encoder.backbone.named_buffers() if name.endswith("num_batches_tracked")]
    found = []
    for epoch, modes in ((0, [True]), (None, [False, True]), (None, [False, True]), (1, [True])):
        for mode in modes:
            encoder.train(mode)
        if epoch is not None:
            encoder.start_epoch(epoch)
        before = int(counts[0])
        encoder(make_images())
        found.append(int(counts[0]) > before)
        assert encoder.training
    assert found == trains


def test_learning_rates() -> None:
    model = create_model(
        "vsepp",
        captions=["a dog"] * 4,
        settings={
            "embed_size": 5,
            "image_encoder": "timm:test_resnet",
            "image_encoder.weights": "none",
            "image_encoder.learning_rate_scale": 0.1,
        },
    )
    assert model.learning_rate_scales() == {"image_encoder.backbone.": 0.1}


@pytest.mark.slow
def test_the_mean_of_the_features_is_that_of_the_training_pictures() -> None:
    data = pictures.PicturePairs(40)  # of which 32 are computed at once
    model = create_model(
        "vsepp",
        data,
        settings={
            "embed_size": 5,
            "text_encoder.vocab_threshold": 1,
            "image_encoder": "timm:test_resnet",
            "image_encoder.weights": "none",
            "image_encoder.center": True,
        },
    )
    encoder: Any = model.image_encoder
    with torch.inference_mode():
        each = [encoder.extract(encoder.transform(False)([picture])) for picture in data.images(range(40))]
    np.testing.assert_allclose(encoder.head.mean, torch.cat(each).mean(dim=0), atol=1e-6)


@pytest.mark.slow
def test_pictures_to_embeddings(tmp_path: Path) -> None:
    file = pictures.write_weights(tmp_path / "w.safetensors")
    model = create_model(
        "vsepp",
        captions=["a dog"] * 4,
        settings={"embed_size": 5, "image_encoder": pictures.BACKBONE, "image_encoder.weights": str(file)},
    )
    one = model.encode_images([pictures.draw(0), pictures.draw(1)])
    assert one.shape == (2, 5)
    assert one.norm(dim=1) == pytest.approx(1, abs=1e-5)
    ten = create_model(
        "vsepp",
        captions=["a dog"] * 4,
        settings={
            "embed_size": 5,
            "image_encoder": pictures.BACKBONE,
            "image_encoder.weights": str(file),
            "image_encoder.crops": 10,
        },
    )
    ten.load_state_dict(model.state_dict())
    assert not torch.allclose(ten.encode_images([pictures.draw(0), pictures.draw(1)]), one, atol=1e-4)

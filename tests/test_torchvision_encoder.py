"""The image encoder torchvision: the formula on pictures, the modes of its CNN, and where its weights come from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from vsezoo.checkpoint import load, save_checkpoint
from vsezoo.construction import create_model
from vsezoo.encoders.torchvision_backbone import TorchvisionImageEncoder, build_backbone
from vsezoo.errors import CheckpointError, DataError, RecipeError

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def make_encoder(**options: Any) -> TorchvisionImageEncoder:
    torch.manual_seed(0)
    return TorchvisionImageEncoder(**{"embed_size": 5, "model": "resnet18", "weights": "none", **options})


def make_images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("normalize_features", "use_abs"), [(False, True), (True, False)])
def test_the_formula(normalize_features: bool, use_abs: bool) -> None:
    encoder = make_encoder(normalize_features=normalize_features, use_abs=use_abs).eval()
    cnn = torchvision.models.resnet18(weights=None).eval()
    cnn.fc = nn.Identity()
    cnn.load_state_dict(encoder.cnn.state_dict())
    with torch.inference_mode():
        features = cnn(make_images())
        if normalize_features:
            features = features / features.norm(dim=1, keepdim=True)
        expected = features @ encoder.fc.weight.T + encoder.fc.bias
        expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(encoder(make_images()), expected.abs() if use_abs else expected)


@pytest.mark.parametrize(
    ("model", "last", "width"),
    [
        ("vgg19", "classifier.6", 4096),
        ("resnet152", "fc", 2048),
        ("resnet18", "fc", 512),
        ("densenet121", "classifier", 1024),
        ("mobilenet_v2", "classifier.1", 1280),
        ("convnext_tiny", "classifier.2", 768),
        ("vit_b_32", "heads.head", 768),
    ],
)
def test_the_last_layer_is_taken_away(model: str, last: str, width: int) -> None:
    with torch.device("meta"):
        backbone, name, features = build_backbone(model)
        whole = torchvision.models.get_model(model, weights=None)
    assert (name, features) == (last, width)
    assert set(whole.state_dict()) - set(backbone.state_dict()) == {f"{last}.weight", f"{last}.bias"}
    assert backbone.eval()(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, width)


@pytest.mark.parametrize("finetune", [False, True])
def test_a_frozen_cnn_has_no_gradients(finetune: bool) -> None:
    encoder = make_encoder(finetune=finetune, cnn_mode="train").train()
    encoder(make_images())[:, 0].sum().backward()
    learnt = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert {"fc.weight", "fc.bias"} <= learnt
    assert ("cnn.conv1.weight" in learnt) == finetune
    assert {name for name, parameter in encoder.named_parameters() if parameter.requires_grad} == learnt


@pytest.mark.parametrize(
    ("cnn_mode", "trains"),
    [("frozen", [False, False, False]), ("train", [True, True, True]), ("legacy", [True, False, True])],
)
def test_modes_of_the_cnn(cnn_mode: str, trains: list[bool]) -> None:
    """At the start of an epoch, after a validation inside it, and at the start of the next one."""
    encoder = make_encoder(cnn_mode=cnn_mode)
    batches = encoder.cnn.get_buffer("bn1.num_batches_tracked")
    found = []
    for calls in ([True], [False, True], [False, True, True]):
        for mode in calls:
            encoder.train(mode)
        before = int(batches)
        encoder(make_images())
        found.append(int(batches) > before)
        assert encoder.training
    assert found == trains


def test_pictures_at_test_time() -> None:
    """The short side becomes 256 pixels, and the middle 224 of both sides stay: of three stripes, the middle one."""
    stripes = np.zeros((512, 1536, 3), dtype=np.uint8)
    stripes[:, 512:1024] = 10, 100, 200
    tensor = make_encoder().transform(training=False)([Image.fromarray(stripes)])
    assert tensor.shape == (1, 3, 224, 224)
    expected = (np.array([10, 100, 200]) / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor[0], np.broadcast_to(expected[:, None, None], (3, 224, 224)), atol=1e-6)


def test_pictures_in_training_are_random_parts() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))] * 4
    transform = make_encoder(crop_size=32).transform(training=True)
    torch.manual_seed(1)
    first, second = transform(pictures), transform(pictures)
    assert first.shape == (4, 3, 32, 32)
    assert len({row.numpy().tobytes() for row in torch.cat([first, second])}) == 8
    torch.manual_seed(1)
    torch.testing.assert_close(transform(pictures), first, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_any_mode_become_rgb(mode: str) -> None:
    white = Image.new("RGB", (224, 224), "white").convert(mode)
    tensor = make_encoder().transform(training=False)([white])
    np.testing.assert_allclose(tensor[0, :, 100, 100], (1 - MEAN) / STD, atol=1e-6)


def test_a_note_on_how_to_turn_a_picture_is_not_heeded() -> None:
    picture = Image.new("RGB", (256, 256))
    picture.paste("white", (0, 0, 128, 256))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    stream = io.BytesIO()
    picture.save(stream, "PNG", exif=exif)
    transform = make_encoder().transform(training=False)
    torch.testing.assert_close(transform([Image.open(stream)]), transform([picture]), rtol=0, atol=0)


def test_what_is_no_picture(tmp_path: Path) -> None:
    transform = make_encoder().transform(training=False)
    with pytest.raises(DataError, match="of type ndarray, but this model takes pictures"):
        transform(np.zeros((2, 4096), dtype=np.float32))
    file = tmp_path / "cut.png"
    Image.effect_noise((200, 200), 50).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    with Image.open(file) as picture, pytest.raises(DataError, match="cannot be decoded") as caught:
        transform([picture])
    assert caught.value.file == str(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet19"}, r"image_encoder\.model is 'resnet19'.*\nDid you mean"),
        ({"model": "squeezenet1_0"}, "has no linear layer"),
        ({"model": "googlenet"}, "image_encoder.model is 'googlenet'"),
        ({"cnn_mode": "eval"}, "image_encoder.cnn_mode is 'eval'; it must be one of frozen, train, legacy"),
        ({"weights": "resnet.pth"}, r"image_encoder\.weights is 'resnet\.pth'.* \.safetensors"),
        ({"crop_size": 0}, "image_encoder.crop_size is 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_encoder(**options)


def test_weights_from_a_file(tmp_path: Path) -> None:
    whole = torchvision.models.resnet18(weights=None)
    file = tmp_path / "resnet18.safetensors"
    save_file(whole.state_dict(), file)
    encoder = make_encoder(weights=str(file))
    encoder.load_pretrained()
    for name, tensor in encoder.cnn.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=0, atol=0)


def test_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.safetensors"
    encoder = make_encoder(weights=str(file))
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be read as safetensors"):
        encoder.load_pretrained()
    save_file({"conv1.weight": torch.ones(2)}, file)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: has not the weights of resnet18: Missing key"):
        encoder.load_pretrained()

    def refuse(*arguments: Any, **options: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(
        CheckpointError, match=r"weights of resnet18 cannot be fetched from https://.*no route"
    ) as caught:
        make_encoder(weights="imagenet").load_pretrained()
    assert "image_encoder.weights=FILE.safetensors" in caught.value.remedy
    make_encoder(weights="none").load_pretrained()


def test_imagenet_weights_are_the_first_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    whole = torchvision.models.resnet18(weights=None)

    def fetch(url: str, **options: Any) -> Any:
        asked.update(options, url=url)
        return whole.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    encoder = make_encoder(weights="imagenet")
    encoder.load_pretrained()
    assert asked["url"] == str(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url)
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
    torch.testing.assert_close(encoder.cnn.get_parameter("conv1.weight"), whole.conv1.weight, rtol=0, atol=0)


def test_a_model_of_pictures_needs_no_network_once_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resnet18.safetensors"
    save_file(torchvision.models.resnet18(weights=None).state_dict(), file)
    model = create_model(
        "vsepp",
        captions=["a dog"] * 4,
        embed_size=5,
        image_encoder="torchvision:resnet18",
        image_encoder__weights=str(file),
    )
    data = {"name": "mine", "kind": "picture", "image_shape": [224, 224, 3]}
    save_checkpoint(tmp_path / "stored", model, data, {})
    file.unlink()
    pictures = [Image.effect_noise((300, 200), 50), Image.effect_noise((100, 200), 50)]
    again = load(tmp_path / "stored")
    torch.testing.assert_close(again.encode_images(pictures), model.encode_images(pictures), rtol=0, atol=0)
    assert again.encode_images(pictures).norm(dim=1) == pytest.approx(1, abs=1e-5)

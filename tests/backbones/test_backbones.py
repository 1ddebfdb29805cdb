"""Backbones of timm and torchvision: names, features pooled and as a grid, weights from files and libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.backbones import Backbone, create_backbone, measure_features
from vsezoo.errors import CheckpointError, RecipeError, UsageError

TIMM, TORCHVISION = "timm:test_resnet", "torchvision:shufflenet_v2_x0_5"


def build_torchvision() -> Any:
    """Return torchvision's own network of this name."""
    return torchvision.models.shufflenet_v2_x0_5(weights=None)


def make(name: str = TORCHVISION, **options: Any) -> Backbone:
    torch.manual_seed(0)
    return create_backbone(name, **{"weights": "none", "image_size": 64, **options}).eval()


def make_pictures(count: int = 2, side: int = 64) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def as_file(path: Path, network: nn.Module, **changes: Any) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()} | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left_out", "pooled", "grid"),
    [
        ("timm:test_resnet", ["fc"], (96,), (25, 96)),
        ("timm:test_efficientnet", ["classifier"], (256,), (25, 256)),
        ("timm:test_vit", ["head"], (64,), (100, 64)),
        ("timm:mobilenetv3_small_050", ["classifier"], (1024,), (49, 288)),  # a layer between grid and classifier
        ("torchvision:resnet18", ["fc"], (512,), (49, 512)),
        ("torchvision:densenet121", ["classifier"], (1024,), (49, 1024)),
        ("torchvision:mobilenet_v2", ["classifier.1"], (1280,), (49, 1280)),
        ("torchvision:convnext_tiny", ["classifier.2"], (768,), (49, 768)),
        ("torchvision:swin_t", ["head"], (768,), (49, 768)),
    ],
)
def test_features_without_the_classifier(name: str, left_out: list[str], pooled: Any, grid: Any) -> None:
    with torch.device("meta"):
        backbone, of_cells = (
            create_backbone(name, weights="none", features=kind).eval() for kind in ("pooled", "grid")
        )
        picture = torch.empty(1, 3, backbone.form.image_size, backbone.form.image_size)
        assert backbone(picture).shape == (1, *pooled)
        assert of_cells(picture).shape == (1, *grid)
    assert list(backbone.left_out) == left_out
    assert ((backbone.width,), of_cells.width) == (pooled, grid[1])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "last", "width"), [("vgg19", "classifier.6", 4096), ("resnet152", "fc", 2048)])
def test_the_networks_of_the_paper(model: str, last: str, width: int) -> None:
    with torch.device("meta"):
        backbone = create_backbone(f"torchvision:{model}").eval()
        whole = torchvision.models.get_model(model, weights=None)
        shape = backbone(torch.empty(2, 3, 224, 224)).shape
    assert shape == (2, width)
    assert set(whole.state_dict()) - set(backbone.network.state_dict()) == {f"{last}.weight", f"{last}.bias"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [TIMM, TORCHVISION])
def test_pooled_features_are_the_mean_of_the_grid(name: str) -> None:
    """Of networks whose pooling is the mean; and the library's own network gives the same."""
    pooled, grid = make(name), make(name, features="grid")
    grid.network.load_state_dict(pooled.network.state_dict())
    with torch.inference_mode():
        features, cells = pooled(make_pictures()), grid(make_pictures())
    assert cells.shape == (2, 4, pooled.width)
    torch.testing.assert_close(cells.mean(dim=1), features, rtol=1e-4, atol=1e-5)
    if name == TORCHVISION:
        whole = build_torchvision().eval()
        whole.fc = nn.Identity()
    else:
        whole = timm.create_model("test_resnet", num_classes=0).eval()
    whole.load_state_dict(pooled.network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(features, whole(make_pictures()), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_cells_are_row_by_row() -> None:
    """A change in the upper right corner of a picture changes the second cell of 2 x 2 most."""
    backbone = make(TORCHVISION, features="grid", image_size=64)
    pictures = make_pictures(1)
    changed = pictures.clone()
    changed[:, :, :16, 48:] += 3
    with torch.inference_mode():
        difference = (backbone(changed) - backbone(pictures)).norm(dim=-1)[0]
    assert difference.argmax() == 1


def test_a_grid_of_cells_of_a_transformer_has_no_class_token() -> None:
    backbone = make("timm:test_vit", features="grid", image_size=0)
    with torch.inference_mode():
        pictures = make_pictures(side=160)
        tokens = backbone.network.forward_features(pictures)
        torch.testing.assert_close(backbone(pictures), tokens[:, 1:])


@pytest.mark.slow
def test_another_size_of_pictures() -> None:
    assert measure_features("timm:test_vit", features="grid", image_size=96) == (36, 64)
    assert measure_features("timm:test_resnet", features="grid", image_size=192) == (36, 96)
    with torch.device("meta"):
        assert measure_features("torchvision:vgg11", features="grid", image_size=192) == (36, 512)


@pytest.mark.slow
def test_features_of_crops_are_averaged() -> None:
    backbone, crops = make(), make_pictures(6).unflatten(0, (2, 3))
    with torch.inference_mode():
        expected = torch.stack([backbone(picture).mean(dim=0) for picture in crops])
        torch.testing.assert_close(backbone(crops), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [TIMM, TORCHVISION])
def test_weights_from_a_file_with_a_classifier_or_without(tmp_path: Path, name: str) -> None:
    source = timm.create_model("test_resnet") if name == TIMM else build_torchvision()
    whole = as_file(tmp_path / "whole.safetensors", source)
    bare = as_file(tmp_path / "bare.safetensors", source, **{"fc.weight": None, "fc.bias": None})
    digests = set()
    for file in (whole, bare):
        backbone = make(name, weights=str(file))
        before = backbone.digest()
        backbone.load_pretrained()
        assert backbone.digest() != before
        for key, tensor in backbone.network.state_dict().items():
            torch.testing.assert_close(tensor, source.state_dict()[key], rtol=0, atol=0)
        digests.add(backbone.digest())
        assert backbone.describe()["source"] == file.name
        assert str(tmp_path) not in str(backbone.describe())
    assert len(digests) == 1


@pytest.mark.slow
def test_arguments_of_the_constructor(tmp_path: Path) -> None:
    same = make("timm:mobilenetv2_035", model_args={"pad_type": "same"})
    plain = make("timm:mobilenetv2_035")
    plain.network.load_state_dict(same.network.state_dict())
    with torch.inference_mode():
        assert not torch.allclose(same(make_pictures()), plain(make_pictures()))
    assert same.describe()["model_args"] == {"pad_type": "same"}
    with pytest.raises(RecipeError, match=r"timm:test_resnet cannot be built: .*'colour'"):
        make(TIMM, model_args={"colour": "red"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv1.0.weight": None},
            r"does not contain the weights of torchvision:shufflenet_v2_x0_5: it lacks conv1\.0\.weight",
        ),
        ({"more.weight": torch.ones(2)}, r"it also has more\.weight"),
        ({"conv1.0.weight": torch.ones(2)}, r"in another shape conv1\.0\.weight \(2,\) instead of \(24, 3, 3, 3\)"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = as_file(tmp_path / "x.safetensors", build_torchvision(), **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        make(weights=str(file)).load_pretrained()
    assert caught.value.file == str(file)
    assert "model_args" in caught.value.remedy


@pytest.mark.slow
def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match=r"x\.safetensors: is not a file of weights") as caught:
        make(weights=str(file)).load_pretrained()
    assert "VSEZOO_WEIGHTS" in caught.value.remedy
    file.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be read as safetensors"):
        make(weights=str(file)).load_pretrained()
    elsewhere = tmp_path / "weights"
    elsewhere.mkdir()
    as_file(elsewhere / "y.safetensors", build_torchvision())
    monkeypatch.setenv("VSEZOO_WEIGHTS", str(elsewhere))
    backbone = make(weights="nowhere/y.safetensors")
    backbone.load_pretrained()
    assert backbone.file == elsewhere / "y.safetensors"


@pytest.mark.slow
def test_a_digest_tells_when_weights_have_changed(tmp_path: Path) -> None:
    file = as_file(tmp_path / "x.safetensors", build_torchvision())
    backbone = make(weights=str(file))
    assert not backbone.unchanged
    backbone.load_pretrained()
    digest = backbone.digest()
    assert backbone.unchanged
    backbone.train()(make_pictures())  # batch norm counts
    assert not backbone.unchanged
    backbone.load_pretrained(sha256=digest)
    assert backbone.unchanged
    with pytest.raises(CheckpointError, match=f"have the SHA-256 {digest}, not 0000, with which the model was"):
        backbone.load_pretrained(sha256="0000")


@pytest.mark.slow
def test_the_network_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(
        CheckpointError, match=r"weights of torchvision:shufflenet_v2_x0_5 cannot be downloaded from https://.*no r"
    ):
        make(weights="pretrained").load_pretrained()

    def lack(*arguments: Any, **options: Any) -> None:
        raise LocalEntryNotFoundError("Got: ConnectError\nand more")

    monkeypatch.setattr("vsezoo.backbones.timm_backbone.snapshot_download", lack)
    for name in (TIMM, "timm:hf-hub:someone/model"):
        with pytest.raises(CheckpointError, match=f"{name}.* cannot be downloaded: Got: ConnectError\\.\n") as caught:
            make(name, weights="pretrained").load_pretrained()
        assert "--image-weights FILE.safetensors" in caught.value.remedy


@pytest.mark.slow
def test_pretrained_weights_of_torchvision_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    whole = build_torchvision()

    def fetch(url: str, **options: Any) -> Any:
        asked.update(options, url=url)
        return whole.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    backbone = make(weights="pretrained")
    backbone.load_pretrained()
    assert (
        asked["url"]
        == str(torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.url)
        == backbone.describe()["origin"]
    )
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
    torch.testing.assert_close(backbone.network.get_parameter("conv1.0.weight"), whole.conv1[0].weight, rtol=0, atol=0)


def test_pretrained_weights_of_timm_come_from_its_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = timm.create_model("test_resnet")
    as_file(tmp_path / "model.safetensors", whole)
    asked: list[Any] = []

    def fetch(repository: str, **options: Any) -> str:
        asked.append((repository, options["revision"], options["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr("vsezoo.backbones.timm_backbone.snapshot_download", fetch)
    backbone = make(weights="pretrained", name=TIMM)
    backbone.load_pretrained()
    assert asked == [("timm/test_resnet.r160_in1k", None, ["model.safetensors"])]
    assert backbone.describe()["origin"] == "timm/test_resnet.r160_in1k"
    first = "conv1.0.weight" if "conv1.0.weight" in whole.state_dict() else "conv1.weight"
    torch.testing.assert_close(backbone.network.state_dict()[first], whole.state_dict()[first], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("torchvision:resnet19", RecipeError, "torchvision has no image classifier 'resnet19'.*\nDid you mean"),
        ("torchvision:googlenet", RecipeError, "no image classifier 'googlenet'"),
        ("torchvision:squeezenet1_0", RecipeError, "has no linear layer"),
        ("timm:mobilnetv2_100", RecipeError, "timm has no model 'mobilnetv2_100'.\nDid you mean 'mobilenetv2_100'"),
        ("timm:resnet18.a1_in1", RecipeError, "timm has no weights 'a1_in1' of 'resnet18'.\nDid you mean 'a1_in1k'"),
        ("timm:local-dir:/nowhere", CheckpointError, "timm:local-dir:/nowhere cannot be downloaded: Config file not"),
        ("tim:resnet18", UsageError, "'tim:resnet18' is not a backbone.\nDid you mean 'timm'"),
        ("resnet18", UsageError, "Name it as timm:NAME or torchvision:NAME"),
    ],
)
def test_names_that_are_none(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        create_backbone(name)


@pytest.mark.slow
def test_a_vision_transformer_of_torchvision_has_no_grid() -> None:
    message = r"vit_b_32 has no grid of features.\nUse a CNN, or a vision"
    with torch.device("meta"), pytest.raises(RecipeError, match=message):
        create_backbone("torchvision:vit_b_32", features="grid")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "resnet.pth"}, r"weights is 'resnet\.pth'; it must be pretrained, none or a file .*\.safetensors"),
        ({"crop_size": -1}, "crop_size is -1"),
        ({"image_size": -8}, "image_size is -8"),
        ({"crop_pct": 1.5}, "crop_pct is 1.5"),
        ({"crop_pct": 1e-9}, "crop_pct is 1e-09; it must be 0 or from 0.05 to 1"),
        ({"scales": []}, r"scales is \[\]; it must be one or more values, each from 0.05 to 1"),
        ({"scales": [0.8, 1e-9]}, r"scales is \[0.8, 1e-09\]"),
        ({"scales": [0.8, 0]}, r"scales is \[0.8, 0\]"),
        ({"scales": 0.8}, "scales is 0.8; it must be of type list of float or null"),
        ({"scales": [1.0, 0.8], "features": "grid"}, "cells of several crops"),
        ({"features": "all"}, "features is 'all'; it must be one of pooled, grid"),
        ({"crops": 5}, "crops is 5; it must be one of 1, 10"),
        ({"crops": 10, "features": "grid"}, "cells of several crops"),
        ({"interpolation": "bicubi"}, "interpolation is 'bicubi'.*\nDid you mean 'bicubic'"),
        ({"mean": [0.5]}, r"mean is \[0.5\]; it must be 3 values"),
        ({"std": [1, 1, 0]}, r"std is .* 3 values, each above 0"),
        ({"model_args": "pad_type=same"}, "model_args is 'pad_type=same'; it must be of type object or null"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(**options)


@pytest.mark.slow
def test_real_weights_and_pictures() -> None:
    """The features of real pictures are near those that another implementation made of the same network."""
    if "VSEZOO_SHARED" not in os.environ:
        pytest.skip("VSEZOO_SHARED names no folder of real data")
    shared = Path(os.environ["VSEZOO_SHARED"]) / "data"
    backbone = create_backbone(
        "timm:mobilenetv2_100",
        weights=str(shared / "backbones" / "mobilenetv2_100.safetensors"),
        model_args={"pad_type": "same"},
        mean=[0.5, 0.5, 0.5],
        std=[0.5, 0.5, 0.5],
        interpolation="bilinear",
        crops=10,
    ).eval()
    backbone.load_pretrained()
    names = (shared / "f8k_precomp" / "test_ids.txt").read_text().split()[:2]
    pictures = [Image.open(shared / "flickr8k" / "images" / name) for name in names]
    with torch.inference_mode():
        features = functional.normalize(backbone(backbone.transform(training=False)(pictures)))
    known = torch.from_numpy(np.load(shared / "f8k_precomp" / "test_ims.npy", mmap_mode="r")[:2].copy())
    cosines = features @ known.T
    assert cosines.diagonal().min() > 0.85
    assert (cosines.argmax(dim=1) == torch.arange(2)).all()

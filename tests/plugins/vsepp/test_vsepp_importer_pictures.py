"""Checkpoints of VSE++ on pictures: the names of every torchvision, and the original's formula."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn import functional
from vsepp_files import CAPTIONS, VSEPP, WORDS, draw_state, make_text, make_vsepp, write_checkpoint, write_words

from vsezoo.backbones import create_backbone
from vsezoo.conversion.importer import Source
from vsezoo.errors import CheckpointError, UsageError
from vsezoo_vsepp.importer import VSEppImporter

COCO = {**VSEPP, "data_name": "coco", "img_dim": 4096, "cnn_type": "resnet18", "crop_size": 200}


def name_as_original(name: str, cnn: str) -> str:
    """Return the name of a tensor of torchvision's in a checkpoint: with what DataParallel adds."""
    if cnn.startswith("vgg"):
        return f"cnn.{name}".replace("cnn.features.", "cnn.features.module.")
    return f"cnn.module.{name}"


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    torch.manual_seed(2)
    cnn = torchvision.models.resnet18(weights=None)
    cnn.fc = torch.nn.Identity()
    for module in cnn.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return cnn.eval()


@pytest.fixture(scope="module")
def path(resnet: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    image = draw_state({"fc.weight": (6, 512), "fc.bias": (6,)}, 4)
    for name, tensor in resnet.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # which torch did not have then
            image[name_as_original(name, "resnet18")] = tensor
    write_words(folder / "coco_vocab.pkl")
    return write_checkpoint(folder, COCO, [image, make_text(COCO)], legacy=True)


@pytest.mark.slow
def test_pictures_are_embedded_by_the_formula(path: Path, resnet: torch.nn.Module) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((300, 260), (240, 500))]
    source = Source(path)
    assert VSEppImporter().recognise(source)
    model = VSEppImporter().read(source, {}).build(source)
    cut = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224), torchvision.transforms.ToTensor()]
    )
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        features = functional.normalize(resnet(torch.stack([(cut(picture) - mean) / std for picture in pictures])))
        state = source.content["model"][0]
        expected = functional.normalize(features @ state["fc.weight"].T + state["fc.bias"])
    torch.testing.assert_close(model.encode_images(pictures), expected, rtol=0, atol=1e-5)
    assert model.encode_texts(CAPTIONS).shape == (len(CAPTIONS), 6)


@pytest.mark.slow
def test_options_of_pictures_are_settings(path: Path) -> None:
    imported = VSEppImporter().read(Source(path), {})
    expected = {
        "model": "resnet18",
        "weights": "pretrained",
        "head": "precomp",
        "normalize_features": True,
        "finetune": False,
        "cnn_mode": "legacy",
        "crop_size": 200,
        "normalize": True,
        "use_abs": False,
    }
    assert imported.recipe.image_encoder.options.items() >= expected.items()
    assert imported.data == {"name": "coco", "kind": "picture", "image_shape": [224, 224, 3]}


@pytest.mark.slow
def test_pictures_there_and_back(path: Path, tmp_path: Path) -> None:
    source, importer = Source(path), VSEppImporter()
    model = importer.read(source, {}).build(source)
    again = Source(importer.write(model, tmp_path / "x.pth.tar")[0])
    before, after = source.content["model"], again.content["model"]
    counts = {name for name in after[0] if name.endswith("num_batches_tracked")}
    assert after[0].keys() == before[0].keys() | counts
    for old, new in zip(before, after, strict=True):
        assert all(torch.equal(tensor, new[name]) for name, tensor in old.items())
    assert importer.read(again, {}).recipe == model.recipe
    held = again.content["opt"].attributes
    assert (held["cnn_type"], held["crop_size"], held["data_name"]) == ("resnet18", 200, "coco")


class Given(Source):
    """A source that holds what it is told, so that no file of 500 megabytes is written."""

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        super().__init__(folder / "x")
        self.__dict__.update(content=content, format="torch")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["vgg19", "vgg19 old", "vgg16_bn old", "resnet152"])
def test_names_of_large_cnns(form: str, tmp_path: Path) -> None:
    cnn, _, old = form.partition(" ")
    with torch.device("meta"):
        backbone = create_backbone(f"torchvision:{cnn}")
    image: dict[str, Tensor] = {"fc.weight": torch.zeros(6, backbone.width), "fc.bias": torch.zeros(6)}
    for name, tensor in backbone.network.state_dict().items():
        if old:  # torchvision before 989d52a began its classifiers with dropout; torch counted no batches
            name = re.sub(r"^classifier\.([03])", lambda match: f"classifier.{int(match[1]) + 1}", name)
        if not (old and name.endswith("num_batches_tracked")):
            kind = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
            image[name_as_original(name, cnn)] = torch.zeros((), dtype=kind).expand(tensor.shape)
    (tmp_path / "x").touch()
    write_words(tmp_path / "coco_vocab.pkl")
    options = {**COCO, "cnn_type": cnn, "finetune": True, "reset_train": True}
    model = [image, make_text(options)]
    imported = VSEppImporter().read(Given(tmp_path, {"model": model, "opt": options}), {})
    start = "image_encoder.backbone."
    ours = {name.removeprefix(start) for name in imported.tensors if name.startswith(start)}
    assert ours == set(backbone.state_dict())
    assert imported.recipe.image_encoder.options["model"] == cnn
    assert imported.recipe.image_encoder.options["finetune"] is True
    assert imported.recipe.image_encoder.options["cnn_mode"] == "train"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cnn_type": "resnet34"}, r"lacks tensors image_encoder\.backbone\."),
        ({"cnn_type": "vit_h_14"}, "lacks tensors"),
        ({"cnn_type": "caffenet"}, "torchvision has no image classifier 'caffenet'"),
        ({"reset_train": "no"}, "reset_train='no'"),
        ({"crop_size": -1}, "crop_size is -1"),
    ],
)
def test_options_of_pictures_that_do_not_fit(path: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    content = {**Source(path).content, "opt": {**COCO, **changes}}
    (tmp_path / "x").touch()
    write_words(tmp_path / "coco_vocab.pkl")
    with pytest.raises((CheckpointError, UsageError), match=message):
        VSEppImporter().read(Given(tmp_path, content), {})


def test_options_of_pictures_say_nothing_about_features(tmp_path: Path) -> None:
    write_words(tmp_path / "f8k_precomp_vocab.pkl")
    options = {**VSEPP, "cnn_type": "any", "crop_size": -3, "finetune": True, "reset_train": True}
    source = Source(write_checkpoint(tmp_path, options, make_vsepp(options)))
    imported = VSEppImporter().read(source, {})
    assert imported.recipe.image_encoder.name == "precomp"
    assert len(imported.tokenizer) == len(WORDS)

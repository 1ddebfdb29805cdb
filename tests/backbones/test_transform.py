"""What becomes of pictures before a backbone sees them: the same as timm and torchvision make of them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from vsezoo.backbones import create_backbone
from vsezoo.backbones.transform import PictureForm, PictureTransform, decode_picture
from vsezoo.errors import DataError

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FORM = PictureForm(224, 224, 0.875, "center", tuple(MEAN), tuple(STD), "bilinear")


def draw(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_decoded_picture_is_treated_like_its_file() -> None:
    """Transparent pixels become white, and 16 bits are scaled to 8."""
    assert decode_picture(Image.new("RGBA", (2, 2), (255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert decode_picture(Image.new("LA", (2, 2), (0, 51))).getpixel((1, 1)) == (204, 204, 204)  # a fifth of black
    deep = Image.fromarray(np.array([[257, 32768]], np.uint16))
    assert [decode_picture(deep).getpixel((x, 0)) for x in (0, 1)] == [(1, 1, 1), (128, 128, 128)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["test_vit", "mobilenetv2_100", "vit_tiny_patch16_224", "vit_base_patch16_siglip_224", "test_convnext2"]
)
def test_timm_has_the_same_at_test_time(model: str) -> None:
    picture = draw(180, 250)
    with torch.device("meta"):
        backbone = create_backbone(f"timm:{model}", weights="none")
        data = resolve_model_data_config(timm.create_model(model))
    expected = create_transform(**data, is_training=False)(picture)
    torch.testing.assert_close(backbone.transform(training=False)([picture])[0], expected)


@pytest.mark.slow
def test_torchvision_has_the_same_at_test_time() -> None:
    picture = draw(180, 250)
    for model, weights in (("resnet18", "ResNet18_Weights"), ("efficientnet_b0", "EfficientNet_B0_Weights")):
        expected = getattr(torchvision.models, weights).IMAGENET1K_V1.transforms()(picture)
        with torch.device("meta"):
            backbone = create_backbone(f"torchvision:{model}", weights="none")
        made = backbone.transform(training=False)([picture])
        torch.testing.assert_close(made[0], expected)


def test_the_middle_at_test_time() -> None:
    """The short side becomes 256 pixels, and the middle 224 of both sides stay: of three stripes, the middle one."""
    stripes = np.zeros((512, 1536, 3), dtype=np.uint8)
    stripes[:, 512:1024] = 10, 100, 200
    tensor = PictureTransform(FORM, training=False)([Image.fromarray(stripes)])
    assert tensor.shape == (1, 3, 224, 224)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    expected = (np.array([10, 100, 200]) / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor[0], np.broadcast_to(expected[:, None, None], (3, 224, 224)), atol=1e-6)


def test_ten_crops_are_corners_middle_and_mirror_images() -> None:
    """Of a picture whose pixels tell where they are: red the column, green the row."""
    rows, columns = np.mgrid[:20, :20].astype(np.uint8)
    picture = Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=-1))
    form = PictureForm(16, 16, 0.8, "center", (0.0, 0.0, 0.0), (1 / 255,) * 3, "bilinear", crops=10)
    crops = PictureTransform(form, training=False)([picture])
    assert crops.shape == (1, 10, 3, 16, 16)
    corners = [tuple(crop[:2, 0, 0].round().int().tolist()) for crop in crops[0]]  # column and row of the first pixel
    assert corners[:5] == [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    mirrored = {tuple(crop[:2, 0, -1].round().int().tolist()) for crop in crops[0, 5:]}
    assert mirrored == set(corners[:5])
    assert {tuple(crop[:2, 0, 0].round().int().tolist()) for crop in crops[0, 5:]} == {
        (column + 15, row) for column, row in corners[:5]
    }


@pytest.mark.parametrize("crops", [1, 10])
def test_several_scales_are_the_crops_of_each_in_turn(crops: int) -> None:
    def cut(crop_pct: float, scales: tuple[float, ...] = ()) -> torch.Tensor:
        form = PictureForm(32, 32, crop_pct, "squash", MEAN, STD, "bilinear", crops, scales)
        return PictureTransform(form, training=False)([draw(90, 120), draw(40, 40)]).reshape(2, -1, 3, 32, 32)

    assert cut(0.5, (1.0, 0.8)).shape[1] == 2 * crops
    torch.testing.assert_close(cut(0.5, (1.0, 0.8)), torch.cat([cut(1.0), cut(0.8)], dim=1), rtol=0, atol=0)


@pytest.mark.slow
def test_features_of_several_scales_are_averaged() -> None:
    def extract(**options: Any) -> torch.Tensor:
        torch.manual_seed(0)
        backbone = create_backbone("timm:test_vit", weights="none", **options).eval()
        return backbone(backbone.transform(training=False)([draw(90, 120)]))

    torch.testing.assert_close(extract(scales=[1.0, 0.5]), (extract(crop_pct=1.0) + extract(crop_pct=0.5)) / 2)


@pytest.mark.slow
def test_training_draws_parts_from_the_generator_of_torch() -> None:
    transform = create_backbone("torchvision:resnet18", weights="none", image_size=48, crop_size=32).transform(True)
    pictures = [draw(90, 120)] * 4
    torch.manual_seed(1)
    first, second = transform(pictures), transform(pictures)
    assert first.shape == (4, 3, 32, 32)
    assert len({row.numpy().tobytes() for row in torch.cat([first, second])}) == 8
    torch.manual_seed(1)
    torch.testing.assert_close(transform(pictures), first, rtol=0, atol=0)


def test_both_sides_are_cropped_to_one_share() -> None:
    """Of a picture whose colours are its coordinates: what is seen has one share of both sides, 60 % or more."""
    rows, columns = np.meshgrid(np.linspace(0, 255, 300), np.linspace(0, 255, 200), indexing="ij")
    pixels = np.stack([rows, columns, 0 * rows], axis=-1).round().astype(np.uint8)
    form = PictureForm(32, 32, 1.0, "squash", (0.0,) * 3, (1.0,) * 3, "bilinear", least_crop=0.6)
    torch.manual_seed(0)
    seen = PictureTransform(form, training=True)([Image.fromarray(pixels)] * 40)
    assert seen.shape == (40, 3, 32, 32)
    shares = [seen[:, colour].amax(dim=(1, 2)) - seen[:, colour].amin(dim=(1, 2)) for colour in (0, 1)]
    torch.testing.assert_close(shares[0], shares[1], atol=0.04, rtol=0)
    assert 0.5 < shares[0].min() < 0.7
    assert shares[0].max() > 0.9


def test_options_take_the_place_of_the_backbone_s_own() -> None:
    backbone = create_backbone(
        "timm:mobilenetv2_100", weights="none", image_size=192, mean=[0.5, 0.5, 0.5], std=[0.25, 0.5, 1], crop_pct=1.0
    )
    told = backbone.describe()["transform"]
    assert (told["image_size"], told["crop_size"], told["crop_pct"]) == (192, 192, 1.0)
    assert (told["mean"], told["std"], told["interpolation"]) == ([0.5, 0.5, 0.5], [0.25, 0.5, 1.0], "bicubic")
    white = backbone.transform(training=False)([Image.new("RGB", (192, 192), "white")])
    np.testing.assert_allclose(white[0, :, 5, 5], [2, 1, 0.5])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_any_mode_become_rgb(mode: str) -> None:
    white = Image.new("RGB", (224, 224), "white").convert(mode)
    tensor = PictureTransform(FORM, training=False)([white])
    np.testing.assert_allclose(tensor[0, :, 100, 100], (1 - MEAN) / STD, atol=1e-6)


def test_a_picture_that_says_how_it_is_to_be_turned_is_turned() -> None:
    picture = Image.new("RGB", (256, 256))
    picture.paste("white", (0, 0, 128, 256))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    stream = io.BytesIO()
    picture.save(stream, "PNG", exif=exif)
    transform = PictureTransform(FORM, training=False)
    turned = transform([picture.rotate(180)])
    torch.testing.assert_close(transform([Image.open(stream)]), turned, rtol=0, atol=0)


def test_worker_processes_can_have_it() -> None:
    transform = PictureTransform(FORM, training=False)
    again: Any = pickle.loads(pickle.dumps(transform))
    torch.testing.assert_close(again([draw(240, 300)]), transform([draw(240, 300)]), rtol=0, atol=0)


def test_what_is_no_picture(tmp_path: Path) -> None:
    transform = PictureTransform(FORM, training=False)
    with pytest.raises(DataError, match="of type ndarray, but this model takes pictures"):
        transform(np.zeros((2, 4096), dtype=np.float32))
    file = tmp_path / "cut.png"
    Image.effect_noise((200, 200), 50).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    with Image.open(file) as picture, pytest.raises(DataError, match="cannot be decoded") as caught:
        transform([picture])
    assert caught.value.file == str(file)

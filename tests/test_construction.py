"""Models whose tensors a checkpoint brings: nothing is drawn for them, and all else is as the constructor makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pictures
import pytest
import tiny
import torch
from tiny_bert import list_small_settings
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.budget import TooLargeError
from vsezoo.checkpoints.checkpoint import load_loss, save_checkpoint
from vsezoo.checkpoints.uninitialized import build_uninitialized
from vsezoo.construction import build_loss
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import CheckpointError
from vsezoo.parts import accepted_kinds
from vsezoo.storage.unfilled import without_memory

SMALL: dict[str, dict[str, Any]] = {
    "chan": {"image_encoder.heads": 5},
    "vsrn": {"loss.hidden_size": 8, "loss.word_dim": 4},
    "kiros-bow": {"text_encoder.word_dim": 0},
}
SMALLEST = {"timm": "test_resnet", "torchvision": "mobilenet_v3_small"}
"""What makes the recipes small next to these, and the networks of `tiny_bert.list_small_settings`."""
WORDS = {"text_encoder.word_dim": 4, "text_encoder.vocab_threshold": 1}


def list_tensors(module: nn.Module) -> list[Tensor]:
    """Return all tensors that a module has: parameters, buffers, whether they are stored or not, and others."""
    return [leaf for inner in module.modules() for leaf in tree_leaves(vars(inner)) if isinstance(leaf, Tensor)]


def assert_equal_tensors(first: nn.Module, second: nn.Module) -> None:
    for one, other in zip(list_tensors(first), list_tensors(second), strict=True):
        assert (one.dtype, one.requires_grad) == (other.dtype, other.requires_grad)
        assert torch.equal(one, other)


TWINS = ("vsepp-resnet152", "vsepp-resnet152-finetuned")
"""Recipes that are those of VGG19, once a small network takes the place of the large one."""
RECIPES = [
    name for name in sorted(vsezoo.list_models()) if name not in TWINS and not registry.load("models", name).pretrained
]
"""Without those of pretrained weights, which would be downloaded."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_loaded_to_the_bit(name: str, tmp_path: Path) -> None:
    recipe = registry.load("models", name)
    small, (kind, *_) = list_small_settings(recipe), accepted_kinds(recipe)
    data = None if kind == "picture" else tiny.TinyPairs(shape=(4, tiny.WIDTH) if kind == "regions" else (tiny.WIDTH,))
    words = {} if recipe.text_encoder.name.endswith(("hf", "clip")) else WORDS
    if recipe.image_encoder.name in SMALLEST:
        small = {**small, "image_encoder.model": SMALLEST[recipe.image_encoder.name]}
    settings = {"embed_size": 5, **words, **SMALL.get(name, {}), **small}
    torch.manual_seed(3)
    model = vsezoo.create_model(name, data, tiny.CAPTIONS, settings=settings)
    loss = build_loss(model.recipe, model.tokenizer)
    save_checkpoint(tmp_path / "run", model, tiny.TinyPairs(), {}, loss=loss)
    before = torch.get_rng_state()
    assert_equal_tensors(vsezoo.load(tmp_path / "run"), model)
    assert_equal_tensors(load_loss(tmp_path / "run"), loss)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_frozen_backbone_comes_from_its_source(tmp_path: Path) -> None:
    weights = pictures.write_weights(tmp_path / "resnet.safetensors")
    model = vsezoo.create_model(
        "vsepp", settings={"image_encoder": pictures.BACKBONE, "image_encoder.weights": str(weights)}
    )
    save_checkpoint(tmp_path / "run", model, pictures.PicturePairs(), {})
    assert_equal_tensors(vsezoo.load(tmp_path / "run"), model)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 4),
        lambda: nn.GRU(3, 4, bidirectional=True),
        lambda: nn.Conv2d(3, 4, 2),
        lambda: nn.Embedding(5, 6),
        lambda: Drawn(nn.init.orthogonal_),
        lambda: Drawn(nn.init.xavier_normal_),
        lambda: Drawn(nn.init.trunc_normal_),
        lambda: nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last),
        lambda: Drawn(lambda weight: nn.init.orthogonal_(weight.detach()[:3])),
        lambda: Drawn(lambda weight: nn.init.normal_(mean=0.0, std=1.0, tensor=weight)),
    ],
)
def test_nothing_is_drawn(make: Callable[[], nn.Module]) -> None:
    before = torch.get_rng_state()
    built, drawn = build_uninitialized(make), make()
    assert built.state_dict().keys() == drawn.state_dict().keys()
    assert all(tensor.isnan().all() for tensor in built.state_dict().values())
    assert [p.stride() for p in built.parameters()] == [p.stride() for p in drawn.parameters()]  # channels_last stays
    torch.set_rng_state(before)
    build_uninitialized(make)
    assert torch.equal(torch.get_rng_state(), before)


class Drawn(nn.Module):
    """One parameter."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3))
        draw(self.weight)


class Aside(nn.Module):
    """Has tensors that are not stored, made in many ways."""

    def __init__(self, made: Tensor, others: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("made", made, persistent=False)
        self.others = {"tensors": list(others)}


def draw_of_its_own() -> Tensor:
    return torch.empty(4).normal_(generator=torch.Generator().manual_seed(1))


def draw_seeded() -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return torch.empty(4).uniform_(1, 2) ** 2


def draw_orthogonal() -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.init.orthogonal_(torch.empty(4, 4)) + torch.linalg.qr(torch.eye(4)).Q


@pytest.mark.parametrize(
    "make",
    [
        lambda: Aside(nn.init.ones_(torch.empty(3)), [nn.init.constant_(torch.empty(2), 3.0), torch.arange(4)]),
        lambda: Aside(draw_of_its_own()),
        lambda: Aside(torch.zeros(2), [draw_seeded()]),
        lambda: Aside(draw_seeded()),
        lambda: Aside(draw_orthogonal()),
        lambda: Aside(draw_seeded() > 2),
        lambda: Aside(torch.zeros(1), [draw_seeded().argsort()]),
    ],
)
def test_what_is_not_stored_is_as_the_constructor_makes_it(make: Callable[[], Aside]) -> None:
    built, again = build_uninitialized(make), make()
    assert torch.equal(built.made, again.made)
    for one, other in zip(built.others["tensors"], again.others["tensors"], strict=True):
        assert torch.equal(one, other)


class Kept:
    """Holds a parameter, and is no module."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter


class Keeper(nn.Module):
    """Has its parameter in another place, too, before or after it becomes one of the module."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        made = nn.Parameter(torch.ones(2))
        self.weight = made
        self.kept = Kept(made if before else self.weight)


@pytest.mark.parametrize("before", [True, False])
def test_a_parameter_that_is_kept_in_another_place_too_is_the_same_there(before: bool) -> None:
    built = build_uninitialized(lambda: Keeper(before))
    assert built.kept.parameter is built.weight


def test_a_parameter_that_two_modules_share_stays_shared() -> None:
    def make() -> nn.ModuleList:
        layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        layers[1].weight = layers[0].weight
        layers[0].bias.mine = "kept"
        return layers

    built = build_uninitialized(make)
    assert built[1].weight is built[0].weight
    assert built[1].bias is not built[0].bias
    assert built[0].bias.mine == "kept"
    assert not any(parameter.is_meta for parameter in built.parameters())


def test_parameters_have_no_memory_when_they_are_checked_and_are_counted() -> None:
    checked: list[nn.Module] = []

    def check(module: nn.Module) -> None:
        assert all(parameter.is_meta for parameter in module.parameters())
        checked.append(module)

    built = build_uninitialized(lambda: nn.Linear(2, 2).requires_grad_(False), check)
    assert checked == [built]
    assert not built.weight.requires_grad
    build_uninitialized(lambda: nn.Linear(2, 2), most=2)
    with pytest.raises(TooLargeError, match="more than 1 parameter tensors"):
        build_uninitialized(lambda: nn.Linear(2, 2), most=1)


def test_a_constructor_may_look_at_what_it_draws() -> None:
    def make() -> nn.Module:
        layer = nn.Linear(2, 2)
        if not layer.weight.isfinite().all():
            raise ValueError("no numbers")
        return layer

    assert build_uninitialized(make).weight.isfinite().all()

    def refuse() -> nn.Module:
        raise ValueError("no such option")

    with pytest.raises(ValueError, match="no such option"):
        build_uninitialized(refuse)


class Forgetful(PrecomputedImageEncoder):
    """Has weights that a checkpoint need not hold, and reads a part of them alone."""

    external = "fc."

    def leaves_out_external(self) -> bool:
        return True

    def restore_external(self, described: Any, folders: Sequence[Path]) -> None:
        nn.init.zeros_(self.fc.bias)


def test_weights_that_nobody_brings_are_an_error(tmp_path: Path) -> None:
    registry.register("image_encoders", "forgetful")(Forgetful)
    tiny.save_model(tmp_path / "run", tiny.make_model(image_encoder="forgetful"))
    message = r"does not contain image_encoder\.fc\.weight, and neither does its source"
    with pytest.raises(CheckpointError, match=message) as raised:
        vsezoo.load(tmp_path / "run")
    assert raised.value.file == str(tmp_path / "run" / "model.safetensors")


def test_without_memory_nothing_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*arguments: object, **options: object) -> None:
        raise AssertionError("torch imports its compiler for it")

    monkeypatch.setattr(torch.Tensor, "uniform_", fill)
    monkeypatch.setattr(torch.Tensor, "normal_", fill)
    with without_memory():
        modules = nn.ModuleList([nn.Linear(2, 3), nn.Embedding(4, 5), nn.GRU(2, 2)])
        filled = torch.zeros(2, device="cpu").fill_(3)
    assert all(parameter.is_meta for parameter in modules.parameters())
    assert filled.tolist() == [3, 3]

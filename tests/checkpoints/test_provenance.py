"""Whose parts a checkpoint wants: recorded when it is written, and held to when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import pytest
from checkpoint_folders import change_config, expect_error, set_value
from tiny import dotted, make_model, save_model

import vsezoo
from vsezoo import load, registry
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.checkpoints.provenance import LIBRARIES
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import VsezooWarning
from vsezoo.similarities import CosineSimilarity
from vsezoo.storage.checkpoint_layout import read_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "best")
    return tmp_path / "best"


def test_a_part_of_a_plugin_that_is_not_installed(folder: Path) -> None:
    origin = {"name": "siglip", "distribution": "vsezoo-siglip", "version": "0.3.1"}
    change_config(folder, set_value("recipe", "image_encoder", "name", to="siglip"))
    change_config(folder, set_value("plugins", "image_encoder", to=origin))
    error = expect_error(folder, "config.json", "There is no image encoder 'siglip'")
    assert error.remedy == "It was written with the distribution vsezoo-siglip 0.3.1: pip install vsezoo-siglip"


def test_a_name_that_means_a_part_of_another_distribution_here(folder: Path) -> None:
    origin = {"name": "hinge", "distribution": "vsezoo-hinges", "version": "0.2"}
    change_config(folder, set_value("plugins", "loss", to=origin))
    error = expect_error(folder, "config.json", "was written with the loss 'hinge' of vsezoo-hinges")
    assert error.problem.endswith("here this name refers to the one of vsezoo.")
    assert error.remedy == "It was written with the distribution vsezoo-hinges 0.2: pip install vsezoo-hinges"


def test_the_part_of_the_distribution_that_the_checkpoint_names_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = registry.Entry("losses", "hinge", "vsezoo.losses:HingeLoss", "Vsezoo_Hinges", "0.3", 1)
    own = registry.list_distributions()
    theirs = own[0]._replace(name="Vsezoo_Hinges", version="0.3", entries=(rival,))
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, theirs])
    origin = {"name": "hinge", "distribution": "vsezoo-hinges", "version": "0.2"}
    change_config(folder, set_value("plugins", "loss", to=origin))
    with pytest.warns(VsezooWarning, match=r"was written with Vsezoo_Hinges 0.2; 0.3 is installed") as caught:
        assert load(folder).recipe.loss.name == "vsezoo-hinges:hinge"
    assert len(caught) == 1
    change_config(folder, set_value("plugins", "loss", to={**origin, "distribution": "vsezoo"}))
    assert load(folder).recipe.loss.name == "hinge"


def install_hinges(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Have a distribution with a loss `square`."""
    entry = registry.Entry("losses", "square", "vsezoo.losses:HingeLoss", "vsezoo-hinges", version, 1)
    own = [found for found in registry.list_distributions() if found.name != "vsezoo-hinges"]
    theirs = own[0]._replace(name="vsezoo-hinges", version=version, entries=(entry,))
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, theirs])


def test_another_version_of_a_plugin_is_a_warning_and_a_later_api_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_hinges(monkeypatch, "0.3")
    origin = {"name": "square", "distribution": "vsezoo-hinges", "version": "0.2", "api_version": 1}
    change_config(folder, set_value("recipe", "loss", "name", to="square"))
    change_config(folder, set_value("plugins", "loss", to=origin))
    with pytest.warns(VsezooWarning, match=r"config.json: was written with vsezoo-hinges 0.2; 0.3 is installed"):
        assert load(folder).recipe.loss.name == "square"
    change_config(folder, set_value("plugins", "loss", to={**origin, "version": "0.3"}))
    assert load(folder).recipe.loss.name == "square"  # warnings are errors
    change_config(folder, set_value("plugins", "loss", to={**origin, "api_version": 7}))
    error = expect_error(folder, "config.json", "was written with vsezoo-hinges 0.2 for version 7 of the plugin API")
    assert error.remedy == "Upgrade vsezoo: pip install --upgrade vsezoo"


def test_caches_depend_on_all_that_computes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    for version in ("1", "2"):
        install_hinges(monkeypatch, version)
        change_config(folder, set_value("recipe", "loss", "name", to="square"))
        change_config(folder, set_value("plugins", "loss", to={}))
        computed.append(Checkpoint.open(folder).describe_computation("picture"))
    assert [text.count("vsezoo-hinges 1") for text in computed] == [1, 0]
    names = {"vsezoo", "torch", "numpy", "torchvision", "timm", "Pillow", "transformers"}
    assert names <= set(LIBRARIES["picture"])
    assert names <= {word for text in computed for word in text.split()}
    assert "Pillow" not in Checkpoint.open(folder).describe_computation("vector")


def test_a_name_that_two_distributions_register_means_that_of_the_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second plugin with a part of the same name does not make checkpoints of the first unreadable."""
    own = registry.list_distributions()
    rivals = [
        own[0]._replace(name=name, entries=(registry.Entry("losses", "twin", "vsezoo.losses:HingeLoss", name, "1"),))
        for name in ("first-zoo", "second-zoo")
    ]
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, *rivals])
    change_config(folder, set_value("recipe", "loss", "name", to="twin"))
    origin = {"name": "twin", "distribution": "second-zoo", "version": "1"}
    change_config(folder, set_value("plugins", "loss", to=origin))
    assert load(folder).recipe.loss.name == "second-zoo:twin"
    change_config(folder, set_value("plugins", "loss", to={**origin, "distribution": "third-zoo"}))
    error = expect_error(folder, "config.json", "names a part that is not clear here. The loss 'twin' is registered by")
    assert error.remedy == "It was written with the distribution third-zoo 1: pip install third-zoo"


@pytest.mark.parametrize(
    "origin",
    [
        {},
        None,
        5,
        "vsezoo-siglip",
        {"distribution": "vsezoo-siglip"},
        {"distribution": ["vsezoo-siglip"], "version": "1"},
        {"distribution": "x; rm -rf ~", "version": "1"},
        {"distribution": "--index-url=http://x", "version": "1"},
        {"distribution": "x\ny", "version": "1"},
        {"distribution": "x", "version": "1\npip install y"},
        {"distribution": "session", "version": ""},
        {"distribution": "vsezoo", "version": "9"},
    ],
)
def test_only_the_name_of_an_absent_distribution_becomes_a_command(folder: Path, origin: Any) -> None:
    change_config(folder, set_value("recipe", "loss", "name", to="hing"))
    change_config(folder, set_value("plugins", "loss", to=origin))
    error = expect_error(folder, "config.json", "There is no loss 'hing'")
    assert error.remedy.startswith("Did you mean 'hinge'? Known: ")


@pytest.fixture
def session_similarity() -> str:
    class Mine(CosineSimilarity):
        pass

    registry.register("similarities", "mine")(Mine)
    return "mine"


def test_a_part_of_this_session_loads_in_this_session_alone(tmp_path: Path, session_similarity: str) -> None:
    save_model(tmp_path / "best", make_model(similarity=session_similarity))
    load(tmp_path / "best")
    with registry.session(empty=True):
        message = "There is no similarity 'mine'"
        assert "pip install" not in str(expect_error(tmp_path / "best", "config.json", message))


# A part that an option of another part names


class Mean(PrecomputedImageEncoder):
    """A head of another distribution."""


@pytest.fixture
def headed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a checkpoint whose backbone has a head of the distribution vsezoo-heads."""
    entry = registry.Entry("image_encoders", "mean", f"{__name__}:Mean", "vsezoo-heads", "0.2", 1)
    own = registry.list_distributions()
    theirs = own[0]._replace(name="vsezoo-heads", version="0.2", entries=(entry,))
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, theirs])
    options = {"image_encoder": pictures.BACKBONE, "image_encoder__weights": "none", "image_encoder__head": "mean"}
    model = vsezoo.create_model("vsepp", settings=dotted(options))
    save_checkpoint(tmp_path / "best", model, pictures.PicturePairs(), {})
    monkeypatch.setattr(registry, "list_distributions", lambda: own)
    return tmp_path / "best"


def test_the_distribution_of_a_head_is_recorded(headed: Path) -> None:
    plugins = read_config(headed)["plugins"]
    origin = {"name": "mean", "distribution": "vsezoo-heads", "version": "0.2", "api_version": 1}
    assert plugins["image_encoder.head"] == origin
    assert {name: part["distribution"] for name, part in plugins.items() if "." not in name} == dict.fromkeys(
        ("image_encoder", "text_encoder", "similarity", "loss"), "vsezoo"
    )
    card = (headed / "README.md").read_text(encoding="utf-8")
    assert "pip install 'vsezoo-heads>=0.2'" in card


@pytest.mark.slow
def test_a_head_that_is_not_installed(headed: Path) -> None:
    error = expect_error(headed, "config.json", "needs a missing part. There is no image encoder 'mean'")
    assert error.remedy == "It was written with the distribution vsezoo-heads 0.2: pip install vsezoo-heads"


@pytest.mark.slow
def test_a_head_that_another_distribution_has_under_the_same_name(
    headed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registry.list_distributions()
    mine, rival = (
        registry.Entry("image_encoders", "precomp", f"{__name__}:Mean", name, "0.2", 1)
        for name in ("a", "vsezoo-heads")
    )
    change_config(headed, set_value("recipe", "image_encoder", "options", "head", to="precomp"))
    error = expect_error(headed, "config.json", "was written with the image encoder 'precomp' of vsezoo-heads")
    assert "here this name refers to the one of vsezoo" in error.problem
    both = [own[0]._replace(name=entry.distribution, version="1", entries=(entry,)) for entry in (mine, rival)]
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, *both])
    model = load(headed)
    assert model.recipe.image_encoder.options["head"] == "vsezoo-heads:precomp"
    assert type(model.image_encoder.head).__name__ == "Mean"


@pytest.mark.slow
def test_an_old_checkpoint_and_one_of_a_stranger(headed: Path) -> None:
    change_config(headed, set_value("recipe", "image_encoder", "options", "head", to="precomp"))
    change_config(headed, lambda config: config["plugins"].pop("image_encoder.head"))
    assert load(headed).recipe.image_encoder.options["head"] == "precomp"
    for option in ("crops", "no such option", "a.b"):
        change_config(headed, set_value("plugins", f"image_encoder.{option}", to={"distribution": "x", "version": "1"}))
    load(headed)

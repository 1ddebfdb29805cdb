"""Encoders whose checkpoints leave weights out: with the mixin, and as plugins defined them before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import CheckpointError
from vsezoo.pretrained.external import ExternalWeights, find_external, make_portable


class Members:
    """Weights that are all of one number, which a file has; the members as they were before the mixin."""

    external = "fc."

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**options, "init": "xavier_normal"}

    def load_pretrained(self) -> None:
        for parameter in self.fc.parameters():  # type: ignore[attr-defined]
            nn.init.constant_(parameter, 0.25)

    def leaves_out_external(self) -> bool:
        return True

    def describe(self) -> dict[str, Any]:
        return {"number": 0.25}

    def list_folders(self) -> list[Path]:
        return [Path("numbers")]

    def restore_external(self, described: Mapping[str, Any], folders: Sequence[Path]) -> None:
        assert Path("numbers").absolute() in folders
        if described != {"number": 0.25}:
            raise CheckpointError("is another number.")
        self.load_pretrained()


class Unmixed(Members, PrecomputedImageEncoder):
    """Without the mixin, as encoders of plugins are."""


class Mixed(Members, ExternalWeights, PrecomputedImageEncoder):
    """With the mixin, and the earlier name of its method in a base."""

    skips_external_weights = Members.leaves_out_external


@pytest.mark.parametrize("encoder", [Unmixed, Mixed])
def test_weights_that_are_left_out_are_read_again(encoder: Any, tmp_path: Path) -> None:
    registry.register("image_encoders", "numbers")(encoder)
    model = tiny.save_model(tmp_path / "run", tiny.make_model(image_encoder="numbers"))
    config = Checkpoint.open(tmp_path / "run").config
    assert config["left_out"] == ["image_encoder"]
    assert config["encoders"] == {"image_encoder": {"number": 0.25}}
    assert config["recipe"]["image_encoder"]["options"]["init"] == "xavier_normal"
    again = vsezoo.load(tmp_path / "run")
    assert torch.equal(again.image_encoder.fc.weight, model.image_encoder.fc.weight)
    assert again.image_encoder.fc.weight.unique().tolist() == [0.25]


def test_an_encoder_without_such_weights_has_none() -> None:
    encoder = tiny.make_model().image_encoder
    assert find_external(encoder) is None
    assert make_portable(type(encoder), {"a": 1}) == {"a": 1}


def test_either_name_of_the_method_means_the_other() -> None:
    class First(ExternalWeights):
        def skips_external_weights(self) -> bool:
            return True

    class Second(First):  # of a plugin that was written before
        def leaves_out_external(self) -> bool:
            return not super().leaves_out_external()  # type: ignore[misc]

    class Third(Second):
        pass

    assert First().leaves_out_external()  # type: ignore[attr-defined]
    assert not Second().skips_external_weights()
    assert not Third().skips_external_weights()


def test_one_member_alone_is_enough(tmp_path: Path) -> None:
    class Described(PrecomputedImageEncoder):
        def describe(self) -> dict[str, Any]:
            return {"made": "here"}

    registry.register("image_encoders", "described")(Described)
    tiny.save_model(tmp_path / "run", tiny.make_model(image_encoder="described"))
    config = Checkpoint.open(tmp_path / "run").config
    assert config["encoders"] == {"image_encoder": {"made": "here"}}
    assert "left_out" not in config
    vsezoo.load(tmp_path / "run")

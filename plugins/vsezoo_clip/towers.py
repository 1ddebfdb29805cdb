"""One tower of a dual encoder of transformers: the network, its pooling and its projection, without the other tower.

Its tensors have the names that they have in the file of the dual encoder, so that they are read from and written to it
as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.errors import CheckpointError, RecipeError, first_line, list_names
from vsezoo.interfaces import Weights
from vsezoo.storage.tensors import require_finite, require_same
from vsezoo_clip.configurations import clean_config, make_config, read_config
from vsezoo_clip.families import BUFFERS, Family, Side, find_outer
from vsezoo_clip.frozen import PretrainedTower
from vsezoo_clip.library import quiet, require_config
from vsezoo_clip.text_network import TextNetwork

WRAPPED = ("vision_model.vision_model.", "text_model.text_model.")
"""What the towers of a VisionTextDualEncoder were called before transformers 5."""


class LibraryTower(PretrainedTower):
    """A tower whose tensors have the names that they have in the file of a dual encoder of transformers.

    Attributes:
        family: of the dual encoder.
        prefixes: of the names of the tensors.
    """

    family: Family
    prefixes: tuple[str, ...]

    def keep_matching(self, side: Side, width: int) -> None:
        """Have a place for the classifier of matching pairs, which is not trained.

        Args:
            side: names it.
            width: of what it reads.
        """
        kept = nn.Module()
        kept.register_buffer("weight", torch.zeros(2, width))
        kept.register_buffer("bias", torch.zeros(2))
        self.add_module(side.matching, kept)
        self.prefixes = (*self.prefixes, f"{side.matching}.")

    def load(self, weights: Weights) -> None:
        """Take the tensors of this tower from the file of the dual encoder, in float32.

        Raises:
            CheckpointError: for tensors that are missing, unknown or of another shape.
        """
        outer = find_outer(weights, self.family.image.module)
        found = {
            f"{prefix}{rest}": tensor
            for prefix in self.prefixes
            for rest, tensor in weights.tensors(f"{outer}{prefix}").items()
            if self.needs(f"{prefix}{rest}")
        }
        expected = self.state_dict()
        for wrapped in WRAPPED:
            if not any(name.startswith(wrapped) for name in expected):
                found = {_unwrap(name, wrapped): tensor for name, tensor in found.items()}
        if found.keys() != expected.keys():
            found = _convert(self, found, weights)
        require_same(found, expected, weights.folder)
        kept = getattr(weights, "may_keep", False)
        tensors = {name: tensor.float() for name, tensor in found.items()}
        if not kept:  # else they were looked at before, and are not read until they are needed
            require_finite(tensors, weights.folder)
        self.load_state_dict(tensors, assign=kept)

    def needs(self, name: str) -> bool:
        """Return whether a tensor with one of the prefixes belongs to this tower."""
        return not name.endswith(BUFFERS) and not name.startswith(self.family.ignored)


def has_matching(family: Family, weights: Weights) -> bool:
    """Return whether weights have a classifier of matching pairs."""
    return bool(family.text.matching and weights.tensors(f"{family.text.matching}."))


class Tower(LibraryTower):
    """Maps the input of a network to vectors `(B, D)`, not scaled.

    Args:
        family: of the dual encoder.
        side: the tower.
        config: of the network, as JSON values.
        width: D, the width of the joint embedding.
        matching: whether the classifier of matching pairs is kept.

    Raises:
        RecipeError: for a network without what its family pools.
    """

    def __init__(
        self, family: Family, side: Side, config: Mapping[str, Any], width: int, matching: bool = False
    ) -> None:
        super().__init__()
        self.family, self.side = family, side
        self.prefixes = tuple(f"{name}." for name in (side.module, side.projection) if name)
        require_config(config)
        if config.get("vision_use_head") is False:
            raise RecipeError(f"{family.title} without its pooling head (vision_use_head) has no image embeddings.")
        self.add_module(side.module, build_network(side, config))
        pooled: int = config.get("projection_size") or (_measure_states(side, config) if side.width else width)
        if side.projection:
            self.add_module(side.projection, nn.Linear(pooled, width, bias=side.bias))
        elif pooled != width:
            raise RecipeError(
                f"{family.title} has no projection of {side.module}, so its width, {pooled}, must be that of the joint "
                f"embedding, {width}."
            )
        if matching:
            self.keep_matching(side, pooled)

    @property
    def network(self) -> nn.Module:
        """The network."""
        network: nn.Module = getattr(self, self.side.module)
        return network

    def forward(self, **inputs: Tensor | None) -> Tensor:
        """Return the vectors of a batch, as `get_image_features` and `get_text_features` of transformers do.

        Args:
            **inputs: of the network: `pixel_values`, or `input_ids` and `attention_mask`.
        """
        output = self.network(**inputs, return_dict=True)
        if self.side.pooling == "first":
            pooled = output.last_hidden_state[:, 0]
        else:
            pooled = getattr(output, "pooler_output", None)
        if pooled is None or pooled.ndim != 2:
            raise RecipeError(f"the network of {self.side.module} pools no vector, so it gives no embeddings.")
        projected: Tensor = getattr(self, self.side.projection)(pooled) if self.side.projection else pooled
        return projected

    def load(self, weights: Weights) -> None:
        """Take the tensors of this tower from the file of the dual encoder; see `LibraryTower.load`."""
        super().load(weights)
        kept = getattr(weights, "may_keep", False)
        if kept and isinstance(self.network, TextNetwork):  # a search needs the memory of one block at a time
            self.network.release_after_blocks(weights.release)  # type: ignore[attr-defined] # of OpenedWeights


def build_network(side: Side, config: Mapping[str, Any]) -> nn.Module:
    """Return a network with random weights in float32.

    Raises:
        RecipeError: for a configuration that cannot be one.
    """
    if TextNetwork.knows(config):
        return TextNetwork(config)
    parsed = read_config(config)
    try:
        with quiet():
            if not side.network:
                from transformers import AutoModel

                # Nothing of the configuration may choose a kernel: transformers would fetch it from the Hub.
                made: nn.Module = AutoModel.from_config(parsed, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-untyped-call]
                return made
            module, _, name = side.network.partition(":")
            made = getattr(importlib.import_module(f"transformers.models.{module}"), name)(parsed, **side.arguments)
            return made.float()
    except Exception as error:  # transformers raises what it likes
        raise RecipeError(f"transformers cannot make the network of {side.config}: {first_line(error)}.") from error


def _measure_states(side: Side, config: Mapping[str, Any]) -> int:
    """Return the width of what is pooled, which some configurations have under another name."""
    found: int = config[side.width] if side.width in config else getattr(read_config(config), side.width)
    return found


def _convert(tower: LibraryTower, found: Mapping[str, Tensor], weights: Weights) -> dict[str, Tensor]:
    """Have transformers give the tensors of a tower their present names, which change between its versions."""
    import transformers

    try:
        with quiet():
            dual, report = getattr(transformers, tower.family.architecture).from_pretrained(
                None,
                config=make_config(clean_config(weights.config())),
                state_dict={name: tensor.clone() for name, tensor in found.items()},
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are in the report
            )
    except Exception as error:  # transformers raises what it likes
        raise CheckpointError(f"has tensors that cannot be read: {first_line(error)}.", file=weights.folder) from error
    kinds = {"missing_keys": "lacks the tensors", "unexpected_keys": "has the unknown tensors"}
    for key, words in {
        **kinds,
        "mismatched_keys": "does not have the shapes of its config.json in the tensors",
    }.items():
        names = (name if isinstance(name, str) else name[0] for name in report[key])
        if wrong := sorted(name for name in names if name.startswith(tower.prefixes) and tower.needs(name)):
            raise CheckpointError(
                f"{words} {list_names(wrong, 3)}.", file=weights.folder, remedy="Get all files of the model again."
            )
    return {
        name: tensor
        for name, tensor in dual.state_dict().items()
        if name.startswith(tower.prefixes) and tower.needs(name)
    }


def _unwrap(name: str, wrapped: str) -> str:
    return wrapped.partition(".")[2] + name.removeprefix(wrapped) if name.startswith(wrapped) else name

"""The configurations of dual encoders of transformers: what of a `config.json` is a fact about the model."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vsezoo.errors import CheckpointError, RecipeError, first_line
from vsezoo_clip.families import KNOWN
from vsezoo_clip.library import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

UNTRUSTED = (
    "attn_implementation",
    "auto_map",
    "dtype",
    "experts_implementation",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
)
"""Entries of a configuration that are not facts about the model: some would fetch kernels or code."""


def read_config(config: Mapping[str, Any]) -> PreTrainedConfig:
    """Return the configuration of a network from its JSON values.

    Raises:
        RecipeError: for values that cannot be one.
    """
    try:
        parsed: PreTrainedConfig = make_config(config)
        return parsed
    except Exception as error:  # transformers raises what it likes
        raise RecipeError(f"its configuration cannot be read: {first_line(error)}.") from error


def make_config(config: Mapping[str, Any]) -> Any:
    """Return a configuration of transformers, without its warnings of ids that SigLIP and others do not use."""
    from transformers import AutoConfig

    with quiet():
        return AutoConfig.for_model(**config)


def describe_networks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the configurations of both networks of a dual encoder, complete, by "image" and "text".

    Args:
        config: the `config.json` of the dual encoder.

    Raises:
        CheckpointError: for values that cannot be a configuration.
    """
    try:
        described: dict[str, dict[str, Any]] = json.loads(_describe(json.dumps(config)))["networks"]
        return described
    except Exception as error:
        raise CheckpointError(f"has a config.json that cannot be read: {first_line(error)}.") from error


def measure_width(config: Mapping[str, Any]) -> int:
    """Return the width of the joint embedding of a dual encoder.

    Args:
        config: its `config.json`.
    """
    width: int = json.loads(_describe(json.dumps(config)))["width"]
    return width


@functools.lru_cache(maxsize=8)  # each part of a model asks several times, and transformers takes milliseconds
def _describe(config: str) -> str:
    """Return the networks and the width of a dual encoder, from and as JSON."""
    content = json.loads(config)
    family = KNOWN[content["model_type"]]
    dual = make_config(clean_config(content))
    networks = {side: getattr(dual, family.side(side).config) for side in ("image", "text")}
    described = {
        side: clean_config(json.loads(network.to_json_string(use_diff=False))) for side, network in networks.items()
    }
    width = getattr(dual, family.width) if family.width else dual.vision_config.hidden_size
    return json.dumps({"networks": described, "width": width})


def clean_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration, and those in it, without what is not a fact about the model."""
    return {
        name: clean_config(value) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if name not in UNTRUSTED and not name.startswith("_")
    }

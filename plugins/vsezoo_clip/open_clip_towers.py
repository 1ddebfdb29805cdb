"""One tower of a dual encoder of open_clip: its networks, as `open_clip_config.json` describes them, from safetensors.

The library is an extra, and builds the networks. Its own loading is not used: that falls back to pickles, and returns
random weights for a folder without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from vsezoo.errors import CheckpointError, HubError, RecipeError, first_line, require_package
from vsezoo.hub.reference import HubReference, is_repository
from vsezoo.interfaces import Weights
from vsezoo.pretrained.weights import read_small_json
from vsezoo.storage.checkpoint_layout import CONFIG, OPEN_CLIP, write_json
from vsezoo.storage.tensors import require_finite, require_same
from vsezoo_clip.configurations import clean_config
from vsezoo_clip.families import BUFFERS, find_outer
from vsezoo_clip.frozen import PretrainedTower
from vsezoo_clip.library import require_config

IMAGE, TEXT = "visual.", "text."
SCALARS = ("logit_scale", "logit_bias")
EARLIER = ("input_resolution", "context_length", "vocab_size", "attn_mask")
"""What OpenAI's files have in addition to the tensors of the networks."""
NAME, TEXT_NETWORK = "hf_model_name", "hf_model_config"
"""What open_clip calls the name of a text tower of transformers, and what is its configuration here."""
NOT_NEEDED = ("timm_model_pretrained", "hf_model_pretrained", "output_tokens")
"""What would download weights, and what would return more than one vector, for captions to be written from."""
VOCABULARY = 49408
"""Word embeddings, if the configuration does not say."""
CONTEXT = 77
"""Ids of a caption where the configuration does not say."""


def read_settings(weights: Weights) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the entries `model_cfg` and `preprocess_cfg` of the configuration; None: the weights are not of open_clip.

    Raises:
        CheckpointError: for a configuration without a model.
    """
    path = weights.folder / OPEN_CLIP
    if not path.is_file() or not weights.tensors(find_outer(weights, "visual") + IMAGE):
        return None
    found = read_small_json(path)
    model, pictures = found.get("model_cfg"), found.get("preprocess_cfg", {})
    sides = ("vision_cfg", "text_cfg")
    if (
        not isinstance(model, Mapping)
        or not isinstance(pictures, Mapping)
        or not all(isinstance(model.get(side), Mapping) for side in sides)
        or not isinstance(model.get("embed_dim"), int)
    ):
        raise CheckpointError("does not describe a model (model_cfg).", file=path, remedy="Get the file again.")
    return dict(model), dict(pictures)


def read_text_network(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return `model_cfg` with the configuration of a text tower of transformers, of which open_clip has but the name.

    Args:
        config: `model_cfg`.
        folder: that of the weights.

    Raises:
        CheckpointError: if there is none of this name, or it asks for code of its own.
        HubError: if it cannot be downloaded; nothing else is.
    """
    name = config["text_cfg"].get(NAME)
    if name is None:
        return dict(config)
    found = read_small_json(_find_config(str(name), folder))
    if "auto_map" in found:
        problem = f"its text tower, {name!r}, asks for code of its own (auto_map), which is never executed."
        raise CheckpointError(problem, file=folder, remedy="Choose another model of open_clip.")
    return {**config, "text_cfg": {**config["text_cfg"], TEXT_NETWORK: clean_config(found)}}


def _find_config(name: str, folder: Path) -> Path:
    if Path(name).is_dir():
        return Path(name) / CONFIG
    if not is_repository(name if "/" in name else f"any/{name}"):  # the first repositories have no owner
        problem = f"names its text tower {name!r}, which is neither a folder nor a repository."
        raise CheckpointError(problem, file=folder, remedy="Get the file open_clip_config.json again.")
    from vsezoo.hub.download import fetch_config  # imports the Hub's client

    try:
        return fetch_config(HubReference(name))
    except (CheckpointError, HubError) as error:
        problem = f"needs the {CONFIG} of its text tower, {name}, which cannot be had: {error.problem}"
        raise type(error)(problem, file=folder, remedy=error.remedy) from error


def refuse_unsupported(config: Mapping[str, Any], folder: Path) -> None:
    """Raise CheckpointError for a model that needs more than its two networks of open_clip."""
    reason = ""
    if "multimodal_cfg" in config:
        reason = "it writes captions (CoCa), which is not supported"
    elif config["text_cfg"].get("tokenizer_mode"):
        reason = f"its captions are cut in the mode {config['text_cfg']['tokenizer_mode']!r}, which is not supported"
    if reason:
        raise CheckpointError(f"cannot be used: {reason}.", file=folder, remedy="Choose another model of open_clip.")


class OpenClipTower(PretrainedTower):
    """Maps pictures or ids to vectors `(B, D)`, not scaled.

    Args:
        config: `model_cfg` of the configuration.
        side: "image" or "text".

    Raises:
        RecipeError: for a configuration of which open_clip cannot make a model.
        MissingPackageError: if open_clip is not installed.
    """

    def __init__(self, config: Mapping[str, Any], side: str) -> None:
        super().__init__()
        require_config(config)
        library = require_package("open_clip", "a model of open_clip")
        text = dict(config["text_cfg"])
        network = text.pop(TEXT_NETWORK, None)
        self.side, self.custom = side, bool(config.get("custom_text") or network)
        known = {name: value for name, value in config.items() if name not in ("custom_text", "cast_dtype")}
        for part, settings in (("vision_cfg", config["vision_cfg"]), ("text_cfg", text)):
            known[part] = {**settings, **{name: False for name in NOT_NEEDED if name in settings}}
        try:
            with TemporaryDirectory() as folder:
                if network:  # open_clip reads it from a folder, or from the Hub
                    write_json(Path(folder) / CONFIG, network)
                    known["text_cfg"] |= {NAME: folder, "hf_model_pretrained": False}
                model = (library.CustomTextCLIP if self.custom else library.CLIP)(**known)
        except Exception as error:  # open_clip, timm and transformers raise what they like
            raise RecipeError(f"open_clip cannot make the model of this configuration: {first_line(error)}.") from error
        self.prefix = IMAGE if side == "image" else TEXT if self.custom else ""
        self.network: nn.Module
        if side == "image":
            self.network = model.visual
        elif self.custom:
            self.network = model.text
        else:
            del model.visual, model.logit_scale, model.logit_bias
            self.network = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the vectors of pixels `(B, 3, S, S)`, or of ids of the full context `(B, L)`."""
        if self.side == "text" and not self.custom:
            inner: Any = self.network.encode_text
            vectors: Tensor = inner(inputs)
        else:
            vectors = self.network(inputs)
        return vectors

    def load(self, weights: Weights) -> None:
        """Take the tensors of this tower from the file of the dual encoder, in float32.

        Raises:
            CheckpointError: for tensors that are missing, unknown or of another shape.
        """
        outer = find_outer(weights, "visual")
        found: Mapping[str, Tensor] = weights.tensors(outer + self.prefix)
        if not self.prefix or not found:  # a text tower without a name of its own, as in OpenAI's layout
            others = (IMAGE, *SCALARS, *EARLIER)
            found = {name: tensor for name, tensor in weights.tensors(outer).items() if not name.startswith(others)}
        found = {name: tensor for name, tensor in found.items() if not name.endswith(BUFFERS)}
        inner = "network."
        expected = {name.removeprefix(inner): tensor for name, tensor in self.state_dict().items()}
        require_same(found, expected, weights.folder)
        tensors = {f"{inner}{name}": tensor.float() for name, tensor in found.items()}
        require_finite(tensors, weights.folder)
        self.load_state_dict(tensors)

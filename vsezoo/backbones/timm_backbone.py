"""Backbones of timm: all of its image models, including ViTs, and `local-dir:` and `hf-hub:` models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import snapshot_download
from timm.data.config import resolve_model_data_config
from torch import Tensor

from vsezoo.backbones.backbone import Backbone
from vsezoo.backbones.options import GRID, BackboneOptions
from vsezoo.backbones.transform import PictureForm
from vsezoo.errors import CheckpointError, RecipeError, VsezooError, first_line, suggest_name


class TimmBackbone(Backbone):
    """A model of timm without its classifier; a grid is the output of `forward_features` without class tokens.

    Args:
        model: its name in timm, with or without a tag, or `local-dir:FOLDER`, or `hf-hub:ORG/NAME`.
        options: the chosen options.

    Raises:
        RecipeError: for an unknown name, or a model without such features.
        CheckpointError: for a `local-dir:` or `hf-hub:` model that cannot be found.
    """

    network: Any

    def __init__(self, model: str, options: BackboneOptions) -> None:
        self.model = model
        arguments = dict(options.model_args or {})
        network = _create(model, arguments)
        if options.image_size and network.pretrained_cfg.get("fixed_input_size") and "img_size" not in arguments:
            arguments["img_size"] = options.image_size  # a transformer has an embedding for each position
            network = _create(model, arguments)
        self._arguments = arguments
        data: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        form = PictureForm(
            image_size=data["input_size"][-1],
            crop_size=data["input_size"][-1],
            crop_pct=data["crop_pct"],
            crop_mode=data["crop_mode"],
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            interpolation=data["interpolation"],
        )
        classifier = network.pretrained_cfg.get("classifier") or ()
        left_out = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        pooled: int = getattr(network, "head_hidden_size", None) or network.num_features
        width = network.num_features if options.features == GRID else pooled
        super().__init__(f"timm:{model}", options, network, width, left_out, form)
        self.origin = network.pretrained_cfg.get("hf_hub_id") or network.pretrained_cfg.get("url") or ""

    def extract(self, pictures: Tensor) -> Tensor:
        """Return features `(B, F)`, or the last feature map `(B, F, rows, columns)`."""
        if self.options.features != GRID:
            pooled: Tensor = self.network(pictures)
            return pooled
        features: Tensor = self.network.forward_features(pictures)
        if features.dim() == 4:
            channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
            return features.movedim(-1, 1) if channels_last else features
        if features.dim() != 3:
            raise RecipeError(f"{self.name} has no grid of features.", remedy="Use its pooled features.")
        tokens = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
        return tokens.transpose(1, 2)[..., None]

    def fetch(self) -> Mapping[str, Tensor]:
        """Return timm's weights of the model."""
        return _create(self.model, {**self._arguments, "pretrained": True}).state_dict()  # type: ignore[no-any-return]


def _create(model: str, arguments: Mapping[str, Any]) -> Any:
    """Build a model, also from the Hub; its files are downloaded here, because timm retries for long when offline."""
    source, _, place = model.partition(":")
    overlay: dict[str, Any] = {}
    with explain_failures(model):
        if source == "hf-hub":
            model = f"local-dir:{_fetch_folder(place, ('config.json', '*.safetensors'))}"
        elif not place:
            _require_known(model)
            known = timm.get_pretrained_cfg(model)
            if arguments.get("pretrained") and known is not None and known.hf_hub_id:
                name = Path(known.hf_hub_filename or "model").with_suffix(".safetensors").name
                folder = _fetch_folder(known.hf_hub_id, (name,))
                overlay = {"pretrained_cfg_overlay": {"file": str(folder / name), "custom_load": False}}
        return timm.create_model(model, num_classes=0, **overlay, **arguments)


def _fetch_folder(repository: str, patterns: Sequence[str]) -> Path:
    """Return a folder with the matching files of a repository of the Hub; never pickles."""
    name, _, revision = repository.partition("@")
    return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(patterns)))


def _require_known(model: str) -> None:
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        raise RecipeError(
            f"timm has no model {name!r}.",
            remedy=suggest_name(name, timm.list_models(), "timm.list_models() lists all."),
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        listing = f"It has {', '.join(tags)}." if tags else "It has none."
        raise RecipeError(f"timm has no weights {tag!r} of {name!r}.", remedy=suggest_name(tag, tags, listing))


@contextmanager
def explain_failures(model: str) -> Iterator[None]:
    """Turn exceptions of timm into one message."""
    try:
        yield
    except VsezooError:
        raise
    except (OSError, HTTPException) as error:  # errors of the Hub's client and of urllib are subclasses
        raise CheckpointError(
            f"timm:{model} cannot be downloaded: {first_line(error)}.",
            remedy="Connect to the network, or give the weights as a file: --image-weights FILE.safetensors "
            "(image_encoder.weights).",
        ) from error
    except (AttributeError, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RecipeError(
            f"timm:{model} cannot be built: {first_line(error)}.",
            remedy="Check its name and model_args, which are passed to timm's constructor, or give weights as a file.",
        ) from error

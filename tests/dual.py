"""A plugin of two towers that share the pretrained weights of a CLIP, and such weights; no tests in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tiny_bert
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.interfaces import ImageEncoder, Loss, LossOutput, Similarity, TextEncoder, Tokenizer, Tokens, Weights
from vsezoo.pretrained.external import ExternalWeights
from vsezoo.recipe import Part, Recipe, TrainingSettings
from vsezoo.registry import register

RECIPE = Recipe(
    "tiny-dual",
    "Both towers of one CLIP.",
    Part("dual-image"),
    Part("dual-text"),
    Part("dual-cosine"),
    Part("dual-loss"),
    embed_size=None,
    training=TrainingSettings(num_epochs=1, batch_size=8, learning_rate=1e-3, val_step=0),
)


class DualImage(ExternalWeights, ImageEncoder):
    """The vision tower, its projection, and a bias that is trained."""

    kinds = ("picture",)
    gives = "vectors"
    external = "tower."

    def __init__(
        self,
        *,
        embed_size: int,
        vision: Mapping[str, Any] | None = None,
        width: int = 0,
        finetune: bool = False,
        store_weights: bool = False,
    ) -> None:
        super().__init__()
        config = CLIPVisionConfig(**{**(vision or {}), "projection_dim": width or embed_size})
        self.tower = CLIPVisionModelWithProjection(config).requires_grad_(finetune)
        self.bias = nn.Parameter(torch.zeros(embed_size))
        self.finetune, self.store_weights = finetune, store_weights
        self.size = config.image_size

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        return options.get("width") or None

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        config = weights.config()
        return {"vision": dict(config["vision_config"]), "width": config["projection_dim"], **options}

    def load_pretrained(self, weights: Weights | None = None) -> None:
        if weights is not None:
            own = {f"vision_model.{name}": tensor for name, tensor in weights.tensors("vision_model.").items()}
            own |= {f"visual_projection.{name}": t for name, t in weights.tensors("visual_projection.").items()}
            self.tower.load_state_dict(own)

    def skips_external_weights(self) -> bool:
        return not self.finetune and not self.store_weights

    def train(self, mode: bool = True) -> DualImage:
        super().train(mode)
        self.tower.train(mode and self.finetune)
        return self

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        side = self.size
        processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        return lambda pictures: processor(pictures, return_tensors="pt")["pixel_values"]

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.tower(pixel_values=images).image_embeds + self.bias, dim=-1)


class DualText(ExternalWeights, TextEncoder):
    """The text tower and its projection."""

    external = "tower."

    def __init__(
        self, *, embed_size: int, tokenizer: TransformerTokenizer, width: int = 0, finetune: bool = False
    ) -> None:
        super().__init__()
        self.tokenizer: Tokenizer = tokenizer
        config = CLIPTextConfig(**{**tokenizer.values, "projection_dim": embed_size})
        self.tower = CLIPTextModelWithProjection(config).requires_grad_(finetune)
        self.finetune = finetune

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        return options.get("width") or None

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        return {"width": weights.config()["projection_dim"], **options}

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> Tokenizer:
        raise AssertionError("the pretrained weights have the tokenizer")

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> TransformerTokenizer:
        return TransformerTokenizer.from_pretrained(str(weights.folder))

    @classmethod
    def read_tokenizer(cls, folder: Path) -> TransformerTokenizer:
        return TransformerTokenizer.from_files(folder)

    def load_pretrained(self, weights: Weights | None = None) -> None:
        if weights is not None:
            own = {f"text_model.{name}": tensor for name, tensor in weights.tensors("text_model.").items()}
            own |= {f"text_projection.{name}": t for name, t in weights.tensors("text_projection.").items()}
            self.tower.load_state_dict(own)

    def skips_external_weights(self) -> bool:
        return not self.finetune

    def train(self, mode: bool = True) -> DualText:
        super().train(mode)
        self.tower.train(mode and self.finetune)
        return self

    def forward(self, tokens: Tokens) -> Tensor:
        return functional.normalize(self.tower(input_ids=tokens.ids).text_embeds, dim=-1)


class DualCosine(Similarity):
    """The cosine times the scale of the pretrained weights."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def load_pretrained(self, weights: Weights | None = None) -> None:
        if weights is not None:
            self.log_scale.data = weights.tensors()["logit_scale"].clone()

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return self.log_scale.exp() * images @ texts.T


class DualLoss(Loss):
    """Cross-entropy in one direction, with a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def load_pretrained(self, weights: Weights | None = None) -> None:
        if weights is not None:
            self.log_scale.data = weights.tensors("logit_scale")[""].clone()

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Any) -> LossOutput:
        matches = torch.arange(len(scores), device=scores.device)
        return LossOutput(functional.cross_entropy(scores + 0 * self.log_scale, matches, reduction="sum"))


class DualImporter(Importer):
    """A folder that `CLIPModel.save_pretrained` wrote."""

    name, summary = "tiny-dual", "A CLIP of transformers."

    def recognise(self, source: Source) -> bool:
        return source.format == "folder" and source.config().get("model_type") == "clip"

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        config, width = source.config(), source.config()["projection_dim"]
        sizes = {"image_encoder.vision": config["vision_config"], "image_encoder.width": width}
        tensors = {"image_encoder.bias": torch.zeros(width), "similarity.log_scale": source.tensors()["logit_scale"]}
        for side, prefixes in (("image", ("vision_model.", "visual_projection.")), ("text", ("text_",))):
            for prefix in prefixes:
                held = source.tensors(prefix).items()
                tensors |= {f"{side}_encoder.tower.{prefix}{name}": tensor for name, tensor in held}
        return Imported(
            RECIPE.replace({**sizes, "text_encoder.width": width}),
            TransformerTokenizer.from_pretrained(str(source.path)),
            tensors,
            loss_tensors={"log_scale": source.tensors()["logit_scale"]},
        )


def register_dual() -> None:
    """Make the plugin known to this process, for a session."""
    register("models", RECIPE.name)(RECIPE)
    register("image_encoders", "dual-image")(DualImage)
    register("text_encoders", "dual-text")(DualText)
    register("similarities", "dual-cosine")(DualCosine)
    register("losses", "dual-loss")(DualLoss)
    register("importers", "tiny-dual")(DualImporter)


def write_dual(folder: Path, seed: int = 7, **options: Any) -> CLIPModel:
    """Write a CLIP with a tokenizer as transformers does, and return it.

    Args:
        folder: where.
        seed: of the weights.
        options: of `save_pretrained`.
    """
    torch.manual_seed(seed)
    marks = {"bos_token_id": tiny_bert.IDS["[CLS]"], "eos_token_id": tiny_bert.IDS["[SEP]"], "pad_token_id": 0}
    vision = {"hidden_size": 12, "intermediate_size": 16, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    config = CLIPConfig(
        text_config={**tiny_bert.SIZES, **marks, "projection_dim": 6},
        vision_config={**vision, "num_hidden_layers": 2, "projection_dim": 6},
        projection_dim=6,
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # what transformers draws is nearly nothing
    model.save_pretrained(folder, **options)
    tiny_bert.write_tokenizer(folder)
    return model

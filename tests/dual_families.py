"""Tiny dual encoders of every family as transformers writes them, and what transformers computes of them; no tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiny_bert
import torch
import transformers
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

IDS = tiny_bert.IDS
SIDE = 32
TEXT: dict[str, Any] = {
    "vocab_size": len(tiny_bert.PIECES),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 14,
    "pad_token_id": 0,
}
EOS = {"bos_token_id": IDS["[CLS]"], "eos_token_id": IDS["[SEP]"]}
VISION: dict[str, Any] = {
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": SIDE,
    "patch_size": 8,
}
SIGLIP_TEXT = {**TEXT, "hidden_size": 12, "max_position_embeddings": 64}
ALIGN_VISION: dict[str, Any] = {
    "image_size": SIDE,
    "in_channels": [32, 16],
    "out_channels": [16, 24],
    "kernel_sizes": [3, 3],
    "strides": [1, 2],
    "num_block_repeats": [1, 1],
    "expand_ratios": [1, 2],
    "depthwise_padding": [],
    "hidden_dim": 24,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "hidden_act": "gelu",
}

CENTRE = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "siglip": ("SiglipImageProcessor", SQUARE),
    "align": ("EfficientNetImageProcessor", {**SQUARE, "do_center_crop": False}),
    "chinese_clip": ("ChineseCLIPImageProcessor", CENTRE),
    "blip": ("BlipImageProcessor", SQUARE),
    "blip-2": ("BlipImageProcessor", SQUARE),
    "vision-text-dual-encoder": ("ViTImageProcessor", SQUARE),
}


def make(family: str, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **top: Any) -> Any:
    """Return a model of a family with random weights; parts of the configuration can be changed."""
    t, v = text or {}, vision or {}
    configs: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
        "clip": (transformers.CLIPConfig, transformers.CLIPModel, {**TEXT, **EOS}, VISION, {"projection_dim": 6}),
        "metaclip_2": (
            transformers.MetaClip2Config,
            transformers.MetaClip2Model,
            {**TEXT, **EOS},
            VISION,
            {"projection_dim": 10},
        ),
        "siglip": (transformers.SiglipConfig, transformers.SiglipModel, SIGLIP_TEXT, VISION, {}),
        "align": (transformers.AlignConfig, transformers.AlignModel, TEXT, ALIGN_VISION, {"projection_dim": 24}),
        "altclip": (
            transformers.AltCLIPConfig,
            transformers.AltCLIPModel,
            {**TEXT, "project_dim": 8, "max_position_embeddings": 20},
            VISION,
            {"projection_dim": 6},
        ),
        "chinese_clip": (
            transformers.ChineseCLIPConfig,
            transformers.ChineseCLIPModel,
            TEXT,
            VISION,
            {"projection_dim": 6},
        ),
        "blip": (
            transformers.BlipConfig,
            transformers.BlipForImageTextRetrieval,
            {**TEXT, "encoder_hidden_size": 12, **EOS},
            VISION,
            {"image_text_hidden_size": 6, "projection_dim": 5},
        ),
    }
    torch.manual_seed(7)
    if family == "vision-text-dual-encoder":
        config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
            transformers.ViTConfig(**{**VISION, **v}), transformers.BertConfig(**{**TEXT, **t}), projection_dim=6
        )
        model = transformers.VisionTextDualEncoderModel(config)
    else:
        make_config, make_model, of_text, of_vision, more = configs[family]
        config = make_config(text_config={**of_text, **t}, vision_config={**of_vision, **v}, **{**more, **top})
        model = make_model(config)
    with torch.no_grad():
        for parameter in model.parameters():  # what transformers draws is nearly nothing
            parameter.add_(0.2 * torch.randn_like(parameter))
    for name, value in (("temperature", 0.5), ("logit_scale", 1.2), ("logit_bias", -3.0)):
        if hasattr(model, name):
            getattr(model, name).data.fill_(value)
    return model.eval()


def make_blip2(**top: Any) -> Any:
    """Return a BLIP-2 for retrieval with random weights: five queries, three layers, cross-attention in two."""
    torch.manual_seed(8)
    language = {"model_type": "opt", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "ffn_dim": 8}
    language |= {"vocab_size": 8, "word_embed_proj_dim": 8, "max_position_embeddings": 8}
    config = transformers.Blip2Config(
        vision_config={**VISION, "hidden_size": 18},
        qformer_config={**TEXT, "num_hidden_layers": 3, "use_qformer_text_input": True},
        text_config=language,
        **{"num_query_tokens": 5, "image_text_hidden_size": 7, **top},
    )
    model = transformers.Blip2ForImageTextRetrieval(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def write(folder: Path, family: str, model: PreTrainedModel | None = None, **options: Any) -> Any:
    """Write the folder of a model, its tokenizer and its image processor, and return the model."""
    model = model or make(family)
    model.save_pretrained(folder, **options)
    tiny_bert.write_tokenizer(folder)
    name, settings = PROCESSORS.get(family, ("CLIPImageProcessor", CENTRE))
    getattr(transformers, name)(**settings).save_pretrained(folder)
    return model


def compute(
    family: str, model: Any, folder: Path, captions: Sequence[str], pictures: Sequence[Image.Image], backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what transformers computes: features of images and texts, not normalised, and their logits."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend=backend)
    pixels = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    padding: dict[str, Any] = {"padding": "max_length", "max_length": 64} if family == "siglip" else {"padding": True}
    tokens = tokenizer(list(captions), return_tensors="pt", truncation=True, **padding)
    ids, mask = tokens["input_ids"], None if family == "siglip" else tokens["attention_mask"]
    with torch.no_grad():
        if family == "blip":
            images = model.vision_proj(model.vision_model(pixels)[0][:, 0])
            texts = model.text_proj(model.text_encoder(ids, attention_mask=mask)[0][:, 0])
            logits = model(ids, pixels, use_itm_head=False, attention_mask=mask).itm_score
        else:
            images = model.get_image_features(pixel_values=pixels).pooler_output
            texts = model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
            logits = model(input_ids=ids, pixel_values=pixels, attention_mask=mask).logits_per_image
    return images, texts, logits


def normalise(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1)

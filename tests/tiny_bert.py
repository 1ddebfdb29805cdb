"""A BERT small enough for any test, with a tokenizer; no tests in here."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerFast

from vsezoo.parts import list_options, load_text_encoder
from vsezoo.recipe import Recipe

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*MARKS, *tiny.WORDS, "a", "and", "is", "that", "the", "this", "thing", "one", "dog", "##s", "##ish"]
IDS = {piece: index for index, piece in enumerate(PIECES)}
SIZES: dict[str, Any] = {
    "vocab_size": len(PIECES),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 14,
}


def write_tokenizer(folder: Path, *, marks: bool = True, words: list[str] = PIECES) -> None:
    pieces = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names: dict[str, str] = {}
    if marks:
        ends = [("[CLS]", IDS["[CLS]"]), ("[SEP]", IDS["[SEP]"])]
        pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        names = {f"{mark[1:-1].lower()}_token": mark for mark in MARKS}
    PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=12, **names).save_pretrained(folder)


def write_model(folder: Path, model: PreTrainedModel | None = None, **tokenizer: Any) -> PreTrainedModel:
    torch.manual_seed(5)
    model = model or BertModel(BertConfig(**SIZES))
    model.save_pretrained(folder)
    write_tokenizer(folder, **tokenizer)
    return model.eval()


@functools.cache
def _keep_folder() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory()
    write_model(Path(folder.name))
    return folder


def find_model() -> str:
    """Return the folder of a model that is written once, and not to be changed."""
    return _keep_folder().name


def list_small_settings(recipe: Recipe) -> Mapping[str, Any]:
    """Return settings that put a small backbone and a tiny BERT in the place of pretrained ones."""
    settings: dict[str, Any] = {}
    if recipe.image_encoder.name in ("timm", "torchvision"):
        settings |= {"image_encoder.model": "resnet18", "image_encoder.weights": "none"}
        settings |= {"image_encoder.image_size": 32}
    if recipe.text_encoder.name == "pcmepp-clip":
        sizes = {"width": 16, "layers": 2, "heads": 2}
        settings |= {
            f"{side}.{name}": size for side in ("image_encoder", "text_encoder") for name, size in sizes.items()
        }
        settings |= {"pretrained": "", "image_encoder.patch_size": 16, "image_encoder.image_size": 32}
    if recipe.text_encoder.name.endswith(("hf", "clip")):
        settings |= {"text_encoder.model": find_model()}
    return settings


def list_narrow_settings(recipe: Recipe) -> Mapping[str, Any]:
    """Return settings that make what is not as wide as the embedding narrow."""
    settings = {f"loss.{name}": 16 for name in ("hidden_size", "word_dim") if name in recipe.loss.options}
    # Words of `bow` are as wide as the embedding.
    if "word_dim" in list_options(load_text_encoder(recipe)) and recipe.text_encoder.name != "bow":
        settings["text_encoder.word_dim"] = 16
    return settings

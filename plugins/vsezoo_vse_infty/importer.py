"""Checkpoints of woodfrog/vse_infty on region features, by BiGRU or BERT: model_best.pth, and its vocabulary.

The original appends `<mask>` to the vocabulary after reading it, so the file has one word fewer than the word embedding
has rows. `mlp.bns.1` is in its files and takes no part in anything.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.conversion.masked_words import read_masked_words, write_masked_words
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import rename_prefixes
from vsezoo.text.masked import MaskedWordTokenizer
from vsezoo_vse_infty.recipes import vse_infty_bert, vse_infty_bigru

SETTINGS = {
    "img_dim": ("image_encoder.img_dim",),
    "vse_mean_warmup_epochs": ("loss.warmup_epochs",),
}
"""The settings that each option is, in addition to those of VSE++."""

UNUSED: dict[str, Any] = {
    "backbone_lr_factor": 0.01,
    "backbone_path": "",
    "backbone_source": "detector",
    "backbone_warmup_epochs": 5,
    "drop": False,
    "embedding_warmup_epochs": 2,
    "input_scale_factor": 1,
    "model_name": "",
    "optim": "adam",
    "precomp_enc_type": "basic",
    "reset_start_epoch": False,
}
"""Options that do not change a model on regions, and what the original has for them."""

ABSENT = ("measure", "use_abs", "use_restval")
"""Options of VSE++ that it does not have."""
OF_WORDS = ("word_dim", "num_layers")
"""Options that have no effect on BERT."""

NAMES = {
    "image": {"gpool.": "pooling."},
    "gru": {"gpool.": "pooling."},
    "bert": {"gpool.": "pooling.", "bert.": "transformer.", "linear.": "fc."},
}
"""Prefixes of the names of tensors, there and here."""

UNUSED_NORM = "mlp.bns.1."
LEFT_OUT = re.compile(r"mlp\.bns\.1\..*|bert\.pooler\..*|bert\.embeddings\.position_ids")
"""Tensors that take no part in what the model computes."""

PIECES = "bert.embeddings.word_embeddings.weight"


class VSEInftyImporter(Importer):
    """VSE∞ on region features: GPO on both sides, words by BiGRU or BERT."""

    name = "vse-infty"
    summary = "VSE∞, woodfrog/vse_infty, on regions: model_best.pth, DATA_precomp_vocab.json (BiGRU)."
    options: ClassVar[Mapping[str, str]] = {
        **state_dicts.OPTIONS,
        "model": "for BERT, the folder or the Hub's name of the model whose tokenizer and configuration it has "
        "(bert-base-uncased)",
    }
    file_name = "model_best.pth"

    def recognise(self, source: Source) -> bool:
        """Return whether it has two state dicts with GPO, and the linear layer for regions or a backbone."""
        encoders = state_dicts.split_encoders(source)
        if encoders is None:
            return False
        image, text = ({str(name).removeprefix("module.") for name in part} for part in encoders)
        grid = "image_encoder.gpool.linear.weight" in image
        return "gpool.linear.weight" in text and (grid or {"gpool.linear.weight", "fc.weight"} <= image)

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        encoders = state_dicts.split_encoders(source)
        assert encoders is not None, "recognised before"
        if any("backbone." in str(name) for name in encoders[0]):
            raise CheckpointError(
                "holds a backbone for pictures, whose layers differ from those of timm; only models on region "
                "features can be converted.",
                file=source.path,
                remedy="Use the code that wrote it.",
            )
        bert = any(str(name).removeprefix("module.") == PIECES for name in encoders[1])
        held = state_dicts.read_state_dicts(source, options, PIECES if bert else "embed.weight")
        embed_size, width = held.image["fc.weight"].shape
        sizes = {"embed_size": embed_size, "img_dim": width} if bert else held.list_sizes()
        recipe = _make_recipe({**sizes, **held.options}, bert, source.path)
        data = {**held.name_data(), "kind": "regions", "image_shape": [36, width]}
        tokenizer: TransformerTokenizer | MaskedWordTokenizer
        if bert:
            model = options.get("model", recipe.text_encoder.options["model"])
            tokenizer = TransformerTokenizer.from_pretrained(model)
            recipe = recipe.replace({"text_encoder.model": model})
        else:
            tokenizer = read_masked_words(source, recipe, held, options)
        held = dataclasses.replace(
            held, image=_rename(held.image, "image"), text=_rename(held.text, "bert" if bert else "gru")
        )
        return state_dicts.fit_tensors(source, recipe, tokenizer, held, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, and for the BiGRU the vocabulary next to it, without the mask."""
        recipe = resolve_recipe(model.recipe)
        bert = recipe.text_encoder.name == vse_infty_bert.text_encoder.name
        image, text = state_dict_files.list_tensors(model)
        held = {
            **argparse_options.list_options(resolve_recipe(vse_infty_bigru), SETTINGS, "VSE∞"),
            **argparse_options.list_options(recipe, SETTINGS, "VSE∞"),
            **UNUSED,
            "no_txtnorm": not recipe.text_encoder.options.get("normalize", True),
            "vse_mean_warmup_epochs": recipe.loss.options.get("warmup_epochs", 1),
            "data_name": data.removesuffix("_precomp") or "vsezoo",
        }
        held = {name: value for name, value in held.items() if name not in ABSENT}
        written = _make_recipe(held, bert, path)
        if bert:  # the file does not name the model
            written = written.replace({"text_encoder.model": recipe.text_encoder.options["model"]})
        held |= argparse_options.list_more(recipe, written, "VSE∞")
        width = recipe.embed_size or 0
        norm = torch.nn.BatchNorm1d(width).state_dict()
        image = _restore(image, "image") | {f"{UNUSED_NORM}{name}": tensor for name, tensor in norm.items()}
        rows = len(text["transformer.embeddings.word_embeddings.weight" if bert else "embed.weight"])
        state_dict_files.write_encoders(
            path, image, _restore(text, "bert" if bert else "gru"), {**held, "vocab_size": rows}
        )
        tokenizer = model.tokenizer
        if not isinstance(tokenizer, MaskedWordTokenizer):
            return [path]
        return [path, *write_masked_words(tokenizer, path, held["data_name"])]


def _make_recipe(options: Mapping[str, Any], bert: bool, file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Raises:
        CheckpointError: for an option that cannot be expressed.
    """
    argparse_options.require_choice("precomp_enc_type", options.get("precomp_enc_type", "basic"), ("basic",), file)
    recipe = dataclasses.replace(
        vse_infty_bert if bert else vse_infty_bigru,
        summary=f"A checkpoint of VSE∞: regions, {'BERT' if bert else 'BiGRU'}.",
    ).replace({"text_encoder.normalize": not options.get("no_txtnorm", False)})
    noted = {*UNUSED, "no_txtnorm", *(OF_WORDS if bert else ())}
    # The original overwrites max_violation; the warm-up alone decides.
    known = {**options, "max_violation": True}
    return argparse_options.apply_options(recipe, known, SETTINGS, noted, file)


def _rename(tensors: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    """Return tensors by our names, without those that take no part."""
    used = {name: tensor for name, tensor in tensors.items() if not LEFT_OUT.fullmatch(name)}
    return rename_prefixes(used, NAMES[side])


def _restore(tensors: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    """Return tensors by the original's names."""
    return rename_prefixes(tensors, {ours: theirs for theirs, ours in NAMES[side].items()})

"""Importer of KunpengLi1994/VSRN, for COCO and Flickr30K.

Its names differ from ours in the blocks, which are counted from 1, and in the convolutions of width 1, which are linear
layers here. The caption decoder is missing: the original does not save it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo_vsrn.recipes import vsrn

SETTINGS = {
    "img_dim": ("image_encoder.img_dim",),
    "dim_vid": ("loss.region_dim",),
    "dim_hidden": ("loss.hidden_size",),
    "dim_word": ("loss.word_dim",),
    "input_dropout_p": ("loss.dropout",),
    "max_len": ("loss.max_len",),
}
"""Settings of options, in addition to those of VSE++."""

CHOICES = {"rnn_type": ("gru",), "bidirectional": (0,)}
"""Options of the decoder with only one supported value."""

UNUSED = {"cnn_type": "vgg19", "crop_size": 224, "finetune": False, "reset_train": False, "rnn_dropout_p": 0.5}
"""Options without effect: those of pictures, and the dropout between layers if there is one layer."""

FLICKR = "f30k_precomp"
"""The data set for which the original omits the first norm and adds batch norm before the last."""


class VSRNImporter(Importer):
    """VSRN: relations of regions, two GRUs, and the options of training."""

    name = "vsrn"
    summary = "VSRN, KunpengLi1994/VSRN, for COCO and Flickr30K: model_best.pth.tar, DATA_vocab.pkl."
    options: ClassVar[Mapping[str, str]] = {
        **state_dicts.OPTIONS,
        "data": "the training data set, if the file names another one: for f30k_precomp the model differs",
        "norm_axis": "feature, for a fork that normalises regions along the features; region, as in the original",
    }
    file_name = "model_best.pth.tar"

    def recognise(self, source: Source) -> bool:
        """Return whether it has two state dicts, the first with the layers that relate or read regions."""
        encoders = state_dicts.split_encoders(source)
        return encoders is not None and any(
            re.match(r"(module\.)*(Rs_GCN_\d+|img_rnn)\.", str(name)) for name in encoders[0]
        )

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        held = state_dicts.read_state_dicts(source, options)
        data = {**held.name_data(), **({"name": options["data"]} if options.get("data") else {}), "kind": "regions"}
        batch_norm = any(name.startswith("bn.") for name in held.image)
        if batch_norm and data.get("name", FLICKR) != FLICKR:
            raise CheckpointError(
                f"has a batch norm (bn), which the original uses only for {FLICKR}, but was trained on {data['name']}.",
                file=source.path,
                remedy=f"If this is the same data set under another name: --data {FLICKR}",
            )
        blocks = {match[1] for name in held.image if (match := re.match(r"Rs_GCN_(\d+)\.", name))}
        recipe = _make_recipe({**held.list_sizes(), **held.options}, batch_norm, source.path).replace(
            {
                "image_encoder.num_blocks": len(blocks),
                "image_encoder.norm_axis": options.get("norm_axis", "region"),
            }
        )
        recipe = dataclasses.replace(recipe, summary="A checkpoint of VSRN: regions related by graph convolution.")
        image = dict(_rename(name, tensor) for name, tensor in held.image.items())
        return state_dicts.make_imported(source, recipe, dataclasses.replace(held, image=image), options, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, with the vocabulary next to it."""
        recipe = resolve_recipe(model.recipe)
        image, text = state_dict_files.list_tensors(model)
        batch_norm = recipe.image_encoder.options.get("final_batch_norm", False)
        held = {
            **UNUSED,
            **{name: choices[0] for name, choices in CHOICES.items()},
            **argparse_options.list_options(resolve_recipe(vsrn), SETTINGS, "VSRN"),
            **argparse_options.list_options(recipe, SETTINGS, "VSRN"),
            "data_name": FLICKR if batch_norm else data if _fits(data) else "vsezoo_precomp",
        }
        held["dim_vid"] = held["dim_vid"] or recipe.embed_size
        held |= argparse_options.list_more(recipe, _make_recipe(held, batch_norm, path), "VSRN")
        restored = dict(_restore(name, tensor) for name, tensor in image.items())
        return state_dict_files.write_state_dicts(model, path, restored, text, held)


def _fits(data: str) -> bool:
    """Return whether the original accepts this name for features, and for the architecture without batch norm."""
    return data.endswith("_precomp") and data != FLICKR


def _make_recipe(options: Mapping[str, Any], batch_norm: bool, file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Args:
        options: the options in the file.
        batch_norm: whether there is batch norm before the last norm. If so, the first norm is omitted; earlier code has
            both norms for all data sets.
        file: the file, for the message.

    Raises:
        CheckpointError: for an unsupported option.
    """
    for name, choices in CHOICES.items():
        argparse_options.require_choice(name, options.get(name, choices[0]), choices, file)
    recipe = vsrn.replace({"image_encoder.first_norm": not batch_norm, "image_encoder.final_batch_norm": batch_norm})
    if options.get("dim_vid") == options["embed_size"]:
        options = {**options, "dim_vid": 0}  # as wide as the joint embedding
    return argparse_options.apply_options(recipe, options, SETTINGS, {*CHOICES, *UNUSED}, file)


def _rename(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Convert name and form of a tensor of the image encoder to ours."""
    match = re.fullmatch(r"Rs_GCN_(\d+)\.(.+)", name)
    if match is None:
        return name, tensor
    return f"blocks.{int(match[1]) - 1}.{match[2]}", tensor.squeeze(-1) if tensor.dim() == 3 else tensor


def _restore(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Convert name and form of a tensor of the image encoder to the original's."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if match is None:
        return name, tensor
    return f"Rs_GCN_{int(match[1]) + 1}.{match[2]}", tensor.unsqueeze(-1) if tensor.dim() == 2 else tensor

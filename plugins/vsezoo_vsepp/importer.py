"""Importer of fartashf/vsepp: VSE++, VSE0 and their order variants, on features and on pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import UsageError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.storage.tensors import rename_prefixes
from vsezoo_vsepp import recipes

RECIPES = {
    ("cosine", True): recipes.vsepp,
    ("cosine", False): recipes.vse0,
    ("order", True): recipes.orderpp,
    ("order", False): recipes.order0,
}
"""The recipe of each measure, with or without max violation."""

FEATURES = {"img_dim": ("image_encoder.img_dim",)}
PICTURES = {
    "cnn_type": ("image_encoder.model",),
    "finetune": ("image_encoder.finetune",),
    "crop_size": ("image_encoder.crop_size",),
}
"""Settings of options with features of images, and with pictures; those of the other case are ignored."""

RESET = "reset_train"
"""The option that puts the CNN back in training mode after a validation inside an epoch."""

OURS = {"cnn.": "backbone.network.", "fc.": "head.fc."}
"""Name prefixes of the tensors of a model of pictures, in the original and here."""

OLD_LAYERS = {"cnn.classifier.1.": "cnn.classifier.0.", "cnn.classifier.4.": "cnn.classifier.3."}
"""The layers of a VGG in the first version of torchvision, which began with dropout, and in later ones."""

DATA = {False: "vsezoo_precomp", True: "coco"}
"""Names for unknown data sets in exported files; for pictures, the original knows coco, f8k and f30k."""


class VSEppImporter(Importer):
    """VSE++: a linear layer on features or a CNN, a GRU, and the options of training."""

    name = "vsepp"
    summary = "VSE++, VSE0 and their order variants, fartashf/vsepp: model_best.pth.tar, DATA_vocab.pkl."
    options = state_dicts.OPTIONS
    file_name = "model_best.pth.tar"

    def recognise(self, source: Source) -> bool:
        """Return whether it has two state dicts, with a layer `fc`, possibly a `cnn`, and a GRU."""
        encoders = state_dicts.split_encoders(source)
        if encoders is None:
            return False
        image, text = ({str(name).removeprefix("module.").partition(".")[0] for name in part} for part in encoders)
        # SCAN, which was made from this code, has the same tensors, and options of its attention.
        of_scan = "cross_attn" in state_dicts.find_options(source)
        return image <= {"fc", "cnn"} and text <= {"embed", "rnn"} and not of_scan

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        held = state_dicts.read_state_dicts(source, options)
        pictures = any(name.startswith("cnn.") for name in held.image)
        recipe = _make_recipe({**held.list_sizes(), **held.options}, pictures, source.path)
        image = held.image
        if "cnn.classifier.4.weight" in image and recipe.image_encoder.options["model"].startswith("vgg"):
            image = rename_prefixes(image, OLD_LAYERS)
        if pictures:
            image = rename_prefixes(image, OURS)
        data = {
            **held.name_data(),
            "kind": "picture" if pictures else "vector",
            "image_shape": [224, 224, 3] if pictures else [held.list_sizes()["img_dim"]],
        }
        return state_dicts.make_imported(source, recipe, dataclasses.replace(held, image=image), options, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, with the vocabulary next to it."""
        recipe = resolve_recipe(model.recipe)
        image, text = state_dict_files.list_tensors(model)
        image = rename_prefixes(image, {ours: theirs for theirs, ours in OURS.items()})
        pictures = recipe.image_encoder.name == "torchvision"
        cnn = recipe.image_encoder.options.get("model", "")
        if pictures and not cnn.startswith(("vgg", "resnet")):
            remedy = "Choose a model whose CNN is a vgg or a resnet."
            raise UsageError(f"VSE++ does not support image_encoder.model={cnn!r}.", remedy=remedy)
        reset = recipe.image_encoder.options.get("cnn_mode") == "train"
        held = {
            "img_dim": 4096,
            "cnn_type": "vgg19",
            "finetune": False,
            "crop_size": 224,
            RESET: reset,
            **argparse_options.list_options(recipe, PICTURES if pictures else FEATURES, "VSE++"),
            # The original tells features from pictures by the suffix.
            "data_name": data if data and data.endswith("_precomp") != pictures else DATA[pictures],
        }
        held |= argparse_options.list_more(recipe, _make_recipe(held, pictures, path), "VSE++")
        return state_dict_files.write_state_dicts(model, path, _wrap(image, cnn), text, held)


def _make_recipe(options: Mapping[str, Any], pictures: bool, file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Raises:
        CheckpointError: for an unsupported option.
    """
    known, unused = (PICTURES, FEATURES) if pictures else (FEATURES, PICTURES)
    measure = options.get("measure", "cosine")
    argparse_options.require_choice("measure", measure, argparse_options.MEASURES, file)
    parent = RECIPES[measure, options.get("max_violation") is True]
    image = Part("precomp")
    if pictures:
        argparse_options.require_choice(RESET, options.get(RESET, False), (False, True), file)
        image = Part("torchvision", {"cnn_mode": "train" if options.get(RESET) else "legacy"})
    recipe = dataclasses.replace(
        recipes.vsepp,
        name=parent.name,
        summary=f"A checkpoint of VSE++: {'pictures' if pictures else 'features of images'}, {measure} similarity.",
        image_encoder=image,
    )
    return argparse_options.apply_options(recipe, options, known, {RESET, *unused}, file)


def _wrap(image: Mapping[str, Tensor], cnn: str) -> dict[str, Tensor]:
    """Return the tensors of the image encoder, with those of the CNN named as by `DataParallel`."""
    wrapped = "cnn.features." if cnn.startswith("vgg") else "cnn."
    return rename_prefixes(image, {wrapped: f"{wrapped}module."})

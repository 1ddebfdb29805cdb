"""Checkpoints of kuanghuei/SCAN: model_best.pth.tar and the vocabulary as JSON next to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.similarities.attention import NORMS
from vsezoo.storage.tensors import rename_prefixes
from vsezoo_scan import recipes
from vsezoo_scan.attention import AGGREGATIONS

SETTINGS = {
    "img_dim": ("image_encoder.img_dim",),
    "cross_attn": ("similarity.direction",),
    "agg_func": ("similarity.aggregation",),
    "raw_feature_norm": ("similarity.norm",),
    "lambda_softmax": ("similarity.softmax_scale",),
    "lambda_lse": ("similarity.lse_scale",),
    "bi_gru": ("text_encoder.bidirectional",),
}
"""The settings that each option is, in addition to those of VSE++."""

CHOICES = {
    "cross_attn": ("t2i", "i2t"),
    "agg_func": AGGREGATIONS,
    "raw_feature_norm": NORMS,
    "precomp_enc_type": ("basic", "weight_norm"),
}
APART = ("no_imgnorm", "no_txtnorm", "precomp_enc_type")
"""Options that are the opposite of a setting, or choose between two."""
NOTED = ("measure", "model_name", "use_abs")
"""Options that SCAN does not have or that say nothing about the model."""

PARENTS = {
    ("t2i", False): recipes.scan_t2i,
    ("t2i", True): recipes.scan_t2i_avg,
    ("i2t", False): recipes.scan_i2t,
    ("i2t", True): recipes.scan_i2t_avg,
}
"""The recipe of each direction, with the mean as aggregation or not."""

MARKS = ("cross_attn", "agg_func", "raw_feature_norm", "lambda_softmax", "lambda_lse")
"""Options that no other codebase has together."""

OURS = {"fc.weight_g": "fc.parametrizations.weight.original0", "fc.weight_v": "fc.parametrizations.weight.original1"}
"""Names of tensors of `weight_norm`, there and here."""


class SCANImporter(Importer):
    """SCAN: regions and words as sets, and the options of the attention."""

    name = "scan"
    summary = "SCAN, kuanghuei/SCAN: model_best.pth.tar, DATA_vocab.json."
    options = state_dicts.OPTIONS
    file_name = "model_best.pth.tar"

    def recognise(self, source: Source) -> bool:
        """Return whether it has two state dicts, and options of the attention."""
        return state_dicts.split_encoders(source) is not None and set(MARKS) <= state_dicts.find_options(source).keys()

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        held = state_dicts.read_state_dicts(source, options)
        recipe = _make_recipe({**held.list_sizes(), **held.options}, source.path)
        image = rename_prefixes(held.image, OURS)
        data = {**held.name_data(), "kind": "regions", "image_shape": [36, held.list_sizes()["img_dim"]]}
        return state_dicts.make_imported(source, recipe, dataclasses.replace(held, image=image), options, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, and the vocabulary next to it."""
        recipe = resolve_recipe(model.recipe)
        image, text = state_dict_files.list_tensors(model)
        image = rename_prefixes(image, {ours: theirs for theirs, ours in OURS.items()})
        held = {
            **argparse_options.list_options(recipe, SETTINGS, "SCAN", ("cross-attention",)),
            "no_txtnorm": not recipe.text_encoder.options["normalize_items"],
            "no_imgnorm": not recipe.image_encoder.options["normalize_items"],
            "precomp_enc_type": "weight_norm" if recipe.image_encoder.options["weight_norm"] else "basic",
            "model_name": "",
            "data_name": data or "vsezoo_precomp",
        }
        held = {name: value for name, value in held.items() if name not in ("measure", "use_abs")}
        held |= argparse_options.list_more(recipe, _make_recipe(held, path), "SCAN")
        return state_dict_files.write_state_dicts(model, path, image, text, held)


def _make_recipe(options: Mapping[str, Any], file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Raises:
        CheckpointError: for an option that cannot be expressed.
    """
    for name, choices in CHOICES.items():
        argparse_options.require_choice(name, options.get(name, choices[0]), choices, file)
    parent = PARENTS[options["cross_attn"], options["agg_func"] == "Mean"]
    recipe = dataclasses.replace(
        parent,
        summary=f"A checkpoint of SCAN: {options['cross_attn']}, {options['agg_func']}.",
    ).replace(
        {
            "image_encoder.normalize_items": not options.get("no_imgnorm", False),
            "image_encoder.weight_norm": options.get("precomp_enc_type") == "weight_norm",
            "text_encoder.normalize_items": not options.get("no_txtnorm", False),
        }
    )
    # VSE++'s own way to read `no_imgnorm` and `measure` does not fit sets.
    return argparse_options.apply_options(recipe, options, SETTINGS, {*APART, *NOTED}, file)

"""Checkpoints of ppanzx/CHAN with a GRU: model_best.pth, and the vocabulary next to it.

As VSE∞'s, its vocabulary file has one word fewer than the word embedding has rows: `<mask>` is appended after reading.
The linear layer of its text encoder is in the files and takes no part in anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.conversion.masked_words import read_masked_words, write_masked_words
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import rename_prefixes
from vsezoo.text.masked import MaskedWordTokenizer
from vsezoo_chan.recipes import chan
from vsezoo_chan.similarity import CODINGS, POOLINGS

SETTINGS = {
    "img_dim": ("image_encoder.img_dim",),
    "alpha": ("similarity.coding_scale",),
    "belta": ("similarity.pooling_scale",),
    "vse_mean_warmup_epochs": ("loss.warmup_epochs",),
}
"""The settings that each option is, in addition to those of VSE++."""

RELATIONS = {"selfattention": "self-attention", "basic": "none"}
CHOICES = {
    "coding_type": tuple(f"{name}Coding" for name in CODINGS),
    "pooling_type": tuple(f"{name}Pooling" for name in POOLINGS),
    "precomp_enc_type": tuple(RELATIONS),
    "criterion": ("ContrastiveLoss",),
    "text_enc_type": ("bigru",),
}
"""Options whose values are names, and those that are supported; the first is the original's default."""

UNUSED: dict[str, Any] = {
    "drop": True,
    "embedding_warmup_epochs": 2,
    "input_scale_factor": 1,
    "model_name": "",
    "obj_drop_rate": 0.2,
    "optim": "adam",
    "reset_start_epoch": False,
    "seed": 0,
    "temperature": 0.01,
    "wemb_type": None,
    "word2idx": None,
}
"""Options that do not change what a trained model computes, and what is written for them."""
APART = ("no_imgnorm", "no_txtnorm")
ABSENT = ("measure", "use_abs", "use_restval")
"""Options of VSE++ that it does not have."""

LEFT_OUT = ("fc.weight", "fc.bias")
"""Of the text encoder: tensors that take no part in what the model computes."""
NAMES = {"feedforward.": "relation."}
"""Name prefixes of the tensors of the attention between regions, there and here."""


class CHANImporter(Importer):
    """CHAN with a GRU: hard alignment, and all its codings and poolings."""

    name = "chan"
    summary = "CHAN, ppanzx/CHAN, by GRU: model_best.pth, DATA_precomp_vocab.json."
    options = state_dicts.OPTIONS
    file_name = "model_best.pth"

    def recognise(self, source: Source) -> bool:
        """Return whether it has four state dicts, two of them empty, and the options of the alignment."""
        parts = state_dicts.split_parts(source)
        coded = {"coding_type", "pooling_type"} <= state_dicts.find_options(source).keys()
        return coded and len(parts) >= len(state_dicts.SIDES) and not any(parts[2:])

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model.

        Raises:
            CheckpointError: for a checkpoint that cannot be expressed, as one with BERT.
        """
        chosen = state_dicts.find_options(source)
        for name, choices in CHOICES.items():  # before the tensors, whose names differ with BERT
            argparse_options.require_choice(name, chosen.get(name, choices[0]), choices, source.path)
        held = state_dicts.read_state_dicts(source, options)
        recipe = _make_recipe({**held.list_sizes(), **held.options}, source.path)
        data = {**held.name_data(), "kind": "regions", "image_shape": [36, held.list_sizes()["img_dim"]]}
        tokenizer = read_masked_words(source, recipe, held, options)
        held = dataclasses.replace(
            held,
            image=rename_prefixes(held.image, NAMES),
            text={name: tensor for name, tensor in held.text.items() if name not in LEFT_OUT},
        )
        return state_dicts.fit_tensors(source, recipe, tokenizer, held, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, and the vocabulary without the mask next to it."""
        recipe = resolve_recipe(model.recipe)
        image, text = state_dict_files.list_tensors(model)
        relations = {ours: theirs for theirs, ours in RELATIONS.items()}
        held = {
            **argparse_options.list_options(recipe, SETTINGS, "CHAN", ("hard-alignment",)),
            **UNUSED,
            "criterion": CHOICES["criterion"][0],
            "text_enc_type": CHOICES["text_enc_type"][0],
            "coding_type": f"{recipe.similarity.options['coding']}Coding",
            "pooling_type": f"{recipe.similarity.options['pooling']}Pooling",
            "precomp_enc_type": relations.get(recipe.image_encoder.options.get("relation", ""), "basic"),
            "no_imgnorm": not recipe.image_encoder.options.get("normalize_items", True),
            "no_txtnorm": not recipe.text_encoder.options.get("normalize_items", True),
            "data_name": data.removesuffix("_precomp") or "vsezoo",
        }
        held = {name: value for name, value in held.items() if name not in ABSENT}
        held |= argparse_options.list_more(recipe, _make_recipe(held, path), "CHAN")
        width = recipe.embed_size or 0
        text |= {"fc.weight": torch.eye(width), "fc.bias": torch.zeros(width)}
        image = rename_prefixes(image, {ours: theirs for theirs, ours in NAMES.items()})
        nothing: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] = ({}, {})
        rows = len(text["embed.weight"])
        state_dict_files.write_encoders(path, image, text, {**held, "vocab_size": rows}, *nothing)
        tokenizer = model.tokenizer
        assert isinstance(tokenizer, MaskedWordTokenizer), "of the text encoder chan-gru"
        return [path, *write_masked_words(tokenizer, path, held["data_name"])]


def _make_recipe(options: Mapping[str, Any], file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Raises:
        CheckpointError: for an option that cannot be expressed.
    """
    found = {name: options.get(name, choices[0]) for name, choices in CHOICES.items()}
    for name, choices in CHOICES.items():
        argparse_options.require_choice(name, found[name], choices, file)
    size = options.get("embed_size")
    if found["precomp_enc_type"] == "selfattention" and isinstance(size, int) and size % 8:
        raise CheckpointError(
            f"has embed_size={size}, which its eight heads of attention do not divide.",
            file=file,
            remedy="The options and the weights do not belong together, or the file is damaged.",
        )
    recipe = dataclasses.replace(
        chan, summary=f"A checkpoint of CHAN: {found['coding_type']}, {found['pooling_type']}."
    ).replace(
        {
            "embed_size": size,
            "image_encoder.relation": RELATIONS[found["precomp_enc_type"]],
            "image_encoder.normalize_items": not options.get("no_imgnorm", False),
            "text_encoder.normalize_items": not options.get("no_txtnorm", False),
            "similarity.coding": found["coding_type"].removesuffix("Coding"),
            "similarity.pooling": found["pooling_type"].removesuffix("Pooling"),
        }
    )
    # The original overwrites max_violation; the warm-up alone decides.
    known = {**options, "max_violation": True}
    return argparse_options.apply_options(recipe, known, SETTINGS, {*CHOICES, *UNUSED, *APART, *ABSENT}, file)

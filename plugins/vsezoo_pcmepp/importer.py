"""Checkpoints of naver-ai/pcmepp: the .ckpt of PyTorch Lightning, with model, loss and averaged weights.

The file has no tokenizer. `tokenizer.json` and `transformer.json` next to it are taken, else those of `model`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vsezoo.conversion.files import FETCH, show
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.conversion.output import create_file
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import rename_prefixes
from vsezoo_pcmepp.recipes import pcmepp

NAMES = {
    "image_encoder": {
        "image_encoder.fc.": "mean_head.fc.",
        "image_encoder.gpool.": "mean_head.pooling.",
        "image_std_encoder.fc.": "variance_head.fc.",
        "image_std_encoder.gpool.": "variance_head.pooling.",
    },
    "text_encoder": {
        "linear.": "mean_head.fc.",
        "gpool.": "mean_head.pooling.",
        "std_linear.": "variance_head.fc.",
        "std_gpool.": "variance_head.pooling.",
    },
}
"""Prefixes of the names of tensors, there and here; those of the backbones are the same."""

SIDES = {"image_encoder": "img_enc.", "text_encoder": "txt_enc.", "loss": "criterion."}
"""Prefixes of the three parts; those of the averaged weights begin with `swa_` and end in `module.`."""

CRITERION = {
    "init_negative_scale": "loss.scale",
    "init_shift": "loss.shift",
    "vib_beta": "loss.vib",
    "smoothness_alpha": "loss.pseudo",
    "prob_distance": "loss.distance",
}
TRAINING = {
    "dataloader.batch_size": "training.batch_size",
    "optim.lr": "training.learning_rate",
    "optim.wd": "optimizer.weight_decay",
    "optim.txt_backbone_lr_decay": "text_encoder.learning_rate_scale",
    "optim.img_backbone_lr_decay": "image_encoder.learning_rate_scale",
    "augment.mix_batch_ratio": "image_encoder.mix_ratio",
    "augment.img_size_augment": "image_encoder.size_augmentation",
    "augment.txt_size_augment": "text_encoder.size_augmentation",
    "augment.label_smoothing": "loss.smoothing",
    "train.train_epochs": "training.num_epochs",
    "train.grad_clip": "training.grad_clip",
    "train.img_backbone_freeze_epochs": "image_encoder.finetune_epoch",
}
"""Settings that each option is; the others of these sections do not change a trained model, and are only recorded."""

MODEL = {"is_probabilistic_model": True, "precomp_enc_type": "backbone", "no_imgnorm": False, "no_txtnorm": False}
"""Options of the model, and the only values that are supported."""
DERIVED = ("n_unc_layers", "backbone_source", "embed_size", "img_dim")
"""Options of the model that follow from its tensors."""

DISTANCES = {"csd": "csd", "wdist": "wasserstein"}
MARK = "img_enc.backbone.uncertainty_transformer.resblocks.0.ln_1.weight"
CODEBASE = "PCME++"
SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class PCMEPPImporter(Importer):
    """PCME++ on pictures: CLIP backbones with an uncertainty path."""

    name = "pcmepp"
    summary = "PCME++, naver-ai/pcmepp: the .ckpt of PyTorch Lightning."
    options: ClassVar[Mapping[str, str]] = {
        "averaged": "true, for the averaged weights (SWA) of the file",
        "model": "folder or Hub's name of the CLIP whose tokenizer it has (openai/clip-vit-base-patch32), unless "
        "tokenizer.json and transformer.json are next to the file",
    }
    file_name = "model.ckpt"

    def recognise(self, source: Source) -> bool:
        """Return whether it has a state dict with the uncertainty path of the image side."""
        if source.is_folder or source.format != "torch" or not isinstance(source.content, dict):
            return False
        state = source.content.get("state_dict")
        return isinstance(state, dict) and MARK in state and "criterion.negative_scale" in state

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model and its loss."""
        averaged = _read_switch("averaged", options)
        state = source.content["state_dict"]
        parts = {part: _select(state, prefix, averaged, source.path) for part, prefix in SIDES.items()}
        parts |= {part: rename_prefixes(parts[part], names) for part, names in NAMES.items()}
        held = _read_options(source)
        try:
            recipe = _make_recipe(held, parts, source.path)
        except (KeyError, IndexError, ValueError) as error:
            problem = f"lacks tensors of a model of {CODEBASE}: {error}."
            raise CheckpointError(problem, file=source.path, remedy=FETCH) from error
        tokenizer = _read_tokenizer(source, options)
        rows = len(parts["text_encoder"]["backbone.token_embedding.weight"])
        if len(tokenizer) != rows:
            raise CheckpointError(
                f"has word embeddings of {rows:,} ids, and its tokenizer has {len(tokenizer):,}.",
                file=source.path,
                remedy="Give the CLIP whose tokenizer it has: --option model=FOLDER",
            )
        tensors = {f"{part}.{name}": tensor for part in NAMES for name, tensor in parts[part].items()}
        data = {"kind": "picture", "name": str(_find_option(held, "dataloader.data_name") or "")}
        notes = {"options": {name: show(value) for name, value in held.items()}, "averaged": averaged}
        return Imported(recipe, tokenizer, tensors, data if data["name"] else {"kind": "picture"}, notes, parts["loss"])

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, and the tokenizer next to it.

        The loss is not part of a model: its scale and shift are written as they are at first.
        """
        recipe = resolve_recipe(model.recipe)
        if any(getattr(recipe, part).name != getattr(pcmepp, part).name for part in (*NAMES, "similarity")):
            problem = f"{CODEBASE} does not support the parts of {recipe.name!r}."
            raise UsageError(problem, remedy="Choose another format.")
        loss = recipe.loss.options if recipe.loss.name == pcmepp.loss.name else resolve_recipe(pcmepp).loss.options
        state: dict[str, Tensor] = {}
        for part, names in NAMES.items():
            theirs = {ours: name for name, ours in names.items()}
            for name, tensor in rename_prefixes(model.get_submodule(part).state_dict(), theirs).items():
                state[f"{SIDES[part]}{name}"] = tensor.detach().cpu().contiguous()
        state |= {
            "criterion.shift": torch.tensor([loss["shift"]]),
            "criterion.negative_scale": torch.tensor([loss["scale"]]),
        }
        for prefix in SIDES.values():
            own = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
            state[f"swa_{prefix}n_averaged"] = torch.tensor(0)
            state |= {f"swa_{prefix}module.{name.removeprefix(prefix)}": tensor.clone() for name, tensor in own.items()}
        value = {
            "epoch": 0,
            "global_step": 0,
            "pytorch-lightning_version": "2.0.1",
            "state_dict": state,
            "loops": {},
            "hparams_name": "kwargs",
            "hyper_parameters": {"opt": _list_options(recipe, loss, data)},
        }
        with create_file(path) as stream:
            torch.save(value, stream)
        files = [path]
        for name, content in model.tokenizer.to_files().items():
            files.append(path.with_name(name))
            with create_file(files[-1]) as stream:
                stream.write(content)
        return files


def _read_switch(name: str, options: Mapping[str, Any]) -> bool:
    """Return an option of the importer that is true or false, by default false."""
    value = str(options.get(name, "false")).lower()
    if value not in SWITCH:
        raise UsageError(f"The option {name} is {value!r}; it must be true or false.")
    return SWITCH[value]


def _select(state: Mapping[Any, Any], prefix: str, averaged: bool, file: Path) -> dict[str, Tensor]:
    """Return the tensors of a part, by the rest of their names."""
    start = f"swa_{prefix}module." if averaged else prefix
    found = {name.removeprefix(start): tensor for name, tensor in state.items() if str(name).startswith(start)}
    if not found or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise CheckpointError(f"has no tensors {start}*.", file=file, remedy=FETCH)
    return found


def _read_options(source: Source) -> dict[str, Any]:
    parameters = source.content.get("hyper_parameters")
    held = parameters.get("opt") if isinstance(parameters, dict) else None
    if not isinstance(held, dict) or not all(isinstance(held.get(name), dict) for name in ("model", "criterion")):
        raise CheckpointError(
            "has no options of the model and of the loss.", file=source.path, remedy="Give the complete checkpoint."
        )
    return dict(held)


def _find_option(held: Mapping[str, Any], path: str) -> Any:
    """Return the option SECTION.NAME; None if there is none."""
    section, _, name = path.partition(".")
    options = held.get(section)
    return options.get(name) if isinstance(options, dict) else None


def _make_recipe(held: Mapping[str, Any], parts: Mapping[str, Mapping[str, Tensor]], file: Path) -> Recipe:
    """Return the resolved recipe of the options and of the shapes of the tensors.

    Raises:
        CheckpointError: for an option of the model or of the loss that cannot be expressed.
    """
    for name, value in held["model"].items():
        supported = MODEL.get(name)  # sigma_ln_init must be absent
        if name not in DERIVED and (value != supported or name not in (*MODEL, "sigma_ln_init")):
            problem = f"has the option model.{show(name)}={show(repr(value))}, which is not supported."
            raise CheckpointError(problem, file=file, remedy="Use the code that wrote it.")
    settings: dict[str, Any] = {}
    for name, value in held["criterion"].items():
        if name == "name" and value == "pcmepp":
            continue
        if name not in CRITERION:
            problem = f"has the option criterion.{show(name)}={show(repr(value))}, which is not known."
            raise CheckpointError(problem, file=file, remedy="Use the code that wrote it.")
        settings[CRITERION[name]] = DISTANCES.get(value, value) if name == "prob_distance" else value
    for path, setting in TRAINING.items():
        if (value := _find_option(held, path)) is not None:
            settings[setting] = value
    image, text = parts["image_encoder"], parts["text_encoder"]
    patch = image["backbone.conv1.weight"].shape[2]
    settings |= {
        "embed_size": image["mean_head.fc.weight"].shape[0],
        "image_encoder.width": image["backbone.class_embedding"].shape[0],
        "image_encoder.hidden": _find_hidden(image),
        "image_encoder.patch_size": patch,
        "image_encoder.image_size": patch * math.isqrt(len(image["backbone.positional_embedding"]) - 1),
        "image_encoder.layers": _count(image, r"backbone\.transformer\.resblocks\.(\d+)\."),
        "image_encoder.uncertainty_layers": _count(image, r"backbone\.uncertainty_transformer\.resblocks\.(\d+)\."),
        "text_encoder.width": text["backbone.token_embedding.weight"].shape[1],
        "text_encoder.hidden": _find_hidden(text),
        "text_encoder.positions": len(text["backbone.positional_embedding"]),
        "text_encoder.layers": _count(text, r"backbone\.transformer\.resblocks\.(\d+)\."),
        "text_encoder.uncertainty_layers": _count(text, r"backbone\.transformer\.prob_resblocks\.(\d+)\."),
    }
    recipe = dataclasses.replace(pcmepp, summary=f"A checkpoint of {CODEBASE}.", pretrained="")
    return resolve_recipe(recipe.replace(settings))


def _list_options(recipe: Recipe, loss: Mapping[str, Any], data: str) -> dict[str, Any]:
    """Return the options that `_make_recipe` reads, by sections."""
    theirs = {ours: name for name, ours in DISTANCES.items()}
    held: dict[str, Any] = {
        "dataloader": {"data_name": data or "coco"},
        "model": {
            **MODEL,
            "n_unc_layers": recipe.image_encoder.options["uncertainty_layers"],
            "backbone_source": "clip_ViT-B/32",
            "embed_size": recipe.embed_size,
            "img_dim": recipe.image_encoder.options["width"],
            "sigma_ln_init": None,
        },
        "criterion": {"name": "pcmepp"}
        | {name: loss[setting.partition(".")[2]] for name, setting in CRITERION.items()},
    }
    held["criterion"]["prob_distance"] = theirs[held["criterion"]["prob_distance"]]
    stored = recipe.to_json()
    for path, setting in TRAINING.items():
        (section, _, name), (part, _, option) = path.partition("."), setting.partition(".")
        options = stored[part] if part == "training" else loss if part == "loss" else stored[part]["options"]
        if option in options:
            held.setdefault(section, {})[name] = options[option]
    return held


def _read_tokenizer(source: Source, options: Mapping[str, Any]) -> TransformerTokenizer:
    folder = source.path.parent
    beside = all((folder / name).is_file() for name in (TransformerTokenizer.FILE, TransformerTokenizer.CONFIG))
    if beside and "model" not in options:
        return TransformerTokenizer.from_files(folder)
    positions = len(source.content["state_dict"]["txt_enc.backbone.positional_embedding"])
    return TransformerTokenizer.from_pretrained(options.get("model", "openai/clip-vit-base-patch32"), positions)


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(match[1]) for name in tensors if (match := re.match(pattern, name)))


def _find_hidden(tensors: Mapping[str, Tensor]) -> int:
    """Return the units of the hidden layers; 0: four times the width."""
    hidden, width = tensors["backbone.transformer.resblocks.0.mlp.c_fc.weight"].shape
    return 0 if hidden == 4 * width else int(hidden)

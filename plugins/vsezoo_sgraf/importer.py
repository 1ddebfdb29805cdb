"""Checkpoints of Paranioar/SGRAF: model_best.pth.tar and the vocabulary as JSON next to it.

The original keeps the global nodes of both sides in the similarity; here they belong to the encoders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.conversion import argparse_options, state_dict_files, state_dicts
from vsezoo.conversion.files import FETCH, show
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import rename_prefixes
from vsezoo_sgraf import recipes

SETTINGS = {
    "img_dim": ("image_encoder.img_dim",),
    "bi_gru": ("text_encoder.bidirectional",),
    "sim_dim": ("similarity.sim_dim",),
}
"""The settings that each option is, in addition to those of VSE++."""

STEPS = "sgr_step"
APART = ("no_imgnorm", "no_txtnorm", "module_name")
"""Options that are the opposite of a setting, or choose the recipe."""
NOTED = ("measure", "model_name", "use_abs", "gpu_id")
"""Options that SGRAF does not have or that say nothing about the model."""

PARENTS = {"SGR": recipes.sgr, "SAF": recipes.saf}

SIDES = (*state_dicts.SIDES, "sim_enc")

NAMES = {
    "v_global_w.embedding_local.0.": "image_encoder.node.local.",
    "v_global_w.embedding_local.1.": "image_encoder.node.local_norm.",
    "v_global_w.embedding_global.0.": "image_encoder.node.whole.",
    "v_global_w.embedding_global.1.": "image_encoder.node.whole_norm.",
    "v_global_w.embedding_common.0.": "image_encoder.node.weight.",
    "t_global_w.embedding_local.0.": "text_encoder.node.local.",
    "t_global_w.embedding_global.0.": "text_encoder.node.whole.",
    "t_global_w.embedding_common.0.": "text_encoder.node.weight.",
    "sim_tranloc_w.": "similarity.align_items.",
    "sim_tranglo_w.": "similarity.align_nodes.",
    "sim_eval_w.": "similarity.rate.",
    "SAF_module.attn_sim_w.": "similarity.attend.",
    "SAF_module.bn.": "similarity.norm.",
    "SGR_module.": "similarity.steps.",
}
"""Name prefixes of the tensors of the original's similarity, there and here."""
LAYERS = {"graph_query_w": "query", "graph_key_w": "key", "sim_graph_w": "update"}
"""Layers of a step of the graph, there and here."""


class SGRAFImporter(Importer):
    """SGRAF: encoders, global nodes and a similarity with parameters, SGR or SAF."""

    name = "sgraf"
    summary = "SGRAF, Paranioar/SGRAF, SGR and SAF: model_best.pth.tar, DATA_vocab.json."
    options = state_dicts.OPTIONS
    file_name = "model_best.pth.tar"

    def recognise(self, source: Source) -> bool:
        """Return whether it has three state dicts, the last with a map of global nodes."""
        parts = state_dicts.split_parts(source, SIDES)
        return len(parts) == len(SIDES) and any("sim_tranglo_w." in str(name) for name in parts[2])

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        held = state_dicts.read_state_dicts(source, options, sides=SIDES)
        parts: dict[str, dict[str, Tensor]] = {
            "image_encoder": dict(held.image),
            "text_encoder": rename_prefixes(held.text, {"cap_rnn.": "rnn."}),
            "similarity": {},
        }
        for name, tensor in held.similarity.items():
            part, _, own = _rename(name, source.path).partition(".")
            parts[part][own] = tensor
        ours = dataclasses.replace(
            held, image=parts["image_encoder"], text=parts["text_encoder"], similarity=parts["similarity"]
        )
        regions = _count_regions(held.similarity, source.path)
        known = {"sgr_step": _count_steps(held.similarity), **ours.list_sizes(), **held.options}
        recipe = _make_recipe(known, regions, source.path)
        data = {**held.name_data(), "kind": "regions", "image_shape": [regions, ours.list_sizes()["img_dim"]]}
        return state_dicts.make_imported(source, recipe, ours, options, data)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the checkpoint to `path`, and the vocabulary next to it.

        Raises:
            UsageError: for a model that the original cannot have.
        """
        recipe = resolve_recipe(model.recipe)
        held = {
            **argparse_options.list_options(recipe, SETTINGS, "SGRAF", ("sgr", "saf")),
            "module_name": recipe.similarity.name.upper(),
            STEPS: recipe.similarity.options.get("steps", 3),
            "no_txtnorm": not recipe.text_encoder.options.get("normalize_items", True),
            "no_imgnorm": not recipe.image_encoder.options.get("normalize_items", True),
            "model_name": "",
            "data_name": data or "vsezoo_precomp",
        }
        held = {name: value for name, value in held.items() if name not in ("measure", "use_abs")}
        regions = recipe.image_encoder.options.get("num_regions", 36)
        if regions != 36:
            raise UsageError(
                f"SGRAF does not support image_encoder.num_regions={regions}: it has 36 in its code.",
                remedy="Choose another format, or a model of images with 36 regions.",
            )
        held |= argparse_options.list_more(recipe, _make_recipe(held, regions, path), "SGRAF")
        tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        image = {name: tensors[f"image_encoder.{name}"] for name in ("fc.weight", "fc.bias")}
        names = {"text_encoder.embed.": "embed.", "text_encoder.rnn.": "cap_rnn."}
        words = {name: tensor for name, tensor in tensors.items() if name.startswith(tuple(names))}
        text = rename_prefixes(words, names)
        similarity = {_restore(name): tensor for name, tensor in tensors.items() if _restore(name)}
        return state_dict_files.write_state_dicts(model, path, image, text, held, similarity)


def _make_recipe(options: Mapping[str, Any], regions: int, file: Path) -> Recipe:
    """Return the resolved recipe of some options.

    Raises:
        CheckpointError: for an option that cannot be expressed.
    """
    module = options.get("module_name")
    argparse_options.require_choice("module_name", module, tuple(PARENTS), file)
    recipe = dataclasses.replace(PARENTS[str(module)], summary=f"A checkpoint of SGRAF: {module}.").replace(
        {
            "image_encoder.num_regions": regions,
            "image_encoder.normalize_items": not options.get("no_imgnorm", False),
            "text_encoder.normalize_items": not options.get("no_txtnorm", False),
        }
    )
    graph = module == "SGR"
    settings = {**SETTINGS, **({STEPS: ("similarity.steps",)} if graph else {})}
    # VSE++'s own way to read `no_imgnorm` and `measure` does not fit sets.
    return argparse_options.apply_options(
        recipe, options, settings, {*APART, *NOTED, *(() if graph else (STEPS,))}, file
    )


def _count_regions(similarity: Mapping[str, Tensor], file: Path) -> int:
    norm = similarity.get("v_global_w.embedding_local.1.weight")
    if norm is None or norm.dim() != 1:
        raise CheckpointError("has no batch norm of regions (v_global_w.embedding_local.1).", file=file, remedy=FETCH)
    return len(norm)


def _count_steps(similarity: Mapping[str, Tensor]) -> int:
    return sum(name.endswith(".sim_graph_w.bias") for name in similarity)


def _rename(name: str, file: Path) -> str:
    """Return the name of a tensor of the similarity here.

    Raises:
        CheckpointError: for one that the original does not have.
    """
    for theirs, ours in NAMES.items():
        if name.startswith(theirs):
            rest = name.removeprefix(theirs)
            return ours + ".".join(LAYERS.get(word, word) for word in rest.split("."))
    raise CheckpointError(f"has the tensor {show(name)}, which SGRAF does not have.", file=file, remedy=FETCH)


def _restore(name: str) -> str:
    """Return the original's name of a tensor of its similarity; empty for those of the encoders."""
    back = {ours: theirs for theirs, ours in LAYERS.items()}
    for theirs, ours in NAMES.items():
        if name.startswith(ours):
            rest = name.removeprefix(ours)
            return theirs + ".".join(back.get(word, word) for word in rest.split("."))
    return ""

"""The importer of a codebase that keeps everything in one JSON file: letters, and two matrices as lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from vsezoo.legacy.importer import Imported, Importer, Source

from vsezoo.errors import CheckpointError, UsageError
from vsezoo.interfaces import Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.recipe import Part
from vsezoo_example.encoders import LetterTokenizer
from vsezoo_example.recipes import gated

NAMES = {
    "gate": "image_encoder.gate.weight",
    "gate_bias": "image_encoder.gate.bias",
    "project": "image_encoder.project.weight",
    "project_bias": "image_encoder.project.bias",
    "letters": "text_encoder.embed.weight",
}


class JSONImporter(Importer):
    """Reads and writes `example-gated`."""

    name = "example-json"
    summary = "Gated regions and letters, all in one JSON file."
    file_name = "gated.json"

    def recognise(self, source: Source) -> bool:
        if source.is_folder or source.format != "json":
            return False
        return isinstance(source.content, dict) and source.content.get("codebase") == "gated"

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        content = source.content
        try:
            tensors = {ours: torch.tensor(content[theirs]) for theirs, ours in NAMES.items()}
            tokenizer = LetterTokenizer()
            tokenizer.ids = {part: index for index, part in enumerate(content["alphabet"])}
            embed_size, width = tensors["image_encoder.project.weight"].shape
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"is incomplete: {error}.", file=source.path) from error
        recipe = gated.replace({"embed_size": embed_size, "image_encoder.img_dim": width})
        return Imported(recipe, tokenizer, tensors, {"kind": "regions", "image_shape": [2, width]})

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        tokenizer: Tokenizer = model.tokenizer
        parts: tuple[Part, ...] = (model.recipe.image_encoder, model.recipe.text_encoder, model.recipe.similarity)
        if [part.name for part in parts] != ["example-gated", "example-letters", "euclid"] or not isinstance(
            tokenizer, LetterTokenizer
        ):
            raise UsageError(f"{self.name} has example-gated alone, not {model.recipe.name}.")
        state = model.state_dict()
        content = {"codebase": "gated", "alphabet": list(tokenizer.ids)}
        path.write_text(json.dumps(content | {theirs: state[ours].tolist() for theirs, ours in NAMES.items()}))
        return [path]

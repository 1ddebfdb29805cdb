"""An importer of lists of numbers, faulty ones, and the command that uses them; no tests in here."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import processes
import tiny
import torch

from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.interfaces import Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_text_encoder
from vsezoo.recipe import Recipe
from vsezoo.registry import register

TEXTS = [*tiny.CAPTIONS, "nothing that it knows", ""]


class ListsImporter(Importer):
    """Weights as lists of numbers, the tokenizer in a folder next to them."""

    name, summary, file_name = "lists", "Lists of numbers.", "lists.json"
    options: Mapping[str, str] = {"vocab": "the FILE of the words", "scale": "what multiplies every weight"}

    def recognise(self, source: Source) -> bool:
        return not source.is_folder and source.format == "json" and "weights" in source.content

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        recipe = Recipe.from_json(source.content["recipe"])
        words = source.open(options.get("vocab", "vocab.json"))
        tokenizer: Tokenizer = load_text_encoder(recipe).read_tokenizer(words.path.parent)
        tensors = {
            name: torch.tensor(values) * options.get("scale", 1) for name, values in source.content["weights"].items()
        }
        data = {"name": "f8k_precomp", "kind": "vector", "image_shape": [tiny.WIDTH]}
        return Imported(recipe, tokenizer, tensors, data, {"epoch": source.content["epoch"], "options": {"lr": 0.5}})

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
        path.write_text(
            json.dumps({"epoch": 4, "recipe": model.recipe.to_json(), "weights": weights}), encoding="utf-8"
        )
        vocab = path.with_name("vocab.json")
        vocab.write_bytes(model.tokenizer.to_files()["vocab.json"])
        return [path, vocab]


class GreedyImporter(ListsImporter):
    """Takes any JSON for its own, and can write nothing."""

    name, summary = "greedy", "Any JSON."

    def recognise(self, source: Source) -> bool:
        return not source.is_folder and source.format == "json"

    write = Importer.write


class ShyImporter(GreedyImporter):
    """Tells nothing of the data."""

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        return replace(super().read(source, options), data={})


class ClumsyImporter(GreedyImporter):
    """Is surprised by what it reads."""

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        raise KeyError("Wemb")


def use_lists() -> None:
    register("importers", "lists")(ListsImporter)


def use_alias() -> None:
    use_lists()
    register("importers", "lists2")(ListsImporter)


def use_greedy() -> None:
    use_lists()
    register("importers", "greedy")(GreedyImporter)


def use_shy() -> None:
    register("importers", "shy")(ShyImporter)


def use_clumsy() -> None:
    register("importers", "clumsy")(ClumsyImporter)


def use_small_disk() -> None:
    use_lists()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def convert(
    folder: Path, *arguments: str | Path, before: Callable[[], None] | None = use_lists, code: int = 0
) -> processes.Done:
    done = commands.run_command(folder, "convert", *arguments, before=before)
    assert done.code == code, done.stderr
    return done

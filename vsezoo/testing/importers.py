"""Checks of importers."""

from __future__ import annotations

import functools
import inspect
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from vsezoo.conversion.importer import Importer, Source
from vsezoo.errors import CheckpointError
from vsezoo.interfaces import Embeddings, Tokens
from vsezoo.model import JointEmbedding
from vsezoo.recipe import Recipe
from vsezoo.testing.kit import Kit, promise, require, require_equal


@dataclass
class ImporterKit(Kit):
    """The checks of importers.

    Attributes:
        source: a file or folder that it reads; None: reading and writing are not checked.
        options: for `read`.
    """

    source: str | Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def _make(self) -> Importer:
        importer: Importer = self.subject.thing()
        return importer

    def _read(self, path: str | Path, options: Mapping[str, Any]) -> tuple[Recipe, JointEmbedding]:
        importer, source = self._make(), Source(path)
        require(importer.recognise(source) is True, f"recognise does not return True for {Path(path).name}")
        imported = importer.read(source, options)
        return imported.recipe, imported.build(source)

    @functools.cached_property
    def _imported(self) -> tuple[Recipe, JointEmbedding]:
        """What it reads of the source."""
        assert self.source is not None
        return self._read(self.source, self.options)

    @promise(
        "construction",
        "Set the class attributes name, summary, options (one line for each) and file_name.",
    )
    def check_construction(self) -> None:
        """Its constructor takes no arguments; name (as registered), summary and options are set."""
        wanted = [
            name
            for name, item in inspect.signature(self.subject.thing).parameters.items()
            if item.default is item.empty
        ]
        require(not wanted, f"the constructor requires {', '.join(wanted)}")
        importer = self._make()
        for name in ("name", "summary", "file_name"):
            require(isinstance(value := getattr(importer, name, None), str) and bool(value), f"{name} is {value!r}")
        lines = all(isinstance(text, str) for item in importer.options.items() for text in item)
        require(lines, f"options are {importer.options!r}, not one line for each name")
        if self.subject.entry is not None:
            registered = self.subject.entry.name
            require(importer.name == registered, f"named {importer.name!r}, registered as {registered!r}")

    @promise(
        "recognition",
        "Look for what only this codebase writes; CheckpointError is the only exception allowed.",
    )
    def check_recognition(self) -> None:
        """It returns False for unknown files, or raises CheckpointError if they cannot be read."""
        with tempfile.TemporaryDirectory() as folder:
            for path in _write_strangers(Path(folder)):
                try:
                    answer = self._make().recognise(Source(path))
                except CheckpointError:
                    continue
                require(answer is False, f"recognise returns {answer!r} for {path.name}")

    @promise(
        "reading",
        "Put every option that the files decide into the recipe, and give every tensor its name in vsezoo.",
        applies=lambda kit: kit.source is not None,
    )
    def check_reading(self) -> None:
        """It recognises and reads the source: the recipe can be stored as JSON, and the embeddings are finite."""
        recipe, model = self._imported
        stored = recipe.to_json()
        require(
            Recipe.from_json(json.loads(json.dumps(stored))).to_json() == stored,
            "a recipe that changes when stored as JSON",
        )
        require(bool(_embed(model).isfinite().all()), "embeddings with NaN or infinite values")

    @promise(
        "writing",
        "Write every value that `read` reads, with the same dtype.",
        applies=lambda kit: kit.source is not None and kit.subject.thing.write is not Importer.write,
    )
    def check_writing(self) -> None:
        """Reading what it wrote gives the same model."""
        _, model = self._imported
        with tempfile.TemporaryDirectory() as folder:
            importer = self._make()
            files = importer.write(model, Path(folder) / importer.file_name)
            require(bool(files) and all(file.is_file() for file in files), f"write returns {files!r}")
            _, again = self._read(files[0], {})
        for name, tensor in model.state_dict().items():
            require_equal(again.state_dict()[name], tensor, f"{name} after writing and reading", 0)
        require_equal(_embed(again), _embed(model), "the embeddings of captions after writing and reading", 0)


def _embed(model: JointEmbedding) -> torch.Tensor:
    ids = np.arange(min(6, len(model.tokenizer)), dtype=np.int32)
    with torch.inference_mode():
        return Embeddings.of(model.text_encoder(Tokens.pad([ids, ids[:2]]))).embeddings


def _write_strangers(folder: Path) -> list[Path]:
    """Write files that no importer recognises."""
    (folder / "notes.txt").write_text("no model\n", encoding="utf-8")
    (folder / "empty.pkl").write_bytes(b"")
    (folder / "list.json").write_text("[1, 2, 3]", encoding="utf-8")
    np.savez(folder / "arrays.npz", strange=np.zeros(3))
    torch.save({"strange": torch.zeros(3)}, folder / "strange.pth")
    save_file({"strange": torch.zeros(3)}, folder / "strange.safetensors")
    return [folder, *sorted(folder.iterdir())]

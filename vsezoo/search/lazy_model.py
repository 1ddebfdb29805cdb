"""The model of a checkpoint, of which no more is loaded than is wanted: all of it to embed, one side to ask."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from vsezoo.checkpoints.checkpoint import load
from vsezoo.checkpoints.locate import find_checkpoint
from vsezoo.checkpoints.provenance import find_parts
from vsezoo.checkpoints.uninitialized import build_uninitialized
from vsezoo.construction import build_part
from vsezoo.interfaces import ImageEncoder
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_text_encoder
from vsezoo.recipe import Recipe
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.checkpoint_layout import CONFIG, MODEL, read_config
from vsezoo.storage.folders import verify_files
from vsezoo.storage.tensors import load_tensors

TENSORS = ".safetensors"


class LazyModel:
    """The model of a checkpoint.

    Args:
        reference: as `vsezoo.load` takes it.
        device: where to put it.

    Raises:
        CheckpointError: for what is no checkpoint.
    """

    def __init__(self, reference: str | Path, device: str | torch.device) -> None:
        self.folder = find_checkpoint(reference)
        self.config = read_config(self.folder, verify=False)
        self._device = device

    @property
    def fingerprint(self) -> str:
        """What changes when the checkpoint or vsezoo does, and with it perhaps the embeddings."""
        return f"{version('vsezoo')} {hashlib.sha256((self.folder / CONFIG).read_bytes()).hexdigest()}"

    @property
    def recipe(self) -> Recipe:
        """What the model was built from."""
        return find_parts(Recipe.from_json(self.config["recipe"]), self.config["plugins"], self.folder / CONFIG)

    @cached_property
    def whole(self) -> JointEmbedding:
        """The model."""
        return load(self.folder, self._device)

    @property
    def for_texts(self) -> JointEmbedding:
        """The model, or one that embeds and compares texts alone."""
        return self.whole if "whole" in vars(self) else self._text_side

    @cached_property
    def _text_side(self) -> JointEmbedding:
        """The text encoder and the similarity: an image encoder may be large, and take long to import."""
        self._verify()
        recipe = self.recipe
        tokenizer = load_text_encoder(recipe).read_tokenizer(self.folder)

        def build() -> JointEmbedding:
            parts = [build_part(recipe, kind, tokenizer) for kind in ("text_encoder", "similarity")]
            return JointEmbedding(recipe, _NoImageEncoder(), *parts)

        model, file = build_uninitialized(build), self.folder / MODEL
        wanted = model.state_dict().keys()
        with safe_open(file, "pt") as tensors:
            if not wanted <= set(tensors.keys()):
                return self.whole  # some come from elsewhere
            load_tensors(model, {name: tensors.get_tensor(name) for name in wanted}, file)
        return model.to(self._device).eval()

    def _verify(self) -> None:
        """Verify what is read; of the model, once for each time that the file was written."""
        files = self.config["files"]
        verify_files(self.folder, {name: digest for name, digest in files.items() if not name.endswith(TENSORS)})

        def verify_model() -> bool:
            verify_files(self.folder, {MODEL: files[MODEL]})
            return True

        if (self.folder / MODEL).is_file():
            remember("verified", [*identify(self.folder / MODEL), files[MODEL]["sha256"]], verify_model)
        else:
            verify_model()


class _NoImageEncoder(ImageEncoder):
    """Stands for the one that was not loaded."""

    kinds = ()

    def transform(self, training: bool) -> Any:
        raise NotImplementedError("the image encoder was not loaded")

    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError("the image encoder was not loaded")

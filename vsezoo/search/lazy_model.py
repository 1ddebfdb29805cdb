"""The model of a checkpoint, of which no more is loaded than is wanted: all of it to embed, one side to ask."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vsezoo.checkpoint import CONFIG, MODEL, find_checkpoint, load, read_config
from vsezoo.construction import build_part
from vsezoo.data.cache import identify, remember
from vsezoo.interfaces import ImageEncoder
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_text_encoder
from vsezoo.provenance import find_parts
from vsezoo.recipe import Recipe
from vsezoo.storage import verify_files

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
        with _WithoutDraws():
            text_encoder = build_part(recipe, "text_encoder", tokenizer)
            similarity = build_part(recipe, "similarity", tokenizer)
        model = JointEmbedding(recipe, _NoImageEncoder(), text_encoder, similarity)
        wanted = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
        with safe_open(self.folder / MODEL, "pt", str(self._device)) as file:
            if not wanted <= set(file.keys()) or _holds_tensors(model):
                return self.whole  # some come from elsewhere, or are made by the encoder itself
            model.load_state_dict({name: file.get_tensor(name) for name in wanted}, assign=True)
        return model.eval()

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


class _WithoutDraws(TorchFunctionMode):
    """Leaves tensors as they are instead of drawing them: all are replaced, and drawing takes longer than all else."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return given["tensor"]
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        if func is torch.linalg.qr:  # of what would have been drawn, for orthogonal matrices
            return args[0], args[0]
        return func(*args, **given)


def _holds_tensors(model: nn.Module) -> bool:
    """Tell whether a part of a model has tensors that are neither parameters nor buffers."""
    return any(isinstance(value, Tensor) for module in model.modules() for value in vars(module).values())

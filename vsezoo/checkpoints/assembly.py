"""Build the tokenizer, model and loss of a checkpoint from its files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from vsezoo.checkpoints.budget import SPARE_ELEMENTS, TooLargeError
from vsezoo.checkpoints.uninitialized import build_uninitialized, is_uninitialized
from vsezoo.construction import build_loss, build_model, build_part
from vsezoo.errors import CheckpointError
from vsezoo.interfaces import ImageEncoder, Loss, Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_text_encoder, resolve_recipe
from vsezoo.pretrained.left_out import LeftOut
from vsezoo.recipe import Recipe
from vsezoo.storage.checkpoint_layout import CONFIG, LOSS, MODEL
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.snapshot import FolderSnapshot
from vsezoo.storage.tensor_file import TensorFile
from vsezoo.storage.tensors import list_tensors, load_tensors, require_same

Built = TypeVar("Built", JointEmbedding, Loss)
SPARE, SPARE_EXTERNAL = 1000, 20_000
"""Additional parameters that a constructor may create besides the stored ones, to drop or reload them."""


def read_tokenizer(files: FolderSnapshot, recipe: Recipe) -> Tokenizer:
    """Load the tokenizer from the folder, or from a copy of its files if these no longer exist.

    Raises:
        CheckpointError: for damaged files.
    """
    read = load_text_encoder(recipe).read_tokenizer
    try:
        tokenizer = read(files.folder)
        if files.is_current():
            return tokenizer
    except Exception:
        if files.is_current():
            raise
    with tempfile.TemporaryDirectory() as temporary:
        files.write_small(Path(temporary))
        return read(Path(temporary))


@torch.inference_mode(False)
def load_model(files: FolderSnapshot, recipe: Recipe, tokenizer: Tokenizer, folders: Sequence[Path]) -> JointEmbedding:
    """Build the model of a checkpoint, in eval mode.

    Args:
        files: verified files.
        recipe: recipe of the model, whose options need not be resolved.
        tokenizer: tokenizer of the checkpoint.
        folders: where to look for weights that the checkpoint does not contain.

    Raises:
        CheckpointError: for tensors that do not fit the recipe, or weights that cannot be found or differ.
        RecipeError: for a recipe from which nothing can be built.
    """
    recipe = resolve_recipe(recipe, training=False)
    return _fill(files, lambda: build_model(recipe, tokenizer), folders)


@torch.inference_mode(False)
def load_text_side(
    files: FolderSnapshot, recipe: Recipe, tokenizer: Tokenizer, folders: Sequence[Path]
) -> JointEmbedding:
    """Build only the text encoder and the similarity, as a model without an image encoder; see `load_model`."""

    def build() -> JointEmbedding:
        parts = [build_part(recipe, kind, tokenizer) for kind in ("text_encoder", "similarity")]
        return JointEmbedding(recipe, NoImageEncoder(), *parts)

    return _fill(files, build, folders)


@torch.inference_mode(False)
def load_loss(files: FolderSnapshot, recipe: Recipe, tokenizer: Tokenizer) -> Loss:
    """Build the loss of a checkpoint, in eval mode; see `load_model`."""
    recipe = resolve_recipe(recipe, training=False)
    held = files.read_tensors(LOSS) if LOSS in files.config["files"] else None
    loss = _build(files, lambda: build_loss(recipe, tokenizer), held)
    if held is not None or loss.state_dict():
        load_tensors(loss, files.read_tensors(LOSS) if held is None else held, files.folder / LOSS)
    return loss.eval()


def _build(
    files: FolderSnapshot,
    build: Callable[[], Built],
    held: TensorFile | None,
    check: Callable[[Built], None] | None = None,
) -> Built:
    """Build what the tensors of a file are of; they bound how much it may create before they are compared."""
    tensors, elements = (0, 0) if held is None else (len(held), held.count_elements())
    left_out = bool(files.config.get("left_out"))
    most = 2 * tensors + (SPARE_EXTERNAL if left_out else SPARE)
    most_elements = math.inf if left_out else 2 * elements + SPARE_ELEMENTS
    try:  # all of it is loaded, or reported
        return build_uninitialized(build, check, most, most_elements=most_elements, whole=False)
    except TooLargeError as error:
        raise CheckpointError(error.problem, file=files.folder / CONFIG, remedy=RESTORE) from error


def _fill(files: FolderSnapshot, build: Callable[[], JointEmbedding], folders: Sequence[Path]) -> JointEmbedding:
    """Build a model and load its tensors, which are compared with it before it uses any memory."""
    file, held = files.folder / MODEL, files.read_tensors(MODEL)

    def choose(model: JointEmbedding) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """Return the tensors that a model needs, and the prefixes of those that come from elsewhere."""
        tensors, external = model.rename_tensors(held), model.list_external(_read_left_out(files, model))
        if isinstance(model.image_encoder, NoImageEncoder):
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("image_encoder.")}
        return tensors, external

    def check(model: JointEmbedding) -> None:
        tensors, external = choose(model)
        require_same(tensors, list_tensors(model, external), file)

    model = _build(files, build, held, check)
    tensors, external = choose(model)
    text_only = isinstance(model.image_encoder, NoImageEncoder)
    model.restore_external(_read_left_out(files, model), files.config.get("encoders", {}), folders, quick=text_only)
    load_tensors(model, tensors, file, external)
    for name, tensor in model.state_dict().items():
        if name.startswith(external) and is_uninitialized(tensor):  # no file supplied it
            raise CheckpointError(
                f"does not contain {name}, and neither does its source.",
                file=file,
                remedy="Report this to the author of the encoder: restore_external must load all left-out tensors.",
            )
    return model.eval()


def _read_left_out(files: FolderSnapshot, model: JointEmbedding) -> Any:
    """Return the encoders of a model for whose external weights the checkpoint has only the digest."""
    described = files.config.get("encoders", {})
    known = [name for name, encoder in model.external.items() if encoder.external]
    try:
        left_out = LeftOut.from_json(files.config.get("left_out", []))
        if isinstance(model.image_encoder, NoImageEncoder):
            left_out = left_out.keep(lambda name: name != "image_encoder")
        if not isinstance(described, dict) or not all(
            name in known and isinstance(described.get(name, {}), dict) for name in left_out.names
        ):
            raise ValueError("of other encoders")
    except ValueError as error:
        raise CheckpointError(
            "has an invalid 'left_out' or 'encoders' entry.", file=files.folder / CONFIG, remedy=RESTORE
        ) from error
    return left_out.to_json()


class NoImageEncoder(ImageEncoder):
    """Placeholder for an image encoder that was not loaded."""

    kinds = ()

    def transform(self, training: bool) -> Any:
        """Always raises."""
        raise NotImplementedError("the image encoder was not loaded")

    def forward(self, images: Tensor) -> Tensor:
        """Always raises."""
        raise NotImplementedError("the image encoder was not loaded")

"""An opened checkpoint: its configuration, model, loss and metrics, each read on demand.

Every file is opened once, hashed once, and read from the hashed bytes. So the parts of a checkpoint are consistent,
even while training replaces the folder. Torch is imported when a model is built: `show` reads the small files only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo import registry
from vsezoo.checkpoints.locate import Location, locate
from vsezoo.errors import CheckpointError, RecipeError, UsageError
from vsezoo.recipe import Recipe
from vsezoo.storage.cache import remember
from vsezoo.storage.checkpoint_layout import CONFIG, LOCAL, LOSS, METRICS, MODEL, UNKNOWN_DATA
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.snapshot import TENSORS, FolderSnapshot, open_snapshot

if TYPE_CHECKING:
    import torch

    from vsezoo.inputs import Tokenizer
    from vsezoo.interfaces import Loss
    from vsezoo.model import JointEmbedding


class Checkpoint:
    """A checkpoint as it was when opened; see `open`.

    Attributes:
        folder: folder on this machine.
        reference: as given by the user; a Hub reference is resolved to a commit.
        config: contents of `config.json`.
    """

    def __init__(self, location: Location, files: FolderSnapshot) -> None:
        self.reference, self.folder, self.config = location.reference, files.folder, files.config
        self._location, self._files = location, files

    @classmethod
    def open(cls, reference: str | Path | Checkpoint, *, weights: bool = True) -> Checkpoint:
        """Open a checkpoint.

        Args:
            reference: a checkpoint folder, the folder of a run (for its best checkpoint), a Hub repository,
                `hub:org/name[@revision]`, or a registered name such as `vsepp.f8k_mobilenet`. An open checkpoint is
                returned unchanged.
            weights: False: download only the small files from the Hub.

        Raises:
            CheckpointError: if it is absent, is not a checkpoint, or is newer than this vsezoo.
            HubError: if it cannot be downloaded.
        """
        if isinstance(reference, Checkpoint):
            return reference
        location = locate(reference, weights=weights)
        checkpoint = cls(location, open_snapshot(location.find))
        digest = checkpoint.config["files"][MODEL]["sha256"]
        if location.sha256 not in ("", digest):
            raise CheckpointError(
                f"is not the checkpoint {str(reference)!r}: its {MODEL} has the SHA-256 {digest}.",
                file=location.reference,
                remedy="Upgrade the distribution that registers this name, or refer to the checkpoint by its path.",
            )
        return checkpoint

    def __repr__(self) -> str:
        return f"<Checkpoint {self.config['recipe'].get('name', '')}: {self.reference}>"

    @property
    def digest(self) -> str:
        """The SHA-256 of its configuration, which contains those of all other files."""
        return self._files.digest

    def describe_computation(self, kind: str) -> str:
        """Return a text that changes with all that embeddings depend on: the files, and the code that computes.

        Args:
            kind: what is embedded: `picture`, `vector`, `regions` or `text`.
        """
        from vsezoo.checkpoints.provenance import list_versions

        return " ".join([self.digest, *list_versions(self.recipe, self.config["plugins"], kind)])

    @property
    def on_hub(self) -> bool:
        """Whether it was downloaded from the Hub."""
        return self._location.on_hub is not None

    @property
    def has_loss(self) -> bool:
        """Whether it contains parameters of the loss."""
        return LOSS in self.config["files"]

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the model, with the stored options.

        Raises:
            CheckpointError: for a recipe with an unknown field, or a part that is not registered.
        """
        from vsezoo.checkpoints.provenance import find_parts

        with self._explain():
            recipe = Recipe.from_json(self.config["recipe"])
        return find_parts(recipe, self.config["plugins"], self.folder / CONFIG)

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Verify the digests of files that have not been verified yet.

        Args:
            names: file names; None: all files in the configuration.

        Raises:
            CheckpointError: for a file that is absent or differs.
        """
        try:
            self._files.verify(names)
        except CheckpointError as error:
            raise self._location.explain_damage(error) from None

    def model(self, device: str | torch.device = "cpu") -> JointEmbedding:
        """Return the model in eval mode; the same object at each call.

        Raises:
            CheckpointError: for a file that is damaged or does not fit the recipe, or weights that cannot be found.
        """
        return self._model.to(device)

    def text_side(self, device: str | torch.device = "cpu") -> JointEmbedding:
        """Return a model that embeds and compares texts; without the image encoder, unless `model` has loaded it.

        An image encoder may be large and slow to import. The weights file is hashed once each time that it is written.

        Raises:
            CheckpointError: see `model`.
        """
        return (self._model if "_model" in vars(self) else self._text_side).to(device)

    def loss(self, device: str | torch.device = "cpu") -> Loss:
        """Return the loss that the model was trained with in eval mode, such as a caption head.

        Raises:
            CheckpointError: see `model`; also for a checkpoint without the parameters of the loss.
        """
        return self._loss.to(device)

    def is_current(self) -> bool:
        """Return whether the folder still contains these files."""
        return self._files.is_current()

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a listed file, or of `config.json`.

        Raises:
            CheckpointError: for a file that is absent or differs from its digest.
        """
        if name != CONFIG:
            self.verify([name])
        return self._files.read_bytes(name)

    def evaluation(self) -> dict[str, Any] | None:
        """Return the stored metrics, in the form of `Evaluation.to_json`; None if there are none.

        Raises:
            CheckpointError: for damaged metrics.
        """
        if METRICS not in self.config["files"]:
            return None
        self.verify([METRICS])
        return self._files.read_json(METRICS)

    def training_data(self) -> str:
        """Return the name of the training data set, or the path of its folder on this machine.

        Raises:
            UsageError: if no data set of that name is registered and the folder does not exist here.
        """
        name: Any = self.config["data"].get("name")
        folder: str = self._local["data"]
        if folder and os.path.isdir(folder):  # noqa: PTH112 (unlike Path.is_dir, false for an invalid name)
            return folder
        if name == UNKNOWN_DATA:
            raise UsageError(
                "does not say what data set it was trained on.",
                file=self.reference,
                remedy="Name the data: --data DATASET, or --data FOLDER.",
            )
        if not isinstance(name, str) or name not in registry.list_names("datasets"):
            place = f", and the folder {folder} does not exist" if folder else ""
            raise UsageError(
                f"was trained on {name!r}, which is not the name of a registered data set{place}.",
                file=self.reference,
                remedy="Name the data: --data DATASET, or --data FOLDER.",
            )
        return name

    @cached_property
    def _model(self) -> JointEmbedding:
        from vsezoo.checkpoints.assembly import load_model

        self.verify()
        with self._explain():
            return load_model(self._files, self.recipe, self._tokenizer, self._folders)

    @cached_property
    def _text_side(self) -> JointEmbedding:
        from vsezoo.checkpoints.assembly import load_text_side

        self._verify_quickly()
        with self._explain():
            return load_text_side(self._files, self.recipe, self._tokenizer, self._folders)

    @cached_property
    def _loss(self) -> Loss:
        from vsezoo.checkpoints.assembly import load_loss

        self.verify()
        with self._explain():
            return load_loss(self._files, self.recipe, self._tokenizer)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from vsezoo.checkpoints.assembly import read_tokenizer

        return read_tokenizer(self._files, self.recipe)

    @cached_property
    def _local(self) -> dict[str, Any]:
        """Paths on the machine that wrote it: `folders` of weights, and `data`, a folder or empty.

        Raises:
            CheckpointError: for values of other types.
        """
        local = self._files.read_json(LOCAL)
        folders, data = local.get("folders", []), local.get("data", "")
        if not isinstance(data, str) or not isinstance(folders, list) or not all(isinstance(p, str) for p in folders):
            raise CheckpointError(
                "is malformed: expected 'folders' (list of paths) and 'data' (path).",
                file=self.folder / LOCAL,
                remedy="Remove this file; set $VSEZOO_WEIGHTS to the folder of weights, and pass --data.",
            )
        return {"folders": folders, "data": data}

    @property
    def _folders(self) -> list[Path]:
        """Folders of weights that the checkpoint does not contain."""
        return [*map(Path, self._local["folders"]), self.folder]

    def _verify_quickly(self) -> None:
        """Verify everything except the loss; the model once each time that its file is written."""
        files: Mapping[str, Any] = self.config["files"]
        self.verify(name for name in files if not name.endswith(TENSORS))

        def verify_model() -> bool:
            self.verify([MODEL])
            return True

        if remember("verified", [*self._files.identify(MODEL), files[MODEL]["sha256"]], verify_model):
            self._files.trust(MODEL)

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Convert an error in the stored recipe to an error about the checkpoint."""
        try:
            yield
        except RecipeError as error:
            raise CheckpointError(
                error.problem, file=error.file or self.folder / CONFIG, remedy=error.remedy or RESTORE
            ) from error

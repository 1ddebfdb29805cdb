"""The record of how a run was started, stored in its state so that a resumed run does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.recipe import Recipe


@dataclass(frozen=True)
class RunRecord:
    """How a run was started.

    Attributes:
        recipe: with all settings, including those determined by the data.
        data: a registered data set, or the absolute path of a folder.
        data_root: the folder in which a registered data set was looked for; None: the default places.
        full_dev: see `OpenOptions`, also for the next two.
        use_restval: see `OpenOptions`.
        on_bad_image: see `OpenOptions`.
        init: the checkpoint whose weights and vocabulary initialised the model; None: none.
        captions_sha256: digest of the captions as ids and of the tokenizer.
        log_size: size of the log in bytes when the state was saved.
        world_size: number of processes that shared the batches; None: not recorded, by an earlier version.
    """

    recipe: Recipe
    data: str = ""
    data_root: str | None = None
    full_dev: bool = DEFAULT_OPTIONS.full_dev
    use_restval: bool = DEFAULT_OPTIONS.use_restval
    on_bad_image: str = DEFAULT_OPTIONS.on_bad_image
    init: str | None = None
    captions_sha256: str = ""
    log_size: int = 0
    world_size: int | None = None

    @property
    def opening(self) -> OpenOptions:
        """The options for opening the data."""
        root = Path(self.data_root) if self.data_root else None
        return OpenOptions(root, self.full_dev, self.use_restval, self.on_bad_image)

    def to_json(self) -> dict[str, Any]:
        """Return the record for `state.json`."""
        return {**vars(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """Return the record from `to_json`, or one of an earlier version with fewer entries.

        Raises:
            KeyError: for a record without a recipe.
            RecipeError: for a recipe that cannot be read.
        """
        known = {field.name for field in fields(cls)} - {"recipe"}
        return cls(Recipe.from_json(value["recipe"]), **{name: value[name] for name in value if name in known})

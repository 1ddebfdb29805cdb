"""What a training run was started with. Kept in its state, so that a resumed run does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.recipe import Recipe


@dataclass(frozen=True)
class RunRecord:
    """What a training run was started with.

    Attributes:
        recipe: with all settings, those that the data decide included.
        data: a registered data set, or the absolute path of a folder.
        data_root: the folder in which a registered data set was looked for; None: the default places.
        full_dev: see `OpenOptions`, as for the two that follow.
        use_restval: add COCO's restval to the training split.
        on_bad_image: what to do about images that cannot be read.
        init: the checkpoint whose weights and vocabulary the model began with; None: none.
        captions_sha256: the digest of the captions as ids and of the tokenizer.
        log_size: bytes of the log when the state was saved.
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

    @property
    def opening(self) -> OpenOptions:
        """How the data were opened."""
        root = Path(self.data_root) if self.data_root else None
        return OpenOptions(root, self.full_dev, self.use_restval, self.on_bad_image)

    def to_json(self) -> dict[str, Any]:
        """Return the record as `state.json` has it."""
        return {**vars(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """Return the record that `to_json` gave, or that of an earlier version, which has fewer entries.

        Raises:
            KeyError: for a record without a recipe.
            RecipeError: for a recipe that cannot be read.
        """
        known = {field.name for field in fields(cls)} - {"recipe"}
        return cls(Recipe.from_json(value["recipe"]), **{name: value[name] for name in value if name in known})

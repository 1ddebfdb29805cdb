"""Recipes: a named model with its encoders, similarity, loss and training settings, as plain data.

A recipe holds registry names and JSON values only, never an import path, so that it can be listed without
importing a model and stored in a checkpoint without trusting it. Imports nothing but the standard library.
"""

from typing import TYPE_CHECKING, Any

from vsezoo.recipe.part import PART_KINDS as PART_KINDS
from vsezoo.recipe.part import TRAINING_PARTS as TRAINING_PARTS
from vsezoo.recipe.part import Part as Part
from vsezoo.recipe.published import Paper as Paper
from vsezoo.recipe.published import PublishedResult as PublishedResult
from vsezoo.recipe.recipe import Override as Override
from vsezoo.recipe.recipe import Recipe as Recipe
from vsezoo.recipe.settings import CHOICES as CHOICES
from vsezoo.recipe.settings import TRAINING_FIELDS as TRAINING_FIELDS
from vsezoo.recipe.settings import Training as Training
from vsezoo.recipe.settings import TrainingSettings as TrainingSettings

if TYPE_CHECKING:
    from vsezoo.recipe.pretrained import Pretrained as Pretrained
else:  # see `vsezoo.__getattr__`; a listing of models, which must start fast, needs no checkpoints

    def __getattr__(name: str) -> Any:
        if name == "Pretrained":
            from vsezoo.recipe.pretrained import Pretrained

            return Pretrained
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The check of parts whose training steps a GPU may replay."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vsezoo.errors import first_line
from vsezoo.interfaces import Encoder, ModelPart
from vsezoo.testing.inputs import drop_values, record_call
from vsezoo.testing.kit import promise, require
from vsezoo.testing.parts import PartKit
from vsezoo.training.replay import is_replayable


@dataclass
class ReplayedKit(PartKit):
    """The checks of every part, and that of `replayable`."""

    @promise(
        "replayable",
        "Compute with tensors, shapes and options alone: no item(), no `if tensor`, no boolean index, no dropout. Or "
        "leave replayable False: the step is then computed as usual.",
    )
    def check_replayable(self) -> None:
        """If it says that a GPU may replay its step, `forward` in training reads no value, and draws no random numbers.

        It is called with tensors that have shapes but no values.
        """
        built = self.build()
        part = self.find(built).train()
        if not (isinstance(part, ModelPart) and is_replayable(part)):
            return
        keeps, before = isinstance(part, Encoder) and part.keep_items, torch.get_rng_state()
        with record_call(part) as given:
            self.run(built)
        require(torch.equal(torch.get_rng_state(), before), "its forward draws random numbers")
        if isinstance(part, Encoder):
            part.keep_items = keeps
        try:
            part.to("meta")(*drop_values(given))
        except (RuntimeError, NotImplementedError) as error:
            require(False, f"its forward reads the value of a tensor: {first_line(error)}")

"""What a plugin changes in the whole process is named, and taken back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vsezoo import registry
from vsezoo.errors import VsezooWarning
from vsezoo.interfaces import Similarity
from vsezoo.registry.owners import guard
from vsezoo.similarities import CosineSimilarity

Install = Callable[..., Path]

CHANGES = {
    "the default dtype": "torch.set_default_dtype(torch.float64)",
    "the default device": "torch.set_default_device('meta')",
    "whether torch computes deterministically": "torch.use_deterministic_algorithms(True)",
    "the settings of cuDNN": "torch.backends.cudnn.benchmark = True",
    "the precision of matrix products": "torch.set_float32_matmul_precision('medium')",
    "the number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "whether gradients are computed": "torch.set_grad_enabled(False)",
    "Python's random numbers": "random.seed(20261129)",
    "NumPy's random numbers": "numpy.random.seed(20261129)",
    "torch's random numbers": "torch.manual_seed(20261129)",  # of no other test, or nothing would change
}


def read_state() -> list[Any]:
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        random.getstate(),
        np.random.get_state()[1].tobytes(),
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.parametrize("noun", CHANGES)
def test_a_change_at_import(noun: str, install: Install) -> None:
    source = (
        f"import random, numpy, torch\n{CHANGES[noun]}\nfrom vsezoo.similarities import CosineSimilarity as thing\n"
    )
    install("demo", {"similarities": {"mine": "made_a:thing"}}, {"made_a": source}, "1.2")
    before = read_state()
    with pytest.warns(VsezooWarning) as caught:
        registry.load("similarities", "mine")
    assert [str(one.message) for one in caught] == [
        f"The similarity 'mine' of demo 1.2 changed {noun} when it was imported. This was taken back."
    ]
    assert read_state() == before


def test_a_change_in_use() -> None:
    class Loud(Similarity):
        def forward(self, images: Any, texts: Any) -> Any:
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(torch.get_num_threads() + 1)
            return images @ texts.T + torch.rand(())

    registry.register("similarities", "loud")(Loud)
    before = read_state()
    said = "'loud' of this session changed the default dtype and the number of threads when it was used"
    with pytest.warns(VsezooWarning, match=said), guard(Loud()):
        Loud()(torch.eye(2), torch.eye(2))
    assert read_state()[:9] == before[:9]
    assert read_state()[9] != before[9]  # it may draw numbers
    with guard(CosineSimilarity()):  # vsezoo's own are not looked at
        torch.set_num_threads(torch.get_num_threads())


def test_an_import_that_fails_is_taken_back_as_well(install: Install) -> None:
    source = "import torch\ntorch.set_default_dtype(torch.float64)\n1 / 0\n"
    install("demo", {"similarities": {"bad": "made_b:thing"}}, {"made_b": source})
    with pytest.raises(Exception, match="cannot be loaded"):
        registry.load("similarities", "bad")
    assert torch.get_default_dtype() == torch.float32

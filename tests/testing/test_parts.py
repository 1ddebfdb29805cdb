"""Every built-in part keeps what the core relies on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tiny_bert import find_model

from vsezoo import registry
from vsezoo.testing import Check, check_text_encoder, list_checks

CLIP: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2}

OPTIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("image_encoders", "precomp"): [{}, {"pool": "mean", "center": True}, {"use_abs": True, "normalize": False}],
    ("image_encoders", "regions"): [{}, {"pool": "max", "center": True}, {"pool": "gpo"}],
    ("image_encoders", "vsrn"): [{"num_blocks": 2}, {"norm_axis": "feature", "final_batch_norm": True}],
    ("image_encoders", "timm"): [
        {"model": "test_resnet", "weights": "none", "finetune": True},
        {"model": "test_resnet", "weights": "none", "image_size": 64, "head": "vsrn"},
    ],
    ("image_encoders", "torchvision"): [{"model": "mobilenet_v3_small", "weights": "none", "image_size": 64}],
    ("image_encoders", "vse-infty-regions"): [{}, {"mlp": False, "vary_augmentation": True, "center": True}],
    ("image_encoders", "pcmepp-clip"): [{**CLIP, "patch_size": 16, "image_size": 32}],
    ("image_encoders", "pcmepp-regions"): [{}, {"pool": "mean", "center": True}],
    ("losses", "pcmepp"): [{}, {"vib": 0.0, "pseudo": 0.0, "smoothing": 0.1}],
    ("text_encoders", "gru"): [{}, {"bidirectional": True, "words": "letters", "use_abs": True}, {"pool": "gpo"}],
    ("text_encoders", "lstm"): [{"num_layers": 2, "words": "split", "off_by_two": True, "init": "orthogonal"}],
    ("text_encoders", "bow"): [{}, {"words": "split", "init": "torch"}],
    ("similarities", "order"): [{}, {"squared": True}],
    ("losses", "hinge"): [{}, {"max_violation": True, "warmup_epochs": 1}, {"mask_same_image": True}],
    ("losses", "infonce"): [{}, {"learn_temperature": True, "mask_same_image": True}],
    ("losses", "sigmoid"): [{}, {"learn": False, "mask_same_image": True}],
    ("losses", "caption"): [{"hidden_size": 8, "word_dim": 4, "dropout": 0.0}],
}
"""What is checked next to the defaults, or in place of them."""

NEED_FILES = [("text_encoders", name) for name in ("hf", "pcmepp-clip", "residual-hf", "vse-infty-hf")]
"""Parts that are built from files: see below."""
BACKBONES = ("timm", "torchvision")
"""Image encoders whose networks have many layers even where they are small."""
NEED_PRETRAINED = ("blip-2", "clip", "open-clip")
"""Encoders that cannot be built without pretrained weights: tests/plugins/clip has them."""


def list_parts() -> Iterator[Any]:
    for kind in ("image_encoders", "text_encoders", "similarities", "losses"):
        for entry in registry.list_entries(kind):
            if entry.distribution != registry.OWN or (kind, entry.name) in NEED_FILES or entry.name in NEED_PRETRAINED:
                continue
            for options in OPTIONS.get((kind, entry.name), [{}]):
                words = "-".join(f"{name}={value}" for name, value in options.items())
                papers = not entry.value.startswith("vsezoo.")  # many
                marks = pytest.mark.slow if papers or entry.name in BACKBONES else ()
                for check in list_checks(kind, entry.name, options=options):
                    name = f"{entry.name}-{words}-{check.name}".replace("--", "-")
                    yield pytest.param(check, id=name, marks=marks)


@pytest.mark.parametrize("check", list(list_parts()))
def test_a_built_in_part(check: Check) -> None:
    check()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"finetune": True, "pool": "gpo", "max_len": 6}], ids=["frozen", "fine-tuned"])
def test_the_transformer(options: dict[str, Any]) -> None:
    check_text_encoder("hf", options={"model": find_model(), **options})


@pytest.mark.slow
def test_the_text_side_of_pcmepp() -> None:
    check_text_encoder("pcmepp-clip", options={"model": find_model(), **CLIP})


@pytest.mark.slow
def test_the_transformer_with_a_perceptron() -> None:
    check_text_encoder("residual-hf", options={"model": find_model(), "layers": [0, -1], "hidden_size": 8})


@pytest.mark.slow
def test_the_transformer_of_vse_infty() -> None:
    check_text_encoder("vse-infty-hf", options={"model": find_model()})

"""Which distribution an object comes from, in messages and in notes of exceptions."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from vsezoo import registry
from vsezoo.cli import main
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import PluginError, UsageError
from vsezoo.interfaces import ImageEncoder, Loss, Similarity, TextEncoder
from vsezoo.registry.owners import describe, find_entry, note_owner, point_to_checks, require_scores
from vsezoo.similarities import CosineSimilarity

Install = Callable[..., Path]

PARTS = """
from vsezoo.interfaces import Similarity

class Dot(Similarity):
    def forward(self, images, texts):
        raise KeyError("x")

def rate(*, epoch):
    return 1 / 0
"""


def test_objects_are_described_by_their_registered_names(install: Install) -> None:
    install(
        "demo", {"similarities": {"dot": "made_a:Dot"}, "schedules": {"rate": "made_a:rate"}}, {"made_a": PARTS}, "2.3"
    )
    dot, rate = registry.load("similarities", "dot"), registry.load("schedules", "rate")
    assert describe(dot()) == describe(dot) == "similarity 'dot' of demo 2.3"
    assert describe(rate) == "schedule 'rate' of demo 2.3"
    assert describe(CosineSimilarity()) == "similarity 'cosine'"
    assert (point_to_checks(CosineSimilarity()), find_entry(object())) == ("", None)

    assert [describe(PrecomputedImageEncoder, name) for name in ("precomp", "linear")] == [
        "image encoder 'precomp'",
        "image encoder 'linear'",
    ]

    class Unregistered(CosineSimilarity):
        pass

    assert describe(Unregistered()).endswith("Unregistered")
    registry.register("similarities", "mine")(Unregistered)
    assert describe(Unregistered()) == "similarity 'mine' of this session"


def test_an_exception_gets_a_note_of_its_plugin(install: Install) -> None:
    install(
        "demo", {"similarities": {"dot": "made_a:Dot"}, "schedules": {"rate": "made_a:rate"}}, {"made_a": PARTS}, "2.3"
    )
    dot, rate = registry.load("similarities", "dot"), registry.load("schedules", "rate")
    with pytest.raises(KeyError) as raised:
        dot()(1, 2)
    note_owner(raised.value)
    (note,) = raised.value.__notes__
    assert note.startswith("Raised in the similarity 'dot' of demo 2.3. vsezoo.testing.check('similarities', 'dot')")
    with pytest.raises(ZeroDivisionError) as in_function:
        rate(epoch=1)
    note_owner(in_function.value)
    assert in_function.value.__notes__[0].startswith("Raised in the schedule 'rate' of demo 2.3.")
    with pytest.raises(AttributeError) as of_vsezoo:
        CosineSimilarity()(1, 2)
    note_owner(of_vsezoo.value)
    assert not hasattr(of_vsezoo.value, "__notes__")


def test_the_command_line_adds_the_note(install: Install) -> None:
    source = "import click\n@click.command('fails')\ndef fails():\n    work()\ndef work():\n    1 / 0\n"
    install("demo", {"commands": {"fails": "made_a:fails"}, "layouts": {"work": "made_a:work"}}, {"made_a": source})
    registry.load("layouts", "work")
    error = CliRunner().invoke(main, ["fails"]).exception
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__[0].startswith("Raised in the layout 'work' of demo 1.0")


@pytest.mark.parametrize(
    ("scores", "given"),
    [
        ((1, 2), "a tuple"),
        (None, "a NoneType"),
        (np.zeros((2, 3), np.float32), "a ndarray"),
        (torch.zeros(2, 3, dtype=torch.int64), "scores of type torch.int64 instead of floating-point numbers"),
    ],
)
def test_scores_that_are_not_a_tensor_of_floats(scores: Any, given: str) -> None:
    with pytest.raises(PluginError, match=rf"^The similarity 'cosine' returned {given}; .* shape \(2, 3\)"):
        require_scores(CosineSimilarity(), scores, 2, 3)


# Attributes with a few values


def test_a_wrong_value_of_an_attribute_is_refused_when_the_part_is_loaded(install: Install) -> None:
    install(
        "demo",
        {"similarities": {"dot": "made_a:Dot"}},
        {"made_a": PARTS.replace("    def f", "    inputs = 'set'\n    def f")},
    )
    with pytest.raises(PluginError, match=r"the similarity has inputs = 'set'; it must be 'vectors' or 'sets'"):
        registry.load("similarities", "dot")
    with pytest.raises(UsageError, match=r"the loss has needs = \['sets'\]; it must be 'vectors' or 'extras' or"):
        registry.register("losses", "wrong")(type("Wrong", (Loss,), {"needs": ["sets"], "forward": lambda: None}))


def test_an_attribute_may_be_a_property() -> None:
    members = {"metric": property(lambda self: "inner_product"), "forward": lambda self, images, texts: None}
    registry.register("similarities", "decides")(type("Decides", (Similarity,), members))


@pytest.mark.parametrize(
    ("kind", "base"),
    [("image_encoders", ImageEncoder), ("text_encoders", TextEncoder), ("similarities", Similarity), ("losses", Loss)],
)
def test_the_values_are_those_of_the_interface(kind: str, base: type) -> None:
    hints = {name: typing.get_type_hints(owner).get(name) for owner in base.__mro__[::-1] for name in vars(owner)}
    for name, choices in registry.KINDS[kind].choices.items():
        hint = hints[name]
        literal = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.ClassVar else hint
        if literal is not str:
            assert set(typing.get_args(literal)) == set(choices)
        assert getattr(base, name) in choices

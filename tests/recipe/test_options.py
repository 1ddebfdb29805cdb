"""Declared options: what is read of a constructor, and which values are allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from vsezoo.errors import RecipeError
from vsezoo.recipe.declared import Option
from vsezoo.recipe.options import Above, AtLeast, AtMost, Below, Between, Each, Limit, OneOf, Or
from vsezoo.recipe.signatures import ChecksOptions, read_options, read_parameters

if TYPE_CHECKING:
    from nowhere import Unknown

CHOICES = ("mean", "max")


class Even(Limit):
    def allows(self, value: int) -> bool:
        return value % 2 == 0

    def __str__(self) -> str:
        return "even"


class Base(ChecksOptions):
    """The base.

    Args:
        margin: by how much. A second sentence.
        pool: how (as in A; or by B. Without C, [0, 1) is cut), x; and why.
    """

    def __init__(
        self,
        *,
        embed_size: int,
        margin: Annotated[float, AtLeast(0)] = 0.2,
        pool: Annotated[str, OneOf(*CHOICES)] = "mean",
    ) -> None:
        self.margin, self.pool = margin, pool


class Derived(Base):
    """Its options come first.

    Args:
        depth, width: what it says of both,
            in two lines.
        margin: the subclass's words.
        **of_base: the options of `Base`.

    Returns:
        width: nothing of this.
    """

    def __init__(self, *, depth: Annotated[int, Even()] = 2, width: int | None = None, **of_base: Any) -> None:
        super().__init__(**of_base)
        self.depth = depth


class Plain:
    def __init__(self, *, size=3, name="x", unknown: Unknown = None, other: Base = None):  # type: ignore[no-untyped-def]
        pass


def test_options_are_parameters_with_a_default_own_ones_first() -> None:
    options = read_options(Derived, given=("embed_size",))
    assert {name: option.default for name, option in options.items()} == {
        "depth": 2,
        "width": None,
        "margin": 0.2,
        "pool": "mean",
    }
    assert list(options) == ["depth", "width", "margin", "pool"]
    assert options["margin"].hint is float
    assert options["margin"].range == "at least 0"
    assert options["pool"].choices == CHOICES
    assert options["depth"].range == "even"
    assert options["width"].limits == ()


def test_what_a_docstring_says_is_the_first_clause_of_the_nearest_class() -> None:
    docs = {name: option.doc for name, option in read_options(Derived).items()}
    assert docs == {
        "depth": "what it says of both, in two lines",
        "width": "what it says of both, in two lines",
        "margin": "the subclass's words",
        "pool": "how (as in A; or by B. Without C, [0, 1) is cut), x",
    }
    assert read_options(Base)["margin"].doc == "by how much"


def test_options_without_annotations_have_the_type_of_their_default() -> None:
    options = read_options(Plain)
    assert options["size"].convert(4, "size") == 4
    with pytest.raises(RecipeError, match=r"^loss\.size is 'a'; it must be of type int, such as 3\.$"):
        options["size"].convert("a", "loss.size")
    assert options["unknown"].convert([1], "x") == [1]  # its annotation is for type checkers alone
    assert options["other"].convert("any", "x") == "any"


def test_parameters_are_those_of_the_classes_that_get_the_keywords() -> None:
    assert list(read_parameters(Derived)) == ["depth", "width", "embed_size", "margin", "pool"]
    assert list(read_parameters(lambda epoch, *, every=2, **rest: 1)) == ["epoch", "every", "rest"]

    class Anything(Base):
        def __init__(self, **keywords: Any) -> None:
            super().__init__(**keywords)

    class Closed(Anything):
        def __init__(self, *, size: int = 1) -> None:
            super().__init__(embed_size=size)

    assert list(read_parameters(Anything)) == ["embed_size", "margin", "pool"]
    assert list(read_parameters(Closed)) == ["size"]


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (float, 1, 1.0),
        (float | None, None, None),
        (float | None, 2, 2.0),
        (Sequence[float], (1, 2.5), [1.0, 2.5]),
        (list[int], [1], [1]),
        (Sequence[float] | None, [0.5], [0.5]),
        (Mapping[str, Any], {"a": 1}, {"a": 1}),
        (Any, [{}], [{}]),
    ],
)
def test_values_become_what_the_option_is(hint: Any, value: Any, expected: Any) -> None:
    converted = Option("x", "default", hint).convert(value, "x")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value", "kind"),
    [
        (int, True, "int"),
        (int, 1.0, "int"),
        (bool, 1, "bool"),
        (float, 10**400, "float"),
        (float, True, "float"),
        (str, 3, "str"),
        (float | None, "x", "float or null"),
        (Sequence[float], 3.0, "list of float"),
        (Sequence[float], [1, "x"], "list of float"),
        (Sequence[float], "12", "list of float"),
        (Mapping[str, Any], [], "object"),
        (list, {}, "list"),
    ],
)
def test_a_value_of_another_type_is_refused(hint: Any, value: Any, kind: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Option("x", None, hint).convert(value, "part.x")
    assert str(caught.value) == f"part.x is {value!r}; it must be of type {kind}."


@pytest.mark.parametrize(
    ("limits", "allowed", "refused", "words"),
    [
        ([AtLeast(0)], [0, 0.5, 1e300], [-1e-9, math.nan, math.inf], "at least 0"),
        ([AtMost(1)], [1, -5], [1.1, math.nan, -math.inf], "at most 1"),
        ([Above(0)], [1e-9], [0, math.nan, math.inf], "above 0"),
        ([Below(1)], [0.999], [1, math.nan], "below 1"),
        ([AtLeast(0), Below(1)], [0, 0.5], [1, -1], "at least 0 and below 1"),
        ([Between(0, 1)], [0, 1], [-0.1, 1.1, math.nan], "from 0 to 1"),
        ([Or(0, Between(0.5, 1))], [0, 0.5, 1], [0.2, 2], "0 or from 0.5 to 1"),
        ([OneOf(1, 10)], [1, 10], [2], "one of 1, 10"),
        ([Each(Above(0), length=2)], [[1, 2]], [[1], [1, 0], []], "2 values, each above 0"),
        ([Each(Between(0, 1))], [[0], [1, 1, 0.5]], [[], [2]], "one or more values, each from 0 to 1"),
    ],
)
def test_limits(limits: list[Limit], allowed: list[Any], refused: list[Any], words: str) -> None:
    option = Option("x", None, Any, tuple(limits))
    for value in [*allowed, None]:
        assert option.convert(value, "x") == value
    for value in refused:
        with pytest.raises(RecipeError, match=rf"x is .*; it must be .*{words}\.$"):
            option.convert(value, "x")


def test_a_number_without_end_is_named_so() -> None:
    with pytest.raises(RecipeError, match=r"^x is inf; it must be a finite number, at least 0\.$"):
        Option("x", 1.0, float, (AtLeast(0),)).convert(math.inf, "x")


def test_a_choice_that_is_nearly_spelt_is_suggested() -> None:
    with pytest.raises(
        RecipeError, match=r"^loss\.pool is 'mea'; it must be one of mean, max\.\nDid you mean 'mean'\?"
    ):
        read_options(Base)["pool"].convert("mea", "loss.pool")


def test_a_default_is_allowed_whatever_the_limits_say() -> None:
    assert Option("x", 0, int, (AtLeast(1),)).convert(0, "x") == 0


def test_a_literal_lists_the_choices() -> None:
    def function(*, norm: Literal["l1", "l2"] = "l2") -> None: ...

    option = read_options(function)["norm"]
    assert option.choices == ("l1", "l2")
    assert option.convert("l1", "x") == "l1"
    with pytest.raises(RecipeError, match="one of l1, l2"):
        option.convert("l3", "x")


def test_a_call_in_python_is_checked_too() -> None:
    assert Derived(embed_size=1, margin=0, depth=4).margin == 0
    for options, message in (
        ({"depth": 3}, "^depth is 3; it must be even"),
        ({"margin": -1.0}, "^margin is -1.0; it must be at least 0"),
        ({"margin": "wide"}, "^margin is 'wide'; it must be of type float"),
    ):
        with pytest.raises(RecipeError, match=message):
            Derived(embed_size=1, **options)
    with pytest.raises(TypeError):
        Derived(embed_size=1, dept=3)

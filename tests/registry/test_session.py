"""Objects that a notebook registers."""

from __future__ import annotations

import pytest
from torch import Tensor

from vsezoo import registry
from vsezoo.errors import ConflictError, UsageError
from vsezoo.interfaces import Similarity


@pytest.fixture(autouse=True)
def _all_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VSEZOO_PLUGINS", raising=False)


def make_class() -> type[Similarity]:
    """Return a new class, as each run of a cell makes one."""

    class Dot(Similarity):
        def forward(self, images: Tensor, texts: Tensor) -> Tensor:
            return images @ texts.T

    return Dot


def test_a_registered_class_is_found() -> None:
    made = make_class()
    assert registry.register("similarities", "dot")(made) is made  # the decorator returns the class itself
    entry = registry.find("similarities", "dot")
    assert (entry.distribution, entry.qualified, entry.conflict) == ("session", "session:dot", False)
    assert entry.load() is made
    assert registry.load("similarities", "session:dot") is made
    assert "dot" in registry.list_names("similarities")


def test_the_same_cell_again_replaces() -> None:
    first, second = make_class(), make_class()
    registry.register("similarities", "dot")(first)
    registry.register("similarities", "dot")(second)
    assert registry.load("similarities", "dot") is second
    assert registry.list_names("similarities").count("dot") == 1


def test_the_allow_list_is_for_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("similarities", "dot")(make_class())
    monkeypatch.setenv("VSEZOO_PLUGINS", "none")
    assert "dot" in registry.list_names("similarities")


def test_an_installed_name_is_replaced_only_on_demand() -> None:
    with pytest.raises(ConflictError, match=r"already registered by vsezoo:cosine\.\n.*replace=True"):
        registry.register("similarities", "cosine")
    made = make_class()
    registry.register("similarities", "cosine", replace=True)(made)
    assert registry.load("similarities", "cosine") is made
    assert registry.load("similarities", "vsezoo:cosine").__name__ == "CosineSimilarity"


def test_what_cannot_be_registered() -> None:
    with pytest.raises(UsageError, match="of type function; a similarity must be a subclass"):
        registry.register("similarities", "dot")(make_class)
    with pytest.raises(UsageError, match="colon"):
        registry.register("similarities", "my:dot")
    with pytest.raises(UsageError, match="not a kind"):
        registry.register("similarity", "dot")
    assert "dot" not in registry.list_names("similarities")


def test_a_session_ends_as_it_began() -> None:
    first, second = make_class(), make_class()
    registry.register("similarities", "dot")(first)
    with registry.session():
        registry.register("similarities", "dot")(second)
        registry.register("similarities", "other")(second)
        assert registry.load("similarities", "dot") is second
    assert registry.load("similarities", "dot") is first
    assert "other" not in registry.list_names("similarities")
    with registry.session(empty=True):
        assert "dot" not in registry.list_names("similarities")
    assert registry.load("similarities", "dot") is first

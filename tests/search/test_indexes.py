"""Search backends of the registry: which one is asked, and which similarities it goes with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.errors import UnknownNameError, UsageError
from vsezoo.search.index import open_index
from vsezoo.search.indexes import ExactRows, NearestRows
from vsezoo.similarities import CosineSimilarity
from vsezoo.testing import check_index


class Backwards(NearestRows):
    """Finds the last rows, whatever the query; remembers what it was built from."""

    built: list[tuple[tuple[int, ...], str, str]]

    def __init__(self, rows: Tensor, similarity: Any, side: str) -> None:
        self.count = len(rows)
        self.built.append((tuple(rows.shape), type(similarity).__name__, side))

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        numbers = torch.arange(self.count - 1, self.count - 1 - k, -1).repeat(len(queries), 1)
        return numbers.float(), numbers


class Products(ExactRows):
    metric = "inner_product"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a checkpoint, next to a file of features."""
    monkeypatch.setattr(Backwards, "built", [], raising=False)
    registry.register("indexes", "backwards")(Backwards)
    registry.register("indexes", "products")(Products)
    tiny.save_model(tmp_path / "run")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, tiny.WIDTH)).astype(np.float32))
    return tmp_path / "run"


def test_the_index_that_is_named_is_built_once(run: Path) -> None:
    index = open_index(run, images=run.parent / "a.npy", index="backwards")
    assert Backwards.built == []
    assert [hit.item for hit in index.search("a dog", 3)] == [8, 7, 6]
    for hits in index.search_many(["a dog", "snow"], 20):
        assert [hit.score for hit in hits] == list(range(8, -1, -1))
    assert Backwards.built == [((9, 5), "CosineSimilarity", "images")]
    sentences = open_index(run, texts=["a dog", "snow"], index="session:backwards")
    assert sentences.search(np.ones(tiny.WIDTH, np.float32), 1)[0].text == "snow"
    assert Backwards.built[1:] == [((2, 5), "CosineSimilarity", "texts")]


@pytest.mark.slow
def test_an_index_of_inner_products_goes_with_similarities_that_are_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = run.parent / "a.npy"
    monkeypatch.setattr(CosineSimilarity, "metric", "inner_product", raising=False)
    exact = open_index(run, images=images).search("a dog", 9)
    assert open_index(run, images=images, index="products").search("a dog", 9) == exact
    tiny.save_model(run.parent / "order", tiny.make_model("orderpp"))
    with pytest.raises(
        UsageError, match=r"index 'products' finds inner products, .* 'order' does not declare"
    ) as caught:
        open_index(run.parent / "order", images=images, index="products")
    assert "'exact'" in caught.value.remedy


def test_a_similarity_of_a_plugin_that_says_nothing_is_no_inner_product(run: Path) -> None:
    class Plain(CosineSimilarity):
        metric = ""

    registry.register("similarities", "plain")(Plain)
    tiny.save_model(run.parent / "plain", tiny.make_model(similarity="plain"))
    with pytest.raises(UsageError, match="'plain' does not declare"):
        open_index(run.parent / "plain", images=run.parent / "a.npy", index="products")


def test_an_index_that_is_not_there(run: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no index 'exat'\.\nDid you mean 'exact'"):
        open_index(run, images=run.parent / "absent.npy", index="exat")  # before anything is looked for


def test_the_exact_index_keeps_what_is_promised() -> None:
    check_index("exact")


def test_on_the_command_line(run: Path, vse: Callable[..., Any]) -> None:
    done = vse("search", str(run), "a dog", "--images", str(run.parent / "a.npy"), "--index", "hnsw")
    assert done.code == 2
    assert "There is no index 'hnsw'" in done.stderr

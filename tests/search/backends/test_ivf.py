"""The index of cells: what it finds, ties, changes, and how many cells it looks at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colours import save_colour_model
from processes import assert_one_message
from torch import Tensor
from torch.nn import functional

from vsezoo.errors import DataError
from vsezoo.search.backends import cells, ivf
from vsezoo.search.backends.ivf import CellRows
from vsezoo.search.indexes import ExactRows, Rows
from vsezoo.search.recall import choose_least
from vsezoo.similarities import CosineSimilarity
from vsezoo.testing import check_index

pytest.importorskip("faiss")

WIDTH, COSINE = 24, CosineSimilarity()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "LEAST", 100)
    monkeypatch.setattr(ivf, "QUERIES", 100)


def draw(count: int, groups: int = 40, seed: int = 0) -> Tensor:
    """Return unit vectors around some centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, WIDTH, generator=torch.Generator().manual_seed(99))
    chosen = torch.randint(groups, (count,), generator=generator)
    return functional.normalize(centres[chosen] + 0.4 * torch.randn(count, WIDTH, generator=generator), dim=1)


def keep(folder: Path, rows: Rows, generation: int = 1, state: dict[str, object] | None = None) -> dict[str, object]:
    return dict(CellRows.keep(folder, rows, generation, {}, state or {}))


def reopen(folder: Path, rows: Rows, state: dict[str, object]) -> CellRows:
    return CellRows.open(folder, rows, state, COSINE, "images")


def assert_equal_to_exact(index: CellRows, rows: Rows, queries: Tensor, k: int) -> None:
    expected = ExactRows(rows.vectors, COSINE, "images", rows.alive).find(queries, k)
    scores, numbers = index.find(queries, k)
    assert numbers.tolist() == expected[1].tolist()
    torch.testing.assert_close(scores, expected[0], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_it_keeps_what_is_promised() -> None:
    check_index("ivf", recall=0.8)


def test_small_collections_are_scored_whole(tmp_path: Path) -> None:
    rows = Rows(draw(99), None)
    assert keep(tmp_path, rows) == {}
    assert list(tmp_path.iterdir()) == []
    assert_equal_to_exact(reopen(tmp_path, rows, {}), rows, draw(5, seed=1), 99)


@pytest.mark.slow
def test_all_cells_find_what_exact_does_with_its_scores(tmp_path: Path) -> None:
    rows = Rows(draw(1000), None)
    state = keep(tmp_path, rows)
    assert 1 <= int(state["probes"]) < int(state["cells"])  # type: ignore[call-overload]
    assert float(state["recall"]) > 0.9  # type: ignore[arg-type]
    index = reopen(tmp_path, rows, state | {"probes": 10**6})
    for k in (1, 10, 50, 1000):
        assert_equal_to_exact(index, rows, draw(7, seed=1), k)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [50, 300])
def test_of_equal_rows_the_first_are_found(tmp_path: Path, copies: int) -> None:
    """Faiss returns any of them, and they do not all fit among the candidates."""
    vectors = draw(1000)
    vectors[torch.randperm(1000, generator=torch.Generator().manual_seed(3))[:copies]] = vectors[0].clone()
    rows = Rows(vectors, None)
    index = reopen(tmp_path, rows, keep(tmp_path, rows))
    assert_equal_to_exact(index, rows, vectors[:1], 10)


@pytest.mark.slow
def test_cells_with_too_few_rows_are_not_the_end(tmp_path: Path) -> None:
    rows = Rows(draw(1000), None)
    index = reopen(tmp_path, rows, keep(tmp_path, rows) | {"probes": 1})
    scores, numbers = index.find(draw(4, seed=1), 50)
    assert all(len(set(row)) == 50 for row in numbers.tolist())
    assert bool((scores[:, 1:] <= scores[:, :-1]).all())


@pytest.mark.slow
def test_rows_that_are_removed_and_added(tmp_path: Path) -> None:
    before = Rows(draw(1000), None)
    state = keep(tmp_path, before)
    alive = torch.ones(1020, dtype=torch.bool)
    alive[:1000:100] = False
    alive[1001] = False
    rows = Rows(torch.cat([before.vectors, draw(20, seed=5)]), alive)
    assert keep(tmp_path, rows, 2, state) == state  # few: the late ones are scored
    index = reopen(tmp_path, rows, state | {"probes": 10**6})
    assert_equal_to_exact(index, rows, torch.cat([rows.vectors[[0, 100, 1000, 1001, 1019]], draw(5, seed=1)]), 10)
    many = Rows(torch.cat([rows.vectors, draw(70, seed=6)]), torch.cat([alive, torch.ones(70, dtype=torch.bool)]))
    again = keep(tmp_path, many, 3, state)
    assert again["files"] == ["3.faiss"]
    assert_equal_to_exact(reopen(tmp_path, many, again | {"probes": 10**6}), many, draw(9, seed=1), 10)


@pytest.mark.slow
def test_float16_rows(tmp_path: Path) -> None:
    rows = Rows(draw(400).half(), None)
    index = reopen(tmp_path, rows, keep(tmp_path, rows) | {"probes": 10**6})
    assert_equal_to_exact(index, rows, draw(5, seed=1), 10)


@pytest.mark.slow
def test_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    rows = Rows(draw(400), None)
    state = keep(tmp_path, rows)
    file = tmp_path / "1.faiss"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"1\.faiss: is damaged"):
        reopen(tmp_path, rows, state)
    file.unlink()
    with pytest.raises(DataError, match=r"1\.faiss: is missing"):
        reopen(tmp_path, rows, state)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what of a file is in memory")
@pytest.mark.slow
def test_mapped_cells_give_their_memory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(draw(1000), None)
    index = reopen(tmp_path, rows, keep(tmp_path, rows) | {"probes": 10**6})

    def measure() -> int:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(tmp_path))[1]
        return int(re.findall(r"^Rss: +(\d+) kB", maps, re.MULTILINE)[0])

    assert_equal_to_exact(index, rows, draw(2, seed=1), 10)
    assert measure() >= 1000 * WIDTH * 2 // 1024
    monkeypatch.setattr(cells, "KEPT", 0)
    for _ in range(2):
        assert_equal_to_exact(index, rows, draw(2, seed=1), 10)
        assert measure() == 0


def test_the_number_of_cells_is_the_least_that_is_enough() -> None:
    asked = []
    assert choose_least(1000, lambda count: asked.append(count) or count >= 50) == 64  # type: ignore[func-returns-value]
    assert len(asked) <= 5
    assert choose_least(1000, lambda count: False) == 1000
    assert choose_least(1, lambda count: True) == 1


@pytest.mark.slow
def test_more_recall_needs_more_cells(tmp_path: Path) -> None:
    noise = functional.normalize(torch.randn(1500, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)
    rows = Rows(noise, None)
    few, many = (CellRows.keep(tmp_path, rows, 1, {"recall": recall}, {}) for recall in (0.5, 0.99))
    assert few["probes"] < many["probes"]
    assert few["recall"] < many["recall"]


@pytest.mark.slow
def test_a_folder_of_cells(run: Path, tmp_path: Path, vse: Any) -> None:
    """What the commands build, choose, warn of and measure; each mistake has one message."""
    rows = functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    np.save(tmp_path / "a.npy", rows.numpy())
    (tmp_path / "queries.txt").write_text("red\ngreen blue\nred blue\n", encoding="utf-8")
    arguments = (str(run), str(tmp_path / "a.index"))
    build = ("index", "build", *arguments, "--images", str(tmp_path / "a.npy"))
    done = vse(*build, "--index", "ivf", "--queries", str(tmp_path / "queries.txt"), "--json")
    state = json.loads(done.stdout)["state"]
    assert (state["cells"], state["queries"], state["recall"] >= 0.95) == (10, "sentences", True)
    done = vse("search", str(run), "red", "--index", str(tmp_path / "a.index"), "--json")
    expected = json.loads(vse("search", str(run), "red", "--images", str(tmp_path / "a.npy"), "--json").stdout)
    assert json.loads(done.stdout)["hits"] == expected["hits"]
    done = vse("index", "measure", *arguments, "--recall", "1", "--json")
    assert json.loads(done.stdout)["recall"] == 1
    assert "cells: these items form no groups" in done.stderr
    assert_one_message(vse(*build, "--recall", "0.9"), 2, r"The index 'exact' has no option 'recall'\.")
    vse(*build)
    assert_one_message(vse("index", "measure", *arguments, "--recall", "0.9"), 2, "whose recall cannot be chosen")


def test_a_similarity_that_is_no_inner_product(tmp_path: Path, vse: Any) -> None:
    save_colour_model(tmp_path / "run", similarity="order")
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    done = vse(
        "index", "build", str(tmp_path / "run"), "a.index", "--images", str(tmp_path / "a.npy"), "--index", "ivf"
    )
    assert_one_message(done, 2, "The index 'ivf' finds inner products, but the similarity 'order' does not declare")


def test_cells_are_few_for_few_rows() -> None:
    assert cells.make_cells(Rows(draw(10), None)).count == 1

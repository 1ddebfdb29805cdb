"""How much of what an exact search finds an index finds too, and how long both take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import UsageError
from vsezoo.interfaces import Similarity
from vsezoo.parts import load_part
from vsezoo.search.indexes import INNER_PRODUCT, ExactRows, KeptRows, NearestRows
from vsezoo.search.recall import draw_rows, find_best, measure_recall
from vsezoo.search.stored.manifest import Manifest, read_manifest, require_model
from vsezoo.search.stored.opening import OpenedFolder, open_folder
from vsezoo.search.stored.writer import FolderWriter, lock_folder
from vsezoo.similarities import CosineSimilarity

QUERIES = 500
"""Number of rows that are queries, if the user names none."""
BLOCK = 256
"""Number of sentences that are embedded at a time."""
TIMED = 20
"""Number of queries that are timed one by one."""


@dataclass(frozen=True)
class Measured:
    """The result of a measurement.

    Attributes:
        k: number of results of a query.
        queries: number of queries.
        recall: share of the `k` best rows that the index finds, the mean over the queries.
        milliseconds: of one query, median.
        exact_milliseconds: the same of an exact search.
    """

    k: int
    queries: int
    recall: float
    milliseconds: float
    exact_milliseconds: float


def measure_folder(
    checkpoint: Checkpoint,
    folder: Path,
    sentences: Sequence[str] = (),
    k: int = 10,
    device: str | torch.device = "cpu",
) -> Measured:
    """Compare an index folder with an exact search of its rows.

    Args:
        checkpoint: the model that the index was built with.
        folder: the index folder.
        sentences: queries; none: `QUERIES` items of the index, drawn at random, which do not find themselves.
        k: number of results.
        device: device of the queries.

    Raises:
        UsageError: for the index of another model, sentences for an index of sentences, or a similarity that does not
            compare items with each other and no sentences.
    """
    opened = open_folder(folder)
    queries, own, compared = _make_queries(checkpoint, folder, opened, sentences, device)
    side: Literal["images", "texts"] = "texts" if opened.manifest.kind == "text" else "images"
    index = opened.make_nearest(opened.rows.vectors, compared, side)
    exact = ExactRows(opened.rows.vectors, compared, side, opened.rows.alive)
    k = min(k, opened.rows.count - (own is not None))
    return Measured(
        k,
        len(queries),
        measure_recall(index, queries, find_best(exact, queries, k, own), are_rows=own is not None),
        time_queries(index, queries, k),
        time_queries(exact, queries, k),
    )


def tune_folder(
    checkpoint: Checkpoint,
    folder: Path,
    recall: float | None,
    sentences: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> Manifest:
    """Choose how much of an index folder a search looks at, so that it finds so much of what an exact search does.

    Args:
        checkpoint: the model that the index was built with.
        folder: the index folder.
        recall: the wanted share of the nearest items; None: as before.
        sentences: queries, as for `measure_folder`.
        device: device of the queries.

    Raises:
        UsageError: as `measure_folder`; for an index that has nothing to choose, or that another process is changing.
    """
    read_manifest(folder)
    with lock_folder(folder):
        opened = open_folder(folder)
        manifest = opened.manifest
        queries, own, _ = _make_queries(checkpoint, folder, opened, sentences, device)
        backend: type[NearestRows] = registry.load("indexes", manifest.backend)
        if not issubclass(backend, KeptRows):
            raise UsageError(
                f"has the backend {manifest.backend!r}, whose recall cannot be chosen.",
                file=folder,
                remedy="Build it with --index ivf, or leave --recall out.",
            )
        options = dict(manifest.options) if recall is None else {**manifest.options, "recall": recall}
        state = backend.tune(folder, opened.rows, manifest.state, queries, own, options)
        return FolderWriter(folder, manifest).set_state(state, options)


def _make_queries(
    checkpoint: Checkpoint, folder: Path, opened: OpenedFolder, sentences: Sequence[str], device: str | torch.device
) -> tuple[Tensor, Tensor | None, Similarity]:
    """Return queries, the rows that they are, and what compares them with the rows."""
    require_model(folder, opened.manifest, checkpoint.recipe.name, checkpoint.digest)
    part = load_part(checkpoint.recipe, "similarity")
    if sentences and opened.manifest.kind == "text":
        raise UsageError(
            "contains sentences, which sentences do not search.", file=folder, remedy="Leave --queries out."
        )
    if not sentences and part.inputs != "sets" and part.metric != INNER_PRODUCT:
        raise UsageError(
            f"The similarity {checkpoint.recipe.similarity.name!r} does not compare images with images.",
            remedy="Name a file of sentences with --queries.",
        )
    compared: Similarity = CosineSimilarity()
    if sentences:
        model, own = checkpoint.text_side(device), None
        blocks = [sentences[start : start + BLOCK] for start in range(0, len(sentences), BLOCK)]
        queries = torch.cat([model.embed_texts(block).embeddings for block in blocks])
        compared = compared if model.compares_sets else model.similarity
    else:
        own = draw_rows(opened.rows, QUERIES)
        queries = opened.rows.vectors[own].float().to(device)
    return queries, own, compared


@torch.inference_mode()
def time_queries(nearest: NearestRows, queries: Tensor, k: int) -> float:
    """Return the milliseconds of a query alone, the median of several after one that does not count."""
    seconds = []
    for number in range(min(TIMED, len(queries)) + 1):
        start = time.perf_counter()
        nearest.find(queries[number % len(queries)][None], k)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:])

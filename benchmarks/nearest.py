"""Searches of many rows: `exact` beside a bare product over the same mapped file, and `ivf` beside `exact`.

    python benchmarks/nearest.py exact [--rows 1000000] [--width 512]
    python benchmarks/nearest.py ivf [--rows 100000] [--width 512] [--groups 1000]
    python benchmarks/nearest.py ivf --checkpoint RUN --features crops_ims.npy --sentences test_caps.txt

`exact` makes unit vectors, writes them to a temporary folder (4 bytes a number), and times one query and 100 together.
`ivf` makes vectors in two ways, in groups and without any, or embeds features by a checkpoint, with sentences as
queries; it prints recall and time for several numbers of cells, and in a process of its own the time to open the index
and the memory that it takes. Times are of the processor, with one thread: medians of pairs, one side after the other.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, Report, make_parser
from torch import Tensor
from torch.nn import functional

from vsezoo.search.backends.cells import import_faiss
from vsezoo.search.backends.ivf import CellRows
from vsezoo.search.indexes import BLOCK, ExactRows, NearestRows, Rows, pad_queries
from vsezoo.search.recall import find_best, measure_recall
from vsezoo.similarities import CosineSimilarity

COSINE = CosineSimilarity()
K, QUERIES, WRITTEN = 10, 100, 10_000


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("what", choices=["exact", "ivf"])
    parser.add_argument("--rows", type=int, help="default: 1,000,000 and 100,000")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--groups", type=int, help="of the made vectors; 0: none (default: 1,000, and none)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--checkpoint", help="embeds --features and --sentences")
    parser.add_argument("--features", type=Path)
    parser.add_argument("--sentences", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with Report(options) as report, tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        if options.what == "exact":
            time_exact(report, folder, options.rows or 1_000_000, options.width, options.runs)
        elif options.checkpoint:
            rows, queries = embed(folder, options.checkpoint, options.features, options.sentences)
            time_ivf(report, "real", folder, rows, queries, options.runs)
        else:
            for groups in (1000, 0) if options.groups is None else (options.groups,):
                count = options.rows or 100_000
                rows = write(folder / "rows", count, options.width, groups)
                queries = draw(QUERIES, options.width, groups, 1)
                time_ivf(report, "groups" if groups else "none", folder, rows, queries, options.runs)


def time_exact(report: Report, folder: Path, count: int, width: int, runs: int) -> None:
    """Time `exact` beside a bare blocked product, and float16."""
    rows, queries = write(folder / "rows", count, width, 1000), draw(QUERIES, width, 1000, 1)
    exact, single = ExactRows(rows, COSINE, "images"), queries[:1]
    padded = pad_queries(single)

    def multiply() -> None:
        for start in range(0, count, BLOCK):
            COSINE(rows[start : start + BLOCK], padded)

    pairs = [(measure(multiply), measure(lambda: exact.find(single, K))) for _ in range(runs + 1)][1:]
    bare, one = (statistics.median(side) for side in zip(*pairs, strict=True))
    many = statistics.median(measure(lambda: exact.find(queries, K)) for _ in range(3)) / len(queries)
    report.show(
        f"{count:,} x {width}, one query: bare {bare:.3f} s, exact {one:.3f} s, ratio of medians {one / bare:.3f}",
        Figure("bare product", bare, "s"),
        Figure("exact, one query", one, "s"),
        Figure("exact over bare", one / bare),
    )
    report.show(
        f"{len(queries)} queries together: {many:.4f} s a query, {one / many:.1f} times less than one alone",
        Figure(f"exact, each of {len(queries)} queries", many, "s"),
    )
    half = write(folder / "half", count, width, 1000, "<f2")
    found = measure_recall(ExactRows(half, COSINE, "images"), queries, find_best(exact, queries, K), are_rows=False)
    sizes = [(folder / name).stat().st_size for name in ("rows", "half")]
    share = sizes[1] / sizes[0]
    report.show(
        f"float16: {share:.2f} of the bytes, recall@{K} {found:.4f}",
        Figure("float16, share of the bytes", share),
        Figure(f"float16, recall@{K}", found),
    )


def time_ivf(report: Report, name: str, folder: Path, vectors: Tensor, queries: Tensor, runs: int) -> None:
    """Time `ivf` for several numbers of cells beside `exact`; print when it is opened, and the memory that it takes."""
    rows = Rows(vectors, None)
    exact = ExactRows(vectors, COSINE, "images")
    began = time.process_time()
    state = CellRows.keep(folder, rows, 1, {}, {})
    made = time.process_time() - began
    index = CellRows.open(folder, rows, state, COSINE, "images")
    best, whole = find_best(exact, queries, K), time_each(exact, queries, runs)
    report.show(
        f"{name}: {len(vectors):,} x {vectors.shape[1]}, made in {made:.1f} s, chosen: {state['probes']} of "
        f"{state['cells']:,} cells, recall {state['recall']:.4f} of other queries",
        Figure(f"{name}: made", made, "s"),
        Figure(f"{name}: chosen cells", state["probes"]),
    )
    if warning := CellRows.advise({}, state):
        report.show(f"warning: {warning}")
    report.show(f"exact: {1000 * whole:.2f} ms", Figure(f"{name}: exact", 1000 * whole, "ms"))
    for probes in sorted({*(2**power for power in range(9)), index.probes}):
        index.probes = probes
        found, took = measure_recall(index, queries, best, are_rows=False), time_each(index, queries, runs)
        report.show(
            f"{probes:>4} cells: recall@{K} {found:.4f}, {1000 * took:.2f} ms, {took / whole:.3f} of exact",
            Figure(f"{name}: {probes} cells, recall@{K}", found),
            Figure(f"{name}: {probes} cells", 1000 * took, "ms"),
        )
    if (file := folder / "rows").exists():
        with multiprocessing.get_context("spawn").Pool(1) as process:
            opened, held, after, libraries = process.apply(open_alone, (file, vectors.shape, state, queries))
        report.show(
            f"a process that opens it: in {opened:.1f} ms, {held:.1f} MB beside {libraries:.0f} MB of libraries; "
            f"{after:.1f} MB after {len(queries)} queries, mapped pages included",
            Figure(f"{name}: opened", opened, "ms"),
            Figure(f"{name}: memory when opened", held, "MB"),
            Figure(f"{name}: memory after {len(queries)} queries", after, "MB"),
        )


def open_alone(file: Path, shape: tuple[int, int], state: Mapping[str, Any], queries: Tensor) -> tuple[float, ...]:
    """Open the index in this process and search with each query.

    Returns:
        The milliseconds of opening, and MB: beyond the libraries when opened and after the queries; of the libraries.
    """
    torch.set_num_threads(1)
    import_faiss()
    before, began = read_memory(), time.perf_counter()
    vectors = torch.from_numpy(np.memmap(file, "<f4", "c", shape=shape))
    with file.open("rb") as stream, torch.inference_mode():
        index = CellRows.open(file.parent, Rows(vectors, None, stream), state, COSINE, "images")
        opened, held = time.perf_counter() - began, read_memory()
        for query in queries:
            index.find(query[None], K)
    after = read_memory()
    return 1000 * opened, held - before, after - before, before


def read_memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 1e6


def embed(folder: Path, checkpoint: str, features: Path, sentences: Path) -> tuple[Tensor, Tensor]:
    """Return the embeddings of features, mapped, and those of 500 sentences."""
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.search.sentence_file import read_sentences
    from vsezoo.search.sources import collect_images
    from vsezoo.search.stored.building import build_folder
    from vsezoo.search.stored.opening import open_folder

    opened, built = Checkpoint.open(checkpoint), folder / "built"
    build_folder(opened, built, collect_images(features))
    texts = [sentence.text for sentence in read_sentences(sentences)][:2500:5]
    return open_folder(built).rows.vectors, opened.text_side().embed_texts(texts).embeddings


def measure(call: Callable[[], object]) -> float:
    """Return the seconds of the processor that a call takes."""
    began = time.process_time()
    call()
    return time.process_time() - began


def time_each(nearest: NearestRows, queries: Tensor, runs: int) -> float:
    """Return the median seconds of a query alone."""
    return statistics.median(measure(lambda query=query: nearest.find(query[None], K)) for query in queries[: 4 * runs])


def draw(count: int, width: int, groups: int, seed: int) -> Tensor:
    """Return unit vectors around so many centres; around none, they are noise."""
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    if groups:
        generator = torch.Generator().manual_seed(99)
        centres = torch.randn(groups, width, generator=generator)
        drawn = centres[torch.randint(groups, (count,), generator=torch.Generator().manual_seed(seed))] + 0.7 * drawn
    return functional.normalize(drawn, dim=1)


def write(file: Path, count: int, width: int, groups: int, dtype: str = "<f4") -> Tensor:
    """Write vectors block by block, and return them mapped."""
    with file.open("wb") as stream:
        for start in range(0, count, WRITTEN):
            block = draw(min(WRITTEN, count - start), width, groups, 1000 + start).numpy()
            stream.write(block.astype(dtype).data)
    return torch.from_numpy(np.memmap(file, dtype, "c", shape=(count, width)))


if __name__ == "__main__":
    main()

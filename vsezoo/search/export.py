"""The embeddings of images and sentences as files for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from vsezoo.checkpoint_folder import MODEL, write_json
from vsezoo.errors import UsageError
from vsezoo.search.collection import Collection
from vsezoo.search.embedding import Advance
from vsezoo.search.lazy_model import LazyModel
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import BLOCK, open_embeddings
from vsezoo.search.tensor_file import ArrayWriter, TensorWriter, explain_unwritten, write_array, write_tensors

WRITERS: Mapping[str, Callable[[Path], AbstractContextManager[TensorWriter | ArrayWriter]]] = {
    ".safetensors": write_tensors,
    ".npy": write_array,
}
"""By the ending of the file."""
ELSEWHERE = "Name another file for the embeddings; the ids go into a .json file of the same name."


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        file: the embeddings.
        list_file: the ids, beside it.
        counts: how many embeddings there are of each, by `images` and `texts`.
        skipped: why images were left out, by their ids.
    """

    file: Path
    list_file: Path
    counts: Mapping[str, int]
    skipped: Mapping[str, str]


def embed(
    reference: str | Path,
    *,
    output: str | Path,
    images: Images | None = None,
    texts: Texts | None = None,
    device: str | torch.device = "cpu",
    on_bad_image: str = "skip",
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Export:
    """Write the joint embeddings of images, of sentences, or of both.

    A `.safetensors` file has the tensors `images` and `texts`, `(N, D)` and `(M, D)` float32; a `.npy` file is one of
    them. Their ids stand in a JSON file of the same name beside it. What was embedded before, for this or for a search,
    is taken from the cache; see `open_index`.

    Args:
        reference: a checkpoint, as `load` takes it.
        output: the file, which ends in `.safetensors` or `.npy`; replaced if it exists.
        images: a folder of pictures, a `.npy` file of features with a row for each image, or an open split.
        texts: a file of sentences, sentences, or an open split, of which the captions are meant.
        device: where to encode.
        on_bad_image: "skip": leave out pictures that cannot be read. "error": stop at one.
        advance: if there is anything to embed, is told how many images and sentences are embedded by now, of how many.
        warn: is told if the cache cannot be written; None: it is printed to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for what is absent, empty or damaged, or of another kind than the model takes.
        StorageError: when the file cannot be written; what was there before is untouched.
        UsageError: for nothing to embed, a file of another ending, or one of the files that are embedded.
    """
    output = Path(output)
    collections: dict[str, Collection] = {}
    if images is not None:
        collections["images"] = collect_images(images, on_bad_image)
    if texts is not None:
        collections["texts"] = collect_texts(texts)
    _require_output(output, list(collections.values()))
    model = LazyModel(reference, device)
    load = {"images": lambda: model.whole, "texts": lambda: model.for_texts}
    total, done = sum(len(collection.ids) for collection in collections.values()), 0
    ids: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    with WRITERS[output.suffix](output) as file:
        for name, collection in collections.items():
            told = advance and _count_from(done, total, advance)
            embeddings = open_embeddings(collection, model.fingerprint, load[name], told, warn)
            for start in range(0, len(embeddings.rows), BLOCK):
                file.append(name, embeddings.rows[start : start + BLOCK].numpy())
            ids[name] = [collection.ids[item] for item in embeddings.items]
            skipped |= {collection.ids[item]: reason for item, reason in embeddings.reasons.items()}
            done += len(collection.ids)
    list_file = output.with_suffix(".json")
    description = {
        "checkpoint": str(reference),
        "model": model.recipe.name,
        "sha256": model.config["files"][MODEL]["sha256"],
        "similarity": model.recipe.similarity.name,
        **ids,
        "skipped": skipped,
    }
    with explain_unwritten(list_file):
        write_json(list_file, description)
    return Export(output, list_file, {name: len(own) for name, own in ids.items()}, skipped)


def _count_from(before: int, total: int, advance: Advance) -> Advance:
    return lambda done, _: advance(before + done, total)


def _require_output(output: Path, collections: Sequence[Collection]) -> None:
    if not collections:
        raise UsageError("There is nothing to embed.", remedy="Give images, texts, or both.")
    if output.suffix not in WRITERS:
        raise UsageError(f"{str(output)!r} must end in {' or '.join(WRITERS)}.")
    if output.suffix == ".npy" and len(collections) > 1:
        raise UsageError(
            f"{str(output)!r} can hold one array, not images and texts.",
            remedy="Name a file that ends in .safetensors, or embed one of them at a time.",
        )
    for collection in collections:
        for file in (output, output.with_suffix(".json")):
            if file.exists() and collection.place and file.samefile(collection.place):
                raise UsageError(f"{str(file)!r} is what is to be embedded, and would be replaced.", remedy=ELSEWHERE)

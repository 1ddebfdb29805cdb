"""The embeddings of images and sentences as files for other programs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import UsageError
from vsezoo.search.collection import Collection
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import BLOCK, list_skipped, open_embeddings
from vsezoo.search.tensor_file import ArrayWriter, TensorWriter, explain_unwritten, write_array, write_tensors
from vsezoo.storage.checkpoint_layout import CONFIG, LOCAL, MODEL, write_json
from vsezoo.storage.waiting import Advance

WRITERS: Mapping[str, Callable[[Path], AbstractContextManager[TensorWriter | ArrayWriter]]] = {
    ".safetensors": write_tensors,
    ".npy": write_array,
}
"""By the ending of the file."""
LISTED = {"checkpoint", "model", "sha256", "similarity", "skipped"}
"""What the list of ids tells besides."""
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
    reference: str | Path | Checkpoint,
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
        output: the file, which ends in `.safetensors` or `.npy`; replaced if it exists. The `.json` file beside it is
            replaced if it holds such a list.
        images: a folder of pictures, a `.npy` file of features with a row for each image, or an open split.
        texts: a file of sentences, sentences, or an open split, of which the captions are meant.
        device: where to encode.
        on_bad_image: "skip": leave out pictures that cannot be read. "error": stop at one.
        advance: progress callback `(done, total)`, of images and sentences; not called if everything is cached.
        warn: called with a message if the cache cannot be written; None: printed to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for what is absent, empty or damaged, or of another kind than the model takes.
        StorageError: when the file cannot be written; what was there before is untouched.
        UsageError: for nothing to embed, a file of another ending, one of the files that are embedded or of the
            checkpoint, or a `.json` file that holds something else.
    """
    output = Path(output)
    collections: dict[str, Collection] = {}
    if images is not None:
        collections["images"] = collect_images(images, on_bad_image)
    if texts is not None:
        collections["texts"] = collect_texts(texts)
    list_file = output.with_suffix(".json")
    _require_form(output, len(collections))
    checkpoint = Checkpoint.open(reference)
    for target in (output, list_file):
        with explain_unwritten(target):  # a folder that may not be looked into
            _require_free(target, collections.values(), checkpoint)
    _require_list(list_file)
    load = {"images": lambda: checkpoint.model(device), "texts": lambda: checkpoint.text_side(device)}
    total, done = sum(len(collection.ids) for collection in collections.values()), 0
    ids: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    with WRITERS[output.suffix](output) as file:
        for name, collection in collections.items():
            told = advance and _count_from(done, total, advance)
            embeddings = open_embeddings(collection, checkpoint.digest, load[name], told, warn)
            for start in range(0, len(embeddings.rows), BLOCK):
                file.append(name, embeddings.rows[start : start + BLOCK].numpy())
            ids[name] = [collection.ids[item] for item in embeddings.items]
            skipped |= list_skipped(collection, embeddings)
            done += len(collection.ids)
    description = {
        "checkpoint": checkpoint.reference,
        "model": checkpoint.recipe.name,
        "sha256": checkpoint.config["files"][MODEL]["sha256"],
        "similarity": checkpoint.recipe.similarity.name,
        **ids,
        "skipped": skipped,
    }
    with explain_unwritten(list_file), tempfile.TemporaryDirectory(dir=list_file.parent) as temporary:
        whole = Path(temporary, list_file.name)
        write_json(whole, description)
        whole.replace(list_file)
    return Export(output, list_file, {name: len(own) for name, own in ids.items()}, skipped)


def _count_from(before: int, total: int, advance: Advance) -> Advance:
    return lambda done, _: advance(before + done, total)


def _require_form(output: Path, count: int) -> None:
    if not count:
        raise UsageError("There is nothing to embed.", remedy="Give images, texts, or both.")
    if output.suffix not in WRITERS:
        raise UsageError(f"{str(output)!r} must end in {' or '.join(WRITERS)}.")
    if output.suffix == ".npy" and count > 1:
        raise UsageError(
            f"{str(output)!r} can hold one array, not images and texts.",
            remedy="Name a file that ends in .safetensors, or embed one of them at a time.",
        )


def _require_free(file: Path, collections: Iterable[Collection], checkpoint: Checkpoint) -> None:
    """Refuse a file that is read now."""
    if not file.exists():
        return
    if any(collection.place and file.samefile(collection.place) for collection in collections):
        raise UsageError(f"{str(file)!r} is what is to be embedded, and would be replaced.", remedy=ELSEWHERE)
    of_model = [checkpoint.folder / name for name in (CONFIG, LOCAL, *checkpoint.config["files"])]
    if any(own.exists() and file.samefile(own) for own in of_model):
        raise UsageError(f"{str(file)!r} is a file of the checkpoint, and would be replaced.", remedy=ELSEWHERE)


def _require_list(file: Path) -> None:
    """Refuse a file that is there and is no list of ids, such as the captions of a data set."""
    if not file.exists():
        return
    with suppress(OSError, ValueError, RecursionError):
        told = json.loads(file.read_bytes())
        if isinstance(told, dict) and told.keys() >= LISTED:
            return
    raise UsageError(
        f"{str(file)!r} is there and is no list of ids that was written with embeddings: it would be replaced.",
        remedy=ELSEWHERE,
    )

"""Write the embeddings of images and sentences to files for other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import StorageError, UsageError, report_system_errors
from vsezoo.features.folder import Shard
from vsezoo.search.array_writers import ArrayWriter, TensorWriter, write_array, write_tensors
from vsezoo.search.collection import Collection
from vsezoo.search.engines import RAY, embed_with
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import BLOCK, embed_share, list_skipped, open_embeddings
from vsezoo.storage.atomic_file import explain_unwritten, prepare_file
from vsezoo.storage.checkpoint_layout import CONFIG, LOCAL, MODEL, write_json
from vsezoo.storage.json_file import read_object
from vsezoo.storage.waiting import Advance

WRITERS: Mapping[str, Callable[[Path], AbstractContextManager[TensorWriter | ArrayWriter]]] = {
    ".safetensors": write_tensors,
    ".npy": write_array,
}
"""Writers by file suffix."""
LISTED = {"checkpoint", "model", "sha256", "similarity", "skipped"}
"""Additional entries of the list of ids."""
ELSEWHERE = "Choose another file for the embeddings; the ids are written to a .json file of the same name."


@dataclass(frozen=True)
class Export:
    """The result of an export.

    Attributes:
        file: the embeddings.
        list_file: the list of ids.
        counts: number of embeddings of `images` and `texts`.
        skipped: reasons by the ids of skipped images.
        missing: number of items that other shards have still to embed; nothing is written before they have.
    """

    file: Path
    list_file: Path
    counts: Mapping[str, int]
    skipped: Mapping[str, str]
    missing: int = 0


@report_system_errors
def embed(
    reference: str | Path | Checkpoint,
    *,
    output: str | Path,
    images: Images | None = None,
    texts: Texts | None = None,
    device: str | torch.device = "cpu",
    engine: str = "local",
    shard: Shard | None = None,
    on_bad_image: str = "skip",
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Export:
    """Write the joint embeddings of images, of sentences, or of both.

    A `.safetensors` file contains the tensors `images` and `texts`, `(N, D)` and `(M, D)` float32; a `.npy` file
    contains one of them. The ids are written to a JSON file of the same name. Embeddings that were computed before, for
    an export or a search, are read from the cache; see `open_index`.

    Args:
        reference: a checkpoint, as `load` takes it.
        output: the file, `.safetensors` or `.npy`; replaced if it exists. The `.json` file of the same name is replaced
            if it is such a list of ids.
        images: a folder of pictures, a picture file or a list of them, a `.npy` file with one row of features per
            image, or an open split.
        texts: a file of sentences, sentences, or an open split, for its captions.
        device: device of the model.
        engine: "local": embed in this process. "ray": on the machines of a Ray cluster; see `vsezoo.search.cluster`.
        shard: the share of this process; None: everything. All processes use one cache, and the last one to finish
            writes the files.
        on_bad_image: "skip": skip pictures that cannot be read. "error": stop at the first one.
        advance: progress callback `(done, total)`, for images and sentences; not called if everything is cached.
        warn: called with a message if the cache cannot be written; None: print it to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for input that is absent, empty or damaged, or of a kind that the model does not take.
        StorageError: when the file cannot be written; an existing file is left unchanged.
        UsageError: if there is nothing to embed, for a shard with the engine "ray", or for an output with another
            suffix, one that is an input file or a file of the checkpoint, or an existing `.json` file with other
            contents.
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
        with explain_unwritten(target):  # a folder without permission
            _require_free(target, collections.values(), checkpoint)
    _require_list(list_file)
    if shard is not None and shard.count > 1:
        if engine == RAY:
            raise UsageError("--shard is for --engine local: a cluster shares the work by itself.")
        skipped = dict[str, str]()
        missing = _embed_shares(checkpoint, collections, shard, device, skipped, advance)
        if missing:
            return Export(output, list_file, {}, skipped, missing)
    total, done = sum(len(collection.ids) for collection in collections.values()), 0
    ids: dict[str, list[str]] = {}
    skipped = {}
    # The list is in its place just after the rows, and both are written by then.
    with prepare_file(list_file) as temporary, WRITERS[output.suffix](output) as file:
        for name, collection in collections.items():
            counted = advance and _count_from(done, total, advance)
            computed = checkpoint.describe_computation(collection.kind)
            with_engine = embed_with(checkpoint, collection, device, engine)
            embeddings = open_embeddings(collection, computed, with_engine, counted, warn)
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
        with explain_unwritten(list_file):
            write_json(temporary, description)
    return Export(output, list_file, {name: len(own) for name, own in ids.items()}, skipped)


def _embed_shares(
    checkpoint: Checkpoint,
    collections: Mapping[str, Collection],
    shard: Shard,
    device: str | torch.device,
    skipped: dict[str, str],
    advance: Advance | None,
) -> int:
    """Embed a share of each collection; return how many items are still missing."""
    missing = 0
    for collection in collections.values():
        computed = checkpoint.describe_computation(collection.kind)
        local = embed_with(checkpoint, collection, device, skipped=skipped)
        missing += embed_share(collection, computed, local, shard, advance)
    return missing


def _count_from(before: int, total: int, advance: Advance) -> Advance:
    return lambda done, _: advance(before + done, total)


def _require_form(output: Path, count: int) -> None:
    if not count:
        raise UsageError("There is nothing to embed.", remedy="Give images, texts, or both.")
    if output.suffix not in WRITERS:
        raise UsageError(f"{str(output)!r} must end in {' or '.join(WRITERS)}.")
    if output.suffix == ".npy" and count > 1:
        raise UsageError(
            f"{str(output)!r} can contain only one array, not images and texts.",
            remedy="Use a .safetensors file, or embed images and texts separately.",
        )


def _require_free(file: Path, collections: Iterable[Collection], checkpoint: Checkpoint) -> None:
    """Refuse to overwrite an input file."""
    if not file.exists():
        return
    if any(collection.place and file.samefile(collection.place) for collection in collections):
        raise UsageError(f"{str(file)!r} is the input file; refusing to overwrite it.", remedy=ELSEWHERE)
    of_model = [checkpoint.folder / name for name in (CONFIG, LOCAL, *checkpoint.config["files"])]
    if any(own.exists() and file.samefile(own) for own in of_model):
        raise UsageError(f"{str(file)!r} is a file of the checkpoint; refusing to overwrite it.", remedy=ELSEWHERE)


def _require_list(file: Path) -> None:
    """Refuse to overwrite a file that is not a list of ids, such as the captions of a data set."""
    if not file.exists():
        return
    with suppress(StorageError):
        if read_object(file, error=StorageError).keys() >= LISTED:
            return
    raise UsageError(
        f"{str(file)!r} exists and is not a list of ids of embeddings; refusing to overwrite it.",
        remedy=ELSEWHERE,
    )

"""Build, extend and shrink index folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import DataError, UsageError, report_system_errors
from vsezoo.parts import load_part
from vsezoo.search.collection import Collection
from vsezoo.search.embedding import Embed
from vsezoo.search.engines import embed_with
from vsezoo.search.indexes import NearestRows, require_metric, require_options
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.stored.checksums import verify_files
from vsezoo.search.stored.manifest import NAME, OWN, Manifest, read_manifest, require_model
from vsezoo.search.stored.opening import open_folder
from vsezoo.search.stored.table import Table, read_removed
from vsezoo.search.stored.writer import FolderWriter, lock_folder
from vsezoo.similarities import CosineSimilarity
from vsezoo.storage.waiting import Advance


@report_system_errors
def build_index(
    reference: str | Path | Checkpoint,
    folder: str | Path,
    *,
    images: Images | None = None,
    texts: Texts | None = None,
    index: str = "exact",
    dtype: str = "float32",
    options: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    engine: str = "local",
    on_bad_image: str = "skip",
    advance: Advance | None = None,
) -> Manifest:
    """Build an index folder, or replace an existing one.

    An interrupted build continues when it is called again; until it is complete, the previous index stays valid.
    Vectors that the previous index has of unchanged items are copied, not computed.

    Args:
        reference: a checkpoint, as `load` takes it.
        folder: the index folder.
        images: a folder of pictures, a `.npy` file of features, or an open split; see `open_index`.
        texts: a file of sentences, sentences, or an open split, for its captions. Give either images or texts.
        index: the registered search backend.
        dtype: how the vectors are stored: "float32", or "float16" in half the space.
        options: options of the backend.
        device: device of the model.
        engine: where the items are embedded: "local" or "ray"; see `embed`.
        on_bad_image: "skip" pictures that cannot be read, or "error": stop at the first one.
        advance: progress callback `(done, total)`.

    Raises:
        UsageError: for a backend that does not support the similarity of the model, an id that is there twice, a
            folder with other files, or if another process is changing the index.
        StorageError: when a file cannot be written; the previous index stays valid.
        DataError, CheckpointError: as `open_index`.
    """
    checkpoint, folder = Checkpoint.open(reference), Path(folder)
    collection = _collect(images, texts, on_bad_image)
    computed = embed_with(checkpoint, collection, device, engine)
    return build_folder(checkpoint, folder, collection, computed, index, dtype, options or {}, advance)


def build_folder(
    checkpoint: Checkpoint,
    folder: Path,
    collection: Collection,
    embed: Embed | None = None,
    index: str = "exact",
    dtype: str = "float32",
    options: Mapping[str, Any] | None = None,
    advance: Advance | None = None,
) -> Manifest:
    """Build an index folder of a collection; see `build_index`.

    Args:
        checkpoint: the model.
        folder: the index folder.
        collection: images or sentences.
        embed: computes the vectors; None: the model does, in this process.
        index: the registered search backend.
        dtype: how the vectors are stored.
        options: options of the backend.
        advance: progress callback.
    """
    similarity = load_part(checkpoint.recipe, "similarity")
    searched = CosineSimilarity if similarity.inputs == "sets" else similarity
    backend: type[NearestRows] = registry.load("indexes", index)
    require_metric(index, backend, checkpoint.recipe.similarity.name, searched)
    require_options(index, backend, options or {})
    _require_free(folder)
    name, part = checkpoint.recipe.name, checkpoint.recipe.similarity.name
    place = collection.place
    fresh = Manifest(
        index, dict(options or {}), name, checkpoint.digest, part, collection.kind, place, dtype, width=0, table=""
    )
    with lock_folder(folder):
        previous = _read_sound(folder) if (folder / NAME).exists() else None
        return FolderWriter(folder, previous).build(
            collection, fresh, embed or embed_with(checkpoint, collection), advance
        )


def add_to_folder(
    checkpoint: Checkpoint,
    folder: Path,
    collection: Collection,
    embed: Embed | None = None,
    advance: Advance | None = None,
) -> Manifest:
    """Add the items of a collection that an index does not have, or that have changed; see `build_folder`.

    Raises:
        UsageError: for the index of another model, items of another kind, pictures that lie elsewhere than the others,
            or an id that is there twice.
    """
    read_manifest(folder)
    with lock_folder(folder):
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        require_model(folder, manifest, checkpoint.recipe.name, checkpoint.digest)
        if manifest.kind != collection.kind:
            raise UsageError(
                f"contains items of the kind {manifest.kind!r}; {collection.name} has {collection.kind!r}.",
                file=folder,
                remedy="Build an index of its own for them.",
            )
        if manifest.kind == "picture" and collection.place != manifest.place:
            raise UsageError(
                f"contains the pictures of {manifest.place or 'a data set'}; {collection.name} is another place.",
                file=folder,
                remedy="Build an index of its own for them, or one of a folder that contains both.",
            )
        return FolderWriter(folder, manifest).add(collection, embed or embed_with(checkpoint, collection), advance)


def remove_from_folder(folder: Path, ids: Iterable[str] = (), *, gone: bool = False) -> Manifest:
    """Remove items from an index.

    Args:
        folder: the index folder.
        ids: the items.
        gone: also those that are no longer in the collection that the index was built from.

    Raises:
        UsageError: for an id that is not in the index, or if another process is changing it.
        DataError: with `gone`, for a collection that cannot be found.
    """
    read_manifest(folder)
    with lock_folder(folder):
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        writer = FolderWriter(folder, manifest)
        return writer.remove(ids, open_folder(folder).items.find_gone() if gone else ())


def _collect(images: Images | None, texts: Texts | None, on_bad_image: str) -> Collection:
    if images is not None and texts is None:
        return collect_images(images, on_bad_image)
    if texts is not None and images is None:
        return collect_texts(texts)
    raise UsageError("Give either images or texts to index.")


def _read_sound(folder: Path) -> Manifest | None:
    """Return the manifest of an index; None for a damaged one, which is not copied from."""
    try:
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        Table(folder, manifest)
        read_removed(folder, manifest)
    except (DataError, FileNotFoundError):
        return None
    return manifest


def _require_free(folder: Path) -> None:
    """Refuse a folder that is used for something else."""
    if folder.exists() and not (folder / NAME).exists() and folder.is_dir():
        others = [file.name for file in folder.iterdir() if not OWN.fullmatch(file.name)]
        if others:
            raise UsageError(
                f"contains other files, such as {sorted(others)[0]!r}.", file=folder, remedy="Name a new folder."
            )

"""Pretrained weights of another codebase: a folder or a repository of the Hub, opened once for all parts of a model.

    config.json                         the configuration of the model
    model.safetensors                   its tensors; or model.safetensors.index.json and the files that it lists
    tokenizer.json, …                   other files that the parts of a model read

Nothing is executed or unpickled.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.errors import CheckpointError, list_names
from vsezoo.hub.reference import is_repository, parse_reference
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.checkpoint_layout import OPEN_CLIP_TENSORS, is_open_clip
from vsezoo.storage.digests import digest_file
from vsezoo.storage.json_file import parse_object
from vsezoo.storage.plain_file import Content, explain_unread, map_content, open_plain, read_plain
from vsezoo.storage.tensor_file import INDEX, ONE_FILE, TensorFile

VARIABLE = "VSEZOO_WEIGHTS"
"""The environment variable that names a folder of files and folders of weights."""
CONFIG = "config.json"
LARGEST_JSON = 64 * 2**20
SMALL = (".json", ".txt", ".model")
"""Extensions of other files: configurations, and the files of tokenizers."""
AGAIN = "Download it again from its authors."


class OpenedWeights:
    """The tensors and the configuration in a folder; see `open_weights`.

    Args:
        folder: the folder.
        name: their name in checkpoints.
        files: the files of the tensors.
        where: the file of each tensor; None: there is only one file.

    Attributes:
        name, folder: see above.
        may_keep: whether parts may use the tensors as they are instead of copies. They are mapped from the file, which
            must then stay as it is while the model is used; what is not read takes no memory.
    """

    may_keep = False

    def __init__(self, folder: Path, name: str, files: Sequence[str], where: Mapping[str, str] | None = None) -> None:
        self.folder, self.name = folder, name
        self._contents: dict[str, Content] = {file: _map(folder / file) for file in files}
        opened = {file: TensorFile(content, folder / file, AGAIN) for file, content in self._contents.items()}
        self._where: dict[str, TensorFile] = {}
        for tensor, file in (where or {tensor: file for file, held in opened.items() for tensor in held}).items():
            if tensor not in opened[file]:
                raise CheckpointError(f"lacks {tensor!r}, which {INDEX} lists.", file=folder / file, remedy=AGAIN)
            self._where[tensor] = opened[file]

    @cached_property
    def _digests(self) -> dict[str, dict[str, Any]]:
        return {
            file: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for file, content in self._contents.items()
        }

    @cached_property
    def sha256(self) -> str:
        """The digest of the file of the tensors; for several files, that of their names and digests."""
        digests: dict[str, str] = {file: digest["sha256"] for file, digest in self._digests.items()}
        if len(digests) == 1:
            return next(iter(digests.values()))
        listing = "".join(f"{file} {digest}\n" for file, digest in sorted(digests.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    def release(self) -> None:
        """Give the memory of mapped tensors back to the system, which reads again what is used again.

        Only for tensors that nothing was written to.
        """
        for content in self._contents.values():
            if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                content.madvise(mmap.MADV_DONTNEED)

    def recall_sha256(self) -> str:
        """Return `sha256`, computed once for each time that the files were written, and kept in the cache folder."""
        files = [identify(self.folder / file) for file in sorted(self._contents)]
        digest: str = remember("weights", files, lambda: self.sha256)
        return digest

    def digest_files(self) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of the files of the tensors and of the other files, by name."""
        names = {CONFIG, *(item.name for item in self.folder.iterdir() if item.suffix in SMALL)}
        small = {name: digest_file(self.folder / name) for name in sorted(names) if (self.folder / name).is_file()}
        return {**small, **self._digests}

    def config(self) -> Mapping[str, Any]:
        """Return `config.json`; empty if there is none."""
        return self._config

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        return read_small_json(self.folder / CONFIG) if (self.folder / CONFIG).is_file() else {}

    def tensors(self, prefix: str = "") -> Mapping[str, Tensor]:
        """Return the tensors with a name prefix, by their names without it."""
        return {name.removeprefix(prefix): file[name] for name, file in self._where.items() if name.startswith(prefix)}


def open_weights(reference: str | Path, folders: Sequence[Path] = ()) -> OpenedWeights:
    """Open pretrained weights.

    Args:
        reference: a folder, a safetensors file, or `hub:org/name[@revision]`, from which only configuration, tokenizer
            and safetensors files are downloaded, once.
        folders: where to look for a folder of this name if it does not exist, besides `$VSEZOO_WEIGHTS`.

    Raises:
        CheckpointError: if there is no such folder, or it has no valid safetensors file.
        HubError: if they cannot be downloaded.
    """
    on_hub = parse_reference(reference)
    if on_hub is not None:
        from vsezoo.hub.download import fetch_pretrained, resolve  # imports the Hub's client

        pinned = resolve(on_hub)
        return _open_folder(fetch_pretrained(pinned), str(pinned))
    place = _find(str(reference), folders)
    if os.path.isdir(place):  # noqa: PTH112 (unlike Path.is_dir, false for an invalid name)
        return _open_folder(place, place.absolute().name)
    return OpenedWeights(place.parent, place.name, [place.name])


def _find(reference: str, folders: Sequence[Path]) -> Path:
    given, shared = Path(reference).expanduser(), os.environ.get(VARIABLE)
    others = [*([Path(shared)] if shared else []), *folders]
    for place in (given, *(other / given.name for other in others)):
        if os.path.isdir(place) or (place.suffix == ".safetensors" and os.path.isfile(place)):  # noqa: PTH112, PTH113
            return place
    elsewhere = f", nor is there one of that name in {' or '.join(map(str, others))}" if others else ""
    remedy = "Use a folder with config.json and model.safetensors, or hub:org/name"
    if is_repository(reference):
        remedy += f" (hub:{reference} for the repository of that name)"
    raise CheckpointError(
        f"is not a folder of pretrained weights{elsewhere}.",
        file=reference,
        remedy=f"{remedy}; {VARIABLE} may name its parent folder.",
    )


def _open_folder(folder: Path, name: str) -> OpenedWeights:
    held = {item.name for item in folder.iterdir()}
    if is_open_clip(held, read_small_json(folder / CONFIG) if CONFIG in held else {}):
        return OpenedWeights(folder, name, [OPEN_CLIP_TENSORS])
    if ONE_FILE in held:
        return OpenedWeights(folder, name, [ONE_FILE])
    if INDEX in held:
        where = read_index(folder / INDEX)
        absent = sorted(set(where.values()) - held)
        if absent:
            raise CheckpointError(f"lacks {list_names(absent, 3)}, listed in {INDEX}.", file=folder, remedy=AGAIN)
        return OpenedWeights(folder, name, sorted(set(where.values())), where)
    single = [item for item in held if item.endswith(".safetensors")]
    if len(single) == 1:
        return OpenedWeights(folder, name, single)
    raise CheckpointError(
        f"has no {ONE_FILE} (it contains {list_names(sorted(held), 8) or 'nothing'}).",
        file=folder,
        remedy="Use a folder written by save_pretrained. Weights that are not safetensors would have to be unpickled.",
    )


def read_index(path: Path) -> dict[str, str]:
    """Return the file of each tensor, as listed in an index of several safetensors files.

    Raises:
        CheckpointError: for anything but names of tensors and of safetensors files in the folder of the index.
    """
    where = read_small_json(path).get("weight_map")
    sound = isinstance(where, dict) and all(
        isinstance(file, str) and file.endswith(".safetensors") and not {"/", "\\"} & set(file)
        for file in where.values()
    )
    if not where or not isinstance(where, dict) or not sound:
        raise CheckpointError("is not an index of tensors and files.", file=path, remedy=AGAIN)
    return where


def read_small_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in an untrusted file.

    Raises:
        CheckpointError: for a file that is too large, cannot be read, or contains something else.
    """
    with explain_unread(path, CheckpointError):
        if path.stat().st_size > LARGEST_JSON:
            problem = f"has {path.stat().st_size:,} bytes; the limit is {LARGEST_JSON:,}."
            raise CheckpointError(problem, file=path, remedy=AGAIN)
        content = read_plain(path, LARGEST_JSON)
    try:
        return parse_object(content, path)
    except CheckpointError as error:
        raise CheckpointError(error.problem, file=path, remedy=AGAIN) from error


def _map(path: Path) -> Content:
    with explain_unread(path, CheckpointError), open_plain(path) as stream:
        return map_content(stream)

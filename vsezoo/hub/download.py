"""Download a checkpoint: the files of one commit, in the cache of the Hub's client.

A repository is untrusted: its configuration may name only plain file names, sizes are known and bounded before the
download, nothing else is downloaded, and each file is compared with its digest (over plain HTTP the client compares
only the length).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, resolve_revision, try_to_load_from_cache
from huggingface_hub.hf_api import RepoFile

from vsezoo.errors import CheckpointError, HubError, list_names
from vsezoo.hub.client import ask, explain_errors, holds, list_files
from vsezoo.hub.reference import HubReference
from vsezoo.storage.checkpoint_layout import (
    CARD,
    CONFIG,
    OPEN_CLIP,
    OPEN_CLIP_TENSORS,
    is_foreign,
    is_open_clip,
    read_config,
)
from vsezoo.storage.json_file import read_object
from vsezoo.storage.tensor_file import INDEX, ONE_FILE

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
"""A plain file name, which cannot leave its folder on any system."""
TENSORS = ".safetensors"
MOST_FILES = 100
LARGEST = 16 * 2**20
"""Most bytes of the configuration and of the card."""
LARGEST_TENSORS, LARGEST_OTHER = 64 * 2**30, 512 * 2**20
DISTRUST = "Do not use this checkpoint, or ask its authors to upload it with `vsezoo push`."
AGAIN = "The damaged copy was removed: repeat the command to download it again."


def resolve(reference: HubReference) -> HubReference:
    """Return the reference pinned to the current commit or, without a network, to the last downloaded one.

    Raises:
        HubError: for a repository or revision that does not exist, is not accessible, or cannot be reached.
    """
    if reference.pinned:
        return reference
    with explain_errors(reference):
        commit = ask(lambda: resolve_revision(reference.repository, revision=reference.revision)).resolved
    print(f"{reference} is commit {commit}", file=sys.stderr)
    return reference.at(commit)


def fetch_checkpoint(reference: HubReference, *, weights: bool = True) -> Path:
    """Return the folder of a checkpoint of the Hub with its files downloaded. Their reader verifies them.

    Args:
        reference: the checkpoint.
        weights: also download the tensors; False: only the small files.

    Raises:
        HubError: when the Hub or the network fails.
        CheckpointError: for a repository that is not a checkpoint, or names forbidden files.
    """
    snapshot = _Snapshot(reference)
    snapshot.check(CONFIG, LARGEST)
    path = snapshot.fetch(CONFIG)
    try:
        files = read_config(path.parent, verify=False)["files"]
    except CheckpointError:
        discard(path)  # an unreadable file is not kept, so that a fixed one is downloaded
        raise
    snapshot.require_plain(list(files))
    wanted = {name: digest for name, digest in files.items() if weights or not name.endswith(TENSORS)}
    for name, digest in wanted.items():
        snapshot.check(name, LARGEST_TENSORS if name.endswith(TENSORS) else LARGEST_OTHER, digest["size"])
    for name in wanted:
        snapshot.fetch(name, verify=False)
    snapshot.fetch_card()
    return path.parent


def is_checkpoint(reference: HubReference) -> bool:
    """Return whether a repository is to be read as a checkpoint, and not as pretrained weights of another library.

    Raises:
        HubError: when the Hub or the network fails.
        CheckpointError: for a configuration that is too large.
    """
    snapshot = _Snapshot(reference)
    if not snapshot.has(CONFIG):
        return not snapshot.has(OPEN_CLIP)
    snapshot.check(CONFIG, LARGEST)
    path = snapshot.fetch(CONFIG)
    try:
        config = read_object(path)
    except CheckpointError:
        return True  # which says what is wrong with it
    return config.get("format") == "vsezoo" or not (is_foreign(config) or snapshot.has(OPEN_CLIP))


PRETRAINED_FILES = (".json", ".txt", ".model")
"""Endings of the small files of pretrained weights: no code, no pickles."""


def fetch_pretrained(reference: HubReference) -> Path:
    """Return the folder of the pretrained weights in a repository of another codebase.

    Fetched are its configurations, the files of its tokenizer, and its safetensors files.

    Args:
        reference: the checkpoint.

    Raises:
        HubError: when the Hub or the network fails.
        CheckpointError: for a repository without safetensors files, or with too many or too large ones.
    """
    snapshot = _Snapshot(reference)
    names = [name for name in snapshot.list_names() if PLAIN.fullmatch(name)]
    small = [name for name in names if name.endswith(PRETRAINED_FILES)]
    tensors = [name for name in names if name.endswith(TENSORS)]
    config: Mapping[str, Any] = {}
    if CONFIG in small and tensors:
        snapshot.check(CONFIG, LARGEST_OTHER)
        config = _read_foreign(snapshot.fetch(CONFIG), reference)
    if is_open_clip(names, config):
        tensors = [OPEN_CLIP_TENSORS]
    elif ONE_FILE in tensors:  # others are of other precisions
        tensors = [ONE_FILE]
    if not tensors or (len(tensors) > 1 and INDEX not in small) or len(small + tensors) > MOST_FILES:
        raise CheckpointError(
            f"has no {ONE_FILE}, nor a list of several (it contains {list_names(names, 8) or 'nothing'}).",
            file=str(reference),
            remedy="Choose a repository or a revision with safetensors files: others would have to be unpickled.",
        )
    for name in (*small, *tensors):
        snapshot.check(name, LARGEST_TENSORS if name.endswith(TENSORS) else LARGEST_OTHER)
    return [snapshot.fetch(name) for name in (*small, *tensors)][-1].parent  # the tensors come last


def fetch_config(reference: HubReference) -> Path:
    """Return the `config.json` of a repository of another codebase, and download nothing else.

    Raises:
        HubError: when the Hub or the network fails.
        CheckpointError: for a repository without one.
    """
    snapshot = _Snapshot(resolve(reference))
    snapshot.check(CONFIG, LARGEST)
    return snapshot.fetch(CONFIG)


def _read_foreign(config: Path, reference: HubReference) -> dict[str, Any]:
    """Return a `config.json`, which is not to be that of a checkpoint; a damaged one is found by its reader."""
    _refuse_checkpoint(config, reference)
    try:
        return read_object(config)
    except CheckpointError:
        return {}


def _refuse_checkpoint(config: Path, reference: HubReference) -> None:
    try:
        read_config(config.parent, verify=False)
    except CheckpointError:
        return
    remedy = f"Use it as it is: vsezoo eval {reference}. Or write it for another codebase: vsezoo convert --to FORMAT"
    raise CheckpointError("is a checkpoint of vsezoo already.", file=str(reference), remedy=remedy)


class _Snapshot:
    """The files of a repository at one commit."""

    def __init__(self, reference: HubReference) -> None:
        self.reference = reference

    @cached_property
    def remote(self) -> dict[str, RepoFile]:
        """The files of the repository; requested only if a file is not in the cache."""
        return list_files(self.reference)

    def list_names(self) -> list[str]:
        """Return the names of the files of the repository; without the network, of those that were fetched before."""
        try:
            return sorted(self.remote)
        except HubError:
            config = self._find_cached(CONFIG) or self._find_cached(OPEN_CLIP)
            if config is None:
                raise
            return sorted(path.name for path in config.parent.iterdir())

    def has(self, name: str) -> bool:
        """Return whether the repository has a file of this name; without the network, whether it was downloaded."""
        return self._find_cached(name) is not None or name in self.list_names()

    def require_plain(self, names: list[str]) -> None:
        """Raise CheckpointError for file names that contain paths."""
        for name in names:
            if not PLAIN.fullmatch(name):
                raise CheckpointError(
                    f"its {CONFIG} lists the file {name!r}, which is not a plain file name.",
                    file=str(self.reference),
                    remedy=DISTRUST,
                )
        if len(names) > MOST_FILES:
            problem = f"its {CONFIG} lists {len(names):,} files; at most {MOST_FILES} are downloaded."
            raise CheckpointError(problem, file=str(self.reference), remedy=DISTRUST)

    def check(self, name: str, limit: int, size: int | None = None) -> None:
        """Raise CheckpointError for a file that is missing or too large, before downloading it.

        Args:
            name: a plain file name.
            limit: most bytes.
            size: bytes according to the configuration.
        """
        if self._find_cached(name):
            return
        entry, problem = self.remote.get(name), ""
        if entry is None:
            there = list_names(sorted(self.remote), 8) or "nothing"
            problem = f"is not a checkpoint of vsezoo: it has no {name} (it contains {there})."
            remedy = f"Look at {constants.ENDPOINT}/{self.reference.repository}, or choose another revision."
            raise CheckpointError(problem, file=str(self.reference), remedy=remedy)
        if size is not None and entry.size != size:
            problem = f"{name} has {entry.size:,} bytes on the Hub; {CONFIG} says {size:,}."
        elif entry.size > limit:
            problem = f"{name} has {entry.size:,} bytes; at most {limit:,} are downloaded."
        if problem:
            raise CheckpointError(problem, file=str(self.reference), remedy=DISTRUST)

    def fetch(self, name: str, *, verify: bool = True) -> Path:
        """Return the path of a checked file, from the cache or from the Hub.

        Args:
            name: a plain file name.
            verify: compare the download with the digest announced by the Hub.
        """
        cached = self._find_cached(name)
        if cached:
            return cached
        with explain_errors(self.reference):
            path = Path(hf_hub_download(self.reference.repository, name, revision=self.reference.revision))
        if verify and not holds(self.remote[name], path):
            discard(path)
            raise CheckpointError(
                "differs from the digest that the Hub announced.",
                file=f"{self.reference}/{name}",
                remedy=AGAIN,
            )
        return path

    def _find_cached(self, name: str) -> Path | None:
        cached = try_to_load_from_cache(self.reference.repository, name, revision=self.reference.revision)
        return Path(cached) if isinstance(cached, str) else None

    def fetch_card(self) -> None:
        """Download the card as well, if the Hub had to be contacted anyway; a checkpoint works without it."""
        if "remote" in vars(self) and CARD in self.remote:
            try:
                self.check(CARD, LARGEST)
                self.fetch(CARD)
            except (CheckpointError, HubError) as error:
                print(f"Without its card: {error}", file=sys.stderr)


def discard(path: Path) -> None:
    """Remove a file from the cache, and the blob it links to, so that it is downloaded again."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)

"""Locate a checkpoint given by folder, Hub reference or registered name, as a folder on this machine.

The only module that knows both the disk and the Hub.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import AbsentCheckpointError, CheckpointError, UnknownNameError, UsageError, list_names, suggest_name
from vsezoo.hub.reference import HubReference, is_repository, parse_reference
from vsezoo.recipe import Pretrained
from vsezoo.storage.atomic_folder import LOOKS, find_folder
from vsezoo.storage.checkpoint_layout import BEST, CONFIG, OPEN_CLIP, ORIGINAL, is_foreign_folder


@dataclass(frozen=True)
class Location:
    """The location of a checkpoint.

    Attributes:
        reference: as the user gave it; a Hub reference is resolved to a commit.
        on_hub: the same reference; None for a folder.
        cached: where the files were downloaded to, or where the checkpoint of another library's weights was written.
        sha256: the expected digest of its model; empty: any.
    """

    reference: str
    on_hub: HubReference | None = None
    cached: Path | None = None
    sha256: str = ""

    def find(self) -> Path:
        """Return the current checkpoint folder: it may have been replaced under another name.

        Raises:
            CheckpointError: if there is none.
        """
        return _find_directory(Path(self.reference)) if self.cached is None else self.cached

    def explain_damage(self, error: CheckpointError) -> CheckpointError:
        """Return the error about a damaged file; a damaged file in the Hub cache is removed, to be downloaded again."""
        if self.on_hub is None or self.cached is None or error.file is None:
            return error
        from vsezoo.hub.download import AGAIN, discard  # imports the Hub's client

        discard(Path(error.file))
        name = Path(error.file).relative_to(self.cached)
        return CheckpointError(error.problem, file=f"{self.on_hub}/{name}", remedy=AGAIN)


def locate(reference: str | Path, *, weights: bool = True) -> Location:
    """Return the location of a checkpoint; the files of one on the Hub are downloaded to the cache.

    Args:
        reference: a folder, the folder of a run (for its best checkpoint), `hub:org/name[@revision]`, or
            the name of a registered checkpoint. Each may have weights of another library that a plugin opens.
        weights: also download the tensors.

    Raises:
        CheckpointError: if there is no valid one on the Hub.
        HubError: if it cannot be downloaded.
        UsageError: for an invalid Hub reference, or an object of another type, such as a loaded model.
        PluginError, ConflictError: for a registered name that cannot be loaded, or is registered several times.
    """
    if not isinstance(reference, str | Path):
        raise UsageError(
            f"A checkpoint is expected, but a {type(reference).__name__} was given.",
            remedy="Pass its folder, its name, or what vsezoo.Checkpoint.open returns.",
        )
    named = None if parse_reference(reference) else find_named(reference)
    if named is None:
        return _locate_place(reference, weights)
    place = named.reference if parse_reference(named.reference) else Path(named.reference).expanduser()
    if named.format:
        return _locate_foreign(pin_reference(place), named.settings, named.sha256)
    return replace(_locate_place(place, weights), sha256=named.sha256)


def _locate_place(reference: str | Path, weights: bool) -> Location:
    found = parse_reference(reference)
    if found is None:
        foreign = is_foreign_folder(find_folder(Path(reference)))
        return _locate_foreign(str(reference)) if foreign else Location(str(reference))
    from vsezoo.hub.download import fetch_checkpoint, is_checkpoint, resolve  # imports the Hub's client

    pinned = resolve(found)
    if not is_checkpoint(pinned):
        return _locate_foreign(str(pinned))
    return Location(str(pinned), pinned, fetch_checkpoint(pinned, weights=weights))


def _locate_foreign(reference: str, settings: Mapping[str, Any] | None = None, sha256: str = "") -> Location:
    from vsezoo.checkpoints.foreign import open_foreign  # imports torch

    return Location(reference, cached=open_foreign(reference, settings, sha256))


def require_existence(reference: str) -> None:
    """Check that a reference names something: a folder, a registered checkpoint, or a repository, which is not asked.

    Raises:
        AbsentCheckpointError: if it does not.
        UsageError: for an invalid Hub reference.
    """
    if parse_reference(reference) is None and find_named(reference) is None:
        _find_directory(Path(reference))


def find_named(reference: str | Path) -> Pretrained | None:
    """Return the registered checkpoint of a name; None if there is none, or a folder of that name exists."""
    if isinstance(reference, Path) or find_folder(Path(reference)).exists():
        return None
    try:
        entry = registry.find("checkpoints", reference)
    except UnknownNameError:
        return None
    record: Pretrained = entry.load()
    return record


def _find_directory(named: Path) -> Path:
    for _ in range(LOOKS):  # another process may replace it meanwhile
        folder = find_folder(named)
        if not (folder / CONFIG).exists():
            best = find_folder(folder / BEST)
            if (best / CONFIG).exists():
                return best
        if folder.is_dir():
            return folder
    raise _describe_absence(named)


def _describe_absence(named: Path) -> AbsentCheckpointError:
    """Return the error for a name that is not a folder."""
    name = str(named)
    known = registry.list_names("checkpoints")
    try:
        model = registry.find("models", name)
    except UsageError:  # not registered, or registered several times
        remedy = "Use a folder written by `vsezoo train`, for example runs/NAME"
        if is_repository(name):
            remedy += f", or hub:{name} for the repository of that name on the Hub"
        if name.endswith(ORIGINAL) and named.is_file():
            remedy = f"Convert it first: vsezoo convert {shlex.quote(name)} --output runs/converted"
            return AbsentCheckpointError("is a file, not a folder.", file=named, remedy=remedy)
        if named.is_file() and any((named.parent / config).is_file() for config in (CONFIG, OPEN_CLIP)):
            return AbsentCheckpointError("is a file of a model.", file=named, remedy=f"Use its folder: {named.parent}")
        near = suggest_name(name, [*known, *(str(run) for run in list_runs())])
        problem = "is not a folder." if named.exists() else "does not exist."
        return AbsentCheckpointError(problem, file=named, remedy=f"{remedy}.{f' {near}' if near else ''}")
    names = {model.label, *registry.list_aliases(model)}
    trained = [str(run) for name in sorted(names) for run in list_runs(f"{glob.escape(name)}-*")]
    trained += [label for label in known if label.rpartition(":")[2].partition(".")[0] in names]
    remedy = f"Use one of its checkpoints: {list_names(trained, 5)}." if trained else "No checkpoint of it was found."
    return AbsentCheckpointError(
        "is a model without weights: a recipe.", file=named, remedy=f"{remedy} To train one: vsezoo train {name}"
    )


def list_runs(pattern: str = "*") -> list[Path]:
    """Return the runs of these names with a checkpoint, in the default folder of `vsezoo train`."""
    runs = sorted(Path("runs").glob(pattern))
    return [run for run in runs if any((place / CONFIG).is_file() for place in (run / BEST, run))]


def pin_reference(reference: str | Path) -> str:
    """Return a Hub reference resolved to its current commit; other references unchanged.

    Raises:
        UsageError: see `parse_reference`.
        HubError: if the Hub cannot resolve it.
    """
    found = parse_reference(reference)
    if found is None:
        return str(reference)
    from vsezoo.hub.download import resolve  # imports the Hub's client

    return str(resolve(found))

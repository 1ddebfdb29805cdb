"""From what a user names, a directory or a reference to the Hub, to a checkpoint folder on this machine.

The only module that knows both disks and the Hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vsezoo.errors import CheckpointError
from vsezoo.hub.reference import HubReference, is_repository, parse_reference
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.folders import LOOKS, find_folder


@dataclass(frozen=True)
class Location:
    """Where a checkpoint is.

    Attributes:
        reference: as the user gave it; one to the Hub at a commit.
        on_hub: the same reference; None for a directory.
        cached: where the files of the Hub were fetched to.
    """

    reference: str
    on_hub: HubReference | None = None
    cached: Path | None = None

    def find(self) -> Path:
        """Return the checkpoint folder as it is now: a directory may be replaced, and have another name meanwhile.

        Raises:
            CheckpointError: if there is none.
        """
        return _find_directory(Path(self.reference)) if self.cached is None else self.cached

    def explain_damage(self, error: CheckpointError) -> CheckpointError:
        """Return the error about a damaged file; a damaged copy of one on the Hub is removed, to be fetched again."""
        if self.on_hub is None or self.cached is None or error.file is None:
            return error
        from vsezoo.hub.download import AGAIN, discard  # imports the Hub's client

        discard(Path(error.file))
        name = Path(error.file).relative_to(self.cached)
        return CheckpointError(error.problem, file=f"{self.on_hub}/{name}", remedy=AGAIN)


def locate(reference: str | Path, *, weights: bool = True) -> Location:
    """Return where the checkpoint is that a reference names; the files of one on the Hub are fetched into the cache.

    Args:
        reference: a directory, the directory of a run, whose best checkpoint it means, or `hub:org/name[@revision]`.
        weights: fetch the tensors, too.

    Raises:
        CheckpointError: if there is no sound one on the Hub.
        HubError: for what the Hub or the network does not give.
        UsageError: for a reference to the Hub that cannot be one.
    """
    found = parse_reference(reference)
    if found is None:
        return Location(str(reference))
    from vsezoo.hub.download import fetch_checkpoint, resolve  # imports the Hub's client

    pinned = resolve(found)
    return Location(str(pinned), pinned, fetch_checkpoint(pinned, weights=weights))


def find_checkpoint(reference: str | Path) -> Path:
    """Return the checkpoint folder that a reference means, whose files nobody has verified.

    Raises:
        CheckpointError: if it is not a directory, or there is no sound checkpoint on the Hub.
        HubError: for what the Hub or the network does not give.
        UsageError: for a reference to the Hub that cannot be one.
    """
    return locate(reference).find()


def _find_directory(named: Path) -> Path:
    for _ in range(LOOKS):  # a process may replace it between two looks
        folder = find_folder(named)
        if not (folder / CONFIG).exists():
            best = find_folder(folder / BEST)
            if (best / CONFIG).exists():
                return best
        if folder.is_dir():
            return folder
    remedy = "Give the folder that `vsezoo train` wrote, for example runs/NAME"
    if is_repository(str(named)):
        remedy += f", or hub:{named} for the repository of that name on the Hub"
    raise CheckpointError("is no folder.", file=named, remedy=f"{remedy}.")


def pin_reference(reference: str | Path) -> str:
    """Return a reference to the commit that one to the Hub means now; any other, such as a folder, as it is.

    Raises:
        UsageError: see `parse_reference`.
        HubError: for what is not on the Hub, or when it cannot be asked.
    """
    found = parse_reference(reference)
    if found is None:
        return str(reference)
    from vsezoo.hub.download import resolve  # imports the Hub's client

    return str(resolve(found))

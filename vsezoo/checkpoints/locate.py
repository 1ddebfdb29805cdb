"""From what a user names, a directory or a reference to the Hub, to a checkpoint folder on this machine.

The only module that knows both disks and the Hub.
"""

from __future__ import annotations

from pathlib import Path

from vsezoo.errors import CheckpointError
from vsezoo.hub.reference import is_repository, parse_reference
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.folders import find_folder


def find_checkpoint(reference: str | Path) -> Path:
    """Return the checkpoint folder that a reference means; one on the Hub is fetched into the cache.

    Raises:
        CheckpointError: for what is no folder, or no sound one on the Hub.
        HubError: for what the Hub or the network does not give.
        UsageError: for a reference to the Hub that cannot be one.
    """
    on_hub = parse_reference(reference)
    if on_hub is not None:
        from vsezoo.hub.download import fetch_checkpoint  # imports the Hub's client

        return fetch_checkpoint(on_hub)
    folder = find_folder(Path(reference))
    if not (folder / CONFIG).exists():
        best = find_folder(folder / BEST)
        if (best / CONFIG).exists():
            return best
    if not folder.is_dir():
        remedy = "Give the folder that `vsezoo train` wrote, for example runs/NAME"
        if is_repository(str(reference)):
            remedy += f", or hub:{reference} for the repository of that name on the Hub"
        raise CheckpointError("is no folder.", file=folder, remedy=f"{remedy}.")
    return folder


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

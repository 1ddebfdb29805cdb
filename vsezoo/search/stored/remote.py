"""Index folders on object storage: written there by a copy, and copied to the cache before they are searched."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.errors import MissingPackageError, ServerError, UsageError
from vsezoo.search.stored.manifest import NAME, OWN, list_files, parse_manifest, read_manifest
from vsezoo.search.stored.writer import lock_folder
from vsezoo.storage.addresses import AddressError, is_address, open_address, show_address
from vsezoo.storage.atomic_folder import replace_folder
from vsezoo.storage.cache import find_cache

if TYPE_CHECKING:
    import fsspec

TOPIC = "indexes"
"""The folder in the cache."""
REMEDY = "Check the address, and that you may read and write there."


def send_folder(folder: Path, address: str) -> None:
    """Copy an index folder to object storage, its manifest last: until then, the copy before is the valid one.

    Args:
        folder: the index folder.
        address: as fsspec takes it, such as `s3://bucket/photos.index`.

    Raises:
        UsageError: for a folder that is not an index, if another process is changing it, or for an address with other
            files.
        ServerError: when the files cannot be written.
        MissingPackageError: when the package for this kind of address is not installed.
    """
    import fsspec

    manifest = read_manifest(folder)
    with lock_folder(folder):
        files = [file for file in list_files(folder, manifest) if file.name != NAME]
        try:
            system, root = fsspec.url_to_fs(address)
            system.makedirs(root, exist_ok=True)
            _require_free(system, root, address)
            for file in (*files, folder / NAME):
                system.put_file(str(file), f"{root}/{file.name}")
        except ImportError as error:
            raise MissingPackageError(f"{error}", file=show_address(address)) from None
        except (OSError, ValueError) as error:
            raise ServerError(f"cannot be written: {error}.", file=show_address(address), remedy=REMEDY) from None


def _require_free(system: fsspec.AbstractFileSystem, root: str, address: str) -> None:
    """Refuse a place that is used for something else."""
    found: list[str] = []
    with suppress(FileNotFoundError):  # object storage has no empty folders
        found = system.ls(root, detail=False)
    names = [name.rstrip("/").rpartition("/")[2] for name in found]
    if others := sorted(name for name in names if name and not OWN.fullmatch(name)):
        raise UsageError(
            f"contains other files, such as {others[0]!r}.",
            file=show_address(address),
            remedy="Name a new folder, or one that has a copy of an index.",
        )


def locate_folder(name: str | Path) -> Path:
    """Return an index folder; one on object storage is copied to the cache, unless the copy there is as new.

    Raises:
        UsageError: for an address without an index.
        ServerError: when it cannot be read.
    """
    if not is_address(str(name)):
        return Path(name)
    address = str(name).rstrip("/")
    target = find_cache() / TOPIC / hashlib.sha256(address.encode()).hexdigest()
    try:
        with closing(open_address(f"{address}/{NAME}")) as stream:
            content = stream.read()
        if (target / NAME).exists() and (target / NAME).read_bytes() == content:
            return target
        manifest = parse_manifest(content, Path(show_address(address), NAME))
        with replace_folder(target) as temporary:
            for file in manifest.list_names():
                with closing(open_address(f"{address}/{file}")) as stream, (temporary / file).open("wb") as written:
                    shutil.copyfileobj(stream, written, 2**24)
            (temporary / NAME).write_bytes(content)
    except AddressError as error:
        raise ServerError(f"cannot be read: {error}.", file=show_address(address), remedy=REMEDY) from None
    return target

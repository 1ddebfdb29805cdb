"""Find the picture files in a folder: usable ones, and others with the reason.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
)
"""Suffixes of picture files if no list names the pictures. A list may name any file."""

HEIC = (".heic", ".heif", ".hif")
"""Suffixes of photos of telephones, which pillow-heif decodes, if it is installed."""

UNDECODABLE = {
    **dict.fromkeys(HEIC, "HEIC"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"), "camera raw"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".xcf": "GIMP",
}
"""Suffixes of pictures that cannot be decoded, with their formats."""

PICTURES = frozenset({*ENDINGS, *UNDECODABLE})
"""All of them."""

ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".gz")
CONVERT = "convert to JPEG or PNG"
INSTALL = "install vsezoo[heic]"
SYSTEM = frozenset(
    {"@eadir", "__macosx", "#recycle", "@recycle", "#snapshot", "$recycle.bin", "lost+found", "@tmp"}
    | {"thumbnails", "thumbs"}
)
"""System folders: thumbnails of Synology, AppleDouble files of macOS, recycle bins; and those of small copies."""

APPLE_DOUBLE = "AppleDouble, not an image (._*)"
HIDDEN = "hidden"
IN_SYSTEM = "in a hidden or system folder ({})"


class FoundFile(NamedTuple):
    """A file with the suffix of a picture.

    Attributes:
        file: its path, which begins with the folder that was walked through; a text, since there may be 100,000.
        name: its path below that folder, with `/` on every system.
        reason: why it is left out; empty if it is not.
    """

    file: str
    name: str
    reason: str


@functools.cache
def can_decode_heic() -> bool:
    """Return whether pillow-heif is installed, which the extra `heic` brings."""
    return find_spec("pillow_heif") is not None


def list_archives(names: Iterable[str]) -> list[str]:
    """Return the names of files that are to be unpacked."""
    return sorted(name for name in names if name.lower().endswith(ARCHIVES))


def is_system(name: str) -> bool:
    """Return whether a folder is hidden, or a system folder such as `@eaDir` or `Thumbs`."""
    return name.startswith(".") or name.lower() in SYSTEM


def walk_pictures(folder: Path) -> Iterator[FoundFile]:
    """Yield all files below a folder with suffixes of pictures: the files of each folder in order, then its folders.

    Links to folders are followed, unless their targets are visited anyway. Broken links and pipes are included: their
    reader reports why they cannot be read.
    """
    prefix = "" if folder == Path() else os.path.join(folder, "")  # noqa: PTH118
    yield from _walk(prefix, "", "", [os.path.realpath(folder)])


def list_pictures(folder: Path) -> Iterator[Path]:
    """Yield the usable picture files below a folder; see `walk_pictures`."""
    return (Path(found.file) for found in walk_pictures(folder) if not found.reason)


def _walk(prefix: str, below: str, reason: str, roots: list[str]) -> Iterator[FoundFile]:
    """Walk through the folder whose path is the prefix, which ends with the separator; empty: the working folder."""
    try:
        with os.scandir(prefix or ".") as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    folders = []
    for entry in found:
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False
        if is_folder:
            folders.append(entry)
            continue
        dot = entry.name.rfind(".")
        ending = entry.name[dot:].lower() if dot >= 0 else ""
        if ending in PICTURES:
            yield FoundFile(prefix + entry.name, below + entry.name, reason or _explain(entry.name, ending))
    for entry in folders:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if any(_is_within(target, root) or _is_within(root, target) for root in roots):
                continue
            roots.append(target)
        inside = IN_SYSTEM.format(entry.name) if is_system(entry.name) else ""
        yield from _walk(f"{prefix}{entry.name}{os.sep}", f"{below}{entry.name}/", reason or inside, roots)


def _explain(name: str, ending: str) -> str:
    if name.startswith("._"):
        return APPLE_DOUBLE
    if name.startswith("."):
        return HIDDEN
    form = UNDECODABLE.get(ending)
    if ending in HEIC:
        return "" if can_decode_heic() else f"{form}, which cannot be decoded here: {CONVERT}, or {INSTALL}"
    return f"{form}, which cannot be decoded here: {CONVERT}" if form else ""


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)

"""Find the picture files that belong to the names in a list."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from vsezoo.data.pictures.walk import PICTURES, is_system
from vsezoo.errors import DataError

DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # begins a whole path of Windows
LOCAL = "/local-files/?d="  # stands before the path in exports of Label Studio
NUMBER = re.compile(r"[0-9]{1,12}")
RENAMED = (
    (re.compile(r"(?:.*/)?COCO_(?:train|val)2014_(\d{12}\.jpg)"), r"\1"),
    (re.compile(r"(train|test)/([0-9a-f]{16}\.jpg)"), r"\1_images/\2"),
)
"""Names in lists, and those of the files: COCO 2017 kept only the number of 2014, TextCaps renamed its folders."""
NUMBERED = ("{:012}.jpg", "COCO_train2014_{:012}.jpg", "COCO_val2014_{:012}.jpg")
"""Files of COCO by the numbers of their pictures."""
SAME = {"jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), "tiff": (".tif", ".tiff")}
"""Suffixes of one format."""


def find_files(folder: Path, names: Sequence[str]) -> list[str | None]:
    r"""Return the file of each name; None if it does not exist.

    A name is a path relative to the folder, to a subfolder, or to a subfolder of one: `a.jpg` may be `images/a.jpg` or
    `images/train/a.jpg`. Case matters, as on most disks. If there is no such file:

    - the encoding of accents (one character, or a letter and a combining mark, as on macOS) does not matter, unless
      files of both spellings exist;
    - `\` is read as `/`;
    - a name without the suffix of a picture is that of the only picture with this stem, or a number of COCO;
    - `.jpg` may be `.JPG` or `.jpeg`, and `.png` `.PNG`, if this is the only picture with this stem;
    - a whole path of another machine is the file in the folder that has its longest end;
    - `%20` may stand for a space, and so on;
    - names of COCO 2014 are those of the files of 2017, and TextCaps' folders have other names, see `RENAMED`.

    Raises:
        DataError: for a name that is not in the folder itself, but in several subfolders.
    """
    places = [folder, *_list_folders(folder)]

    @functools.cache  # list a folder once: testing each of 100,000 files is slow
    def list_places(parent: str) -> list[tuple[str, frozenset[str]]]:
        listed = [(str(place / parent), _list_folder(place / parent)) for place in places]
        if any(files for _, files in listed) or parent.isascii():
            return listed
        respelt = [path for place in places if (path := _respell(place, parent)) is not None]
        return [(str(path), _list_folder(path)) for path in respelt] or listed

    @functools.cache
    def compose_places(parent: str) -> list[tuple[str, dict[str, str]]]:
        return [(place, _compose(files)) for place, files in list_places(parent)]

    @functools.cache
    def list_stems(parent: str) -> list[tuple[str, dict[str, str]]]:
        return [(place, _index_stems(files)) for place, files in list_places(parent)]

    def find(name: str) -> str | None:
        """Return the file of a name with the separator `/`."""
        parent = name[: name.rfind("/") + 1]
        file = _find_file(name, list_places(parent), folder)
        for pattern, new in RENAMED if file is None else ():
            if renamed := pattern.fullmatch(name):
                file = _find_file(known := renamed.expand(new), list_places(known[: known.rfind("/") + 1]), folder)
        if file is None and not name.isascii():
            file = _find_file(compose(name), compose_places(compose(parent)), folder)
        if file is None and _has_no_suffix(name):
            file = _find_file(name, list_stems(parent), folder)
            numbered = [form.format(int(name)) for form in NUMBERED] if file is None and NUMBER.fullmatch(name) else []
            file = next(filter(None, (_find_file(one, list_places(""), folder) for one in numbered)), file)
        elif file is None:
            stem, ending = os.path.splitext(name)  # noqa: PTH122
            other = _find_file(stem, list_stems(parent), folder)
            file = other if other and _name_format(Path(other).suffix) == _name_format(ending) else None
        return file

    def find_end(name: str) -> str | None:
        """Return the file in the folder itself that has the longest end of the path of another machine."""
        parts = name.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        own = ((end, list_places(end[: end.rfind("/") + 1])[:1]) for end in ends)
        return next((file for end, place in own if (file := _find_file(end, place, folder))), None)

    found = []
    for name in names:
        file = find(name)
        if file is None and "\\" in name:  # of Windows
            file = find(known := name.replace("\\", "/")) or (find_end(known) if DRIVE.match(name) else None)
        if file is None and name.startswith("/"):
            file = find_end(name)
        if file is None and ("%" in name or LOCAL in name):
            file = find(unquote(name.partition(LOCAL)[2] or name))
        found.append(file)
    return found


def compose(name: str) -> str:
    """Return a name with composed accents (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def find_similar(folder: Path, name: str) -> Path | None:
    """Return a picture whose name differs only in case, in the suffix, or in the path separator of Windows."""
    name = name.replace("\\", "/")
    for wanted, end in ((Path(name).name.lower(), ""), (Path(name).stem.lower(), ".")):
        for place in (folder, *_list_folders(folder)):
            parent = (place / name).parent
            for found in sorted(_list_folder(parent)):
                stem, _, ending = found.lower().rpartition(".")
                if found.lower() == wanted or (end and stem == wanted and f".{ending}" in PICTURES):
                    return parent / found
    return None


def _find_file(
    name: str, places: Sequence[tuple[str, frozenset[str]]] | Sequence[tuple[str, dict[str, str]]], folder: Path
) -> str | None:
    file = name[name.rfind("/") + 1 :]
    found = [f"{place}/{files[file] if isinstance(files, dict) else file}" for place, files in places if file in files]
    if len(found) > 1 and file not in places[0][1]:
        shown = " and ".join(str(Path(path).relative_to(folder)) for path in found)
        remedy = "Move the others elsewhere, or add the folder to the name in the list."
        raise DataError(f"has {len(found)} files {name!r}: {shown}.", file=folder, remedy=remedy)
    return found[0] if found else None


def _index_stems(files: frozenset[str]) -> dict[str, str]:
    """Return the pictures by their names without suffixes, without ambiguous ones."""
    stems: dict[str, list[str]] = {}
    for name in files:
        stem, ending = os.path.splitext(name)  # noqa: PTH122
        if ending.lower() in PICTURES:
            stems.setdefault(stem, []).append(name)
    return {stem: of_stem[0] for stem, of_stem in stems.items() if len(of_stem) == 1}


def _has_no_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() not in PICTURES  # noqa: PTH122


def _name_format(ending: str) -> str:
    """Return the same for suffixes of one format: `.JPG` and `.jpeg`."""
    return next((name for name, endings in SAME.items() if ending.lower() in endings), ending.lower())


def _compose(files: frozenset[str]) -> dict[str, str]:
    """Return the files by their composed names, without ambiguous ones."""
    composed: dict[str, list[str]] = {}
    for name in files:
        if not name.isascii():
            composed.setdefault(compose(name), []).append(name)
    return {name: spellings[0] for name, spellings in composed.items() if len(spellings) == 1}


def _respell(place: Path, parent: str) -> Path | None:
    """Return the folder of a path whose accents are encoded differently; None if it does not exist."""
    for part in filter(None, parent.split("/")):
        if not (place / part).is_dir():
            try:
                names = [entry.name for entry in os.scandir(place) if compose(entry.name) == compose(part)]
            except OSError:
                return None
            if len(names) != 1:
                return None
            part = names[0]
        place = place / part
    return place


def _list_folder(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _list_folders(folder: Path, depth: int = 2) -> Iterator[Path]:
    """Yield the subfolders, and their subfolders, except hidden and system folders."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not is_system(entry.name))
    except OSError:
        return
    for name in found:
        yield folder / name
        if depth > 1:
            yield from _list_folders(folder / name, depth - 1)

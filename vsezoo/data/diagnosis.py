"""What a folder seems to be that is in no known form: which file it lacks, and the one thing to do.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vsezoo.data.caption_file import read_start
from vsezoo.data.pictures.layouts.registered import recognise
from vsezoo.data.pictures.table_columns import JSON, has_columns, has_ids, normalise_column
from vsezoo.data.pictures.url_list import describe_addresses, lists_addresses
from vsezoo.data.pictures.walk import list_archives, walk_pictures
from vsezoo.data.precomputed.split_files import ENDINGS, find_splits
from vsezoo.errors import VsezooError, list_names, pluralise

SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
TABLES = (".csv", ".tsv", ".txt", *JSON)
UNREAD = {
    **dict.fromkeys((".pkl", ".pickle"), "a pickle, which is not read, since that can run any program"),
    **dict.fromkeys((".yaml", ".yml"), "YAML, which is not read"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "an SQLite database, which is not read"),
    ".xml": "XML, which is not read",
    ".tfrecord": "a TFRecord file, which is not read",
    ".tfrecords": "a TFRecord file, which is not read",
    ".mat": "a file of MATLAB, which is not read",
}
REGIONS = re.compile(r"(?:image_id\t.*\n)?[^\t\n]+\t(?:[^\t\n]*\t)*\d+\t[A-Za-z0-9+/=]{80,}")
"""A line of the TSV of bottom-up attention: the number of boxes, and these as Base64."""
CAPTIONED = re.compile(r"caption|sentence|description|<text", re.IGNORECASE)
MOST = 50  # files or folders that are looked into
NAMED = 4


def describe_folder(folder: Path) -> str:
    """Return a sentence about a folder and one about what to do; empty if nothing is known about it."""
    files = [path for path in _list(folder) if path.is_file()]
    return next(filter(None, (describe(folder, files) for describe in KINDS)), "")


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _inner(folder: Path, files: list[Path]) -> str:
    """Describe a folder whose folders are data sets."""
    known = [path for path in islice(filter(Path.is_dir, _list(folder)), MOST) if _is_known(path)]
    if not known:
        return ""
    names = list_names([path.name for path in known], NAMED)
    is_one = len(known) == 1
    return (
        f"{folder} contains {'a folder' if is_one else f'{len(known)} folders'} in a known form: {names}. "
        f"Give {'it' if is_one else 'one of them'}: --data {known[0]}"
    )


def _is_known(folder: Path) -> bool:
    names = [path.name for path in _list(folder)]
    try:
        return bool(find_splits(folder, names, folder.name)) or recognise(folder, names) is not None
    except VsezooError:
        return False


def _archives(folder: Path, files: list[Path]) -> str:
    packed = list_archives(path.name for path in files)
    if not packed or next(walk_pictures(folder), None):
        return ""
    tool = "unzip" if packed[0].lower().endswith(".zip") else "tar -xf" if ".t" in packed[0].lower() else "7z x"
    return f"It seems to be a download that is not unpacked: {list_names(packed, NAMED)}. Unpack it: {tool} {packed[0]}"


def _spreadsheets(folder: Path, files: list[Path]) -> str:
    """Describe tables in forms that are not text."""
    for path in files:
        if path.suffix.lower() in SPREADSHEETS:
            return f"{path.name} is a spreadsheet, which is not read. Save it as CSV (UTF-8): captions.csv."
        if path.suffix.lower() == ".gz" and Path(path.stem).suffix.lower() in TABLES:
            return f"{path.name} is a compressed table. Decompress it: gunzip {path.name}"
    return ""


def _conversations(folder: Path, files: list[Path]) -> str:
    """Describe LLaVA's form."""
    for path in islice((one for one in files if one.suffix.lower() in JSON), MOST):
        if '"conversations"' in (start := read_start(path)) and '"image"' in start:
            return (
                f"{path.name} has conversations about images, as LLaVA is trained on, not captions. Write a table with "
                "`image` and `caption` from it, for example of the answers to the first question."
            )
    return ""


def _addresses(folder: Path, files: list[Path]) -> str:
    """Describe lists of addresses, as CC3M, CC12M and LAION are distributed."""
    for path in islice((one for one in files if one.suffix.lower() in TABLES), MOST):
        if lists_addresses(path):
            return describe_addresses(path)
    return ""


def _features(folder: Path, files: list[Path]) -> str:
    arrays = [path.name for path in files if path.suffix.lower() in ENDINGS]
    if not arrays:
        return ""
    return (
        f"It seems to be features: {list_names(arrays, NAMED)}. Call those of a split "
        f"train_ims{Path(arrays[0]).suffix}, and write its captions to train_caps.txt, five lines for each image; the "
        "same for dev and test."
    )


def _regions(folder: Path, files: list[Path]) -> str:
    """Describe the files of detectors: a TSV of bottom-up attention, an LMDB."""
    found = [path for path in files if path.suffix.lower() == ".tsv" and REGIONS.match(read_start(path))]
    found += [path for path in _list(folder) if (path / "data.mdb").is_file() or path.name == "data.mdb"]
    if not found:
        return ""
    file = found[0].parent if found[0].name == "data.mdb" else found[0]
    return (
        f"{found[0].name} seems to have the regions of a detector. Write them as features: vsezoo features CAPTIONS "
        f"--from {file} --output FEATURES, where CAPTIONS is a folder with the list of the images."
    )


def _tables(folder: Path, files: list[Path]) -> str:
    for path, columns, names_pictures in _list_columns(folder, files):
        if not names_pictures or len(columns) == 1:
            continue
        lacks = _name_absent([normalise_column(column) for column in columns])
        name, listing = path.relative_to(folder), list_names(columns, 6)
        if path.suffix.lower() in JSON:
            example = '{"image": "a.jpg", "caption": "a dog runs"}'
            return f"{name} is not in a known form: its keys are {listing}. Write a list of objects such as {example}."
        if not lacks:
            return f"{name} has the columns {listing}. Move it to {folder}."
        wanted = " and ".join(f"`{one}`" for one in lacks)
        return (
            f"{name} has the columns {listing}, none of which is known to be the {' or the '.join(lacks)}. "
            f"Call {'them' if len(lacks) > 1 else 'it'} {wanted} in its first line."
        )
    return ""


def _name_absent(columns: list[str]) -> list[str]:
    """Return what a table lacks: `image`, `caption` or both."""
    has_image, has_caption = (
        has_ids([*columns, "caption"]) or has_columns([*columns, "caption"]),
        has_columns(["image", *columns]),
    )
    return [*([] if has_image else ["image"]), *([] if has_caption else ["caption"])]


def _list_columns(folder: Path, files: list[Path]) -> Iterator[tuple[Path, list[str], bool]]:
    """Yield tables in the folder and in its folders, their columns or keys, and whether they have names of pictures."""
    within = (path for inner in islice(filter(Path.is_dir, _list(folder)), MOST) for path in _list(inner)[:MOST])
    for path in islice((one for one in (*files, *within) if one.suffix.lower() in TABLES), MOST):
        start = read_start(path)
        if path.suffix.lower() in JSON:
            columns = list(dict.fromkeys(re.findall(r'"([\w/ ]+)"\s*:', start)))
        else:
            columns = [cell.strip(' "\ufeff') for cell in re.split(r"[,;\t|]", start.partition("\n")[0].strip())]
        if len(columns) > 1 or (columns and path.suffix.lower() in JSON):
            yield path, columns, re.search(r"\.(jpe?g|png|webp)\b", start, re.IGNORECASE) is not None


def _unread(folder: Path, files: list[Path]) -> str:
    """Describe files of forms that may have captions or features, and that no layout has."""
    for path in files:
        what = UNREAD.get(path.suffix.lower(), "")
        if what and (path.suffix.lower() not in (".yaml", ".yml", ".xml") or CAPTIONED.search(read_start(path))):
            return (
                f"{path.name} is {what}. Write its captions to {folder / 'captions.csv'} with a first line "
                "`image,caption`; or features to train_ims.npy with numpy.save, and their captions to train_caps.txt."
            )
    return ""


def _pictures(folder: Path, files: list[Path]) -> str:
    found = list(walk_pictures(folder))
    usable = [one for one in found if not one.reason]
    if not found:
        return ""
    if not usable:
        return f"It has {len(found):,} image files, and none can be used: {found[0].name}: {found[0].reason}."
    unknown = ((path, columns) for path, columns, _ in _list_columns(folder, files) if path.suffix.lower() != ".txt")
    others = "".join(
        f" {path.relative_to(folder)}, with {list_names(columns, 6)}, is not known to have captions."
        for path, columns in islice(unknown, 1)
    )
    return (
        f"It seems to be a folder of {pluralise(len(usable), 'image')} without captions, such as "
        f"{usable[0].name}.{others} Write "
        f"{folder / 'captions.csv'} with a first line `image,caption`, or a text file beside each image. "
        "`vsezoo search` and `vsezoo features` need no captions."
    )


KINDS = (
    _inner,
    _spreadsheets,
    _archives,
    _conversations,
    _addresses,
    _features,
    _regions,
    _tables,
    _unread,
    _pictures,
)
"""The descriptions, in the order in which they are tried."""

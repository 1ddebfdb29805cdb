"""The files of the splits of precomputed features, by their names. Imports neither torch nor numpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.caption_file import LANGUAGE, read_captions, read_lines
from vsezoo.data.languages import find_code
from vsezoo.data.pictures.listing import name_split
from vsezoo.errors import DataError

ENDINGS = (".npy", ".npz", ".safetensors", ".pt", ".pth", ".h5", ".hdf5", ".parquet")
"""Of files of features; of several for one split the first counts."""

IMAGES = re.compile(rf"(.*_)?([^_]+)_ims({'|'.join(map(re.escape, ENDINGS))})")
"""`SPLIT_ims.npy` of VSE++, SCAN and VSRN, `NAME_SPLIT_ims.npy` of Kiros, and arrays of other forms."""
CAPTIONS = ("{stem}_caps.txt", "{stem}_caps.tsv")
LOOKED_AT = 100  # captions
PRECOMP = "precomp"
"""The folder of the features in that of a data set, as VSE-infinity has it: `f30k/precomp`."""


class SplitPaths(NamedTuple):
    """The files of a split.

    Attributes:
        stem: the path that their names begin with.
        features: the array; see `vsezoo.data.precomputed.feature_header`.
        ids: of the images; there may be no such file.
        captions: by the word for the language in the name, `en` of `train_caps.en.txt`, empty if there is none. UTF-8
            text, a caption on each line; or `.tsv`, with the id of its image and a tab before each.
        unread: names of files with captions in other languages beside one without a language.
    """

    stem: Path
    features: Path
    ids: Path
    captions: Mapping[str, Path]
    unread: Sequence[str] = ()

    def read_captions(self, file: Path) -> tuple[list[str], list[str]]:
        """Return the captions of one of the files and the ids, of which there may be none.

        Raises:
            DataError: for a file that cannot be read, is not text, or has a line without the tab.
        """
        if file.suffix == ".tsv":
            lines = read_lines(file, keep_tabs=True)
            for number, line in enumerate(lines, start=1):
                if "\t" not in line:
                    remedy = "Write the id of the image, a tab and the caption on each line."
                    raise DataError(f"line {number} has no tab.", file=file, remedy=remedy)
            pairs = [line.split("\t", 1) for line in lines]
            return [caption.strip() for _, caption in pairs], [name.strip() for name, _ in pairs]
        ids = read_lines(self.ids) if self.ids.exists() else []
        captions = read_captions(file, len(ids))
        if captions and all("\t" in caption for caption in captions[:LOOKED_AT]):
            raise DataError(
                "has a tab in each line, as if something stood before the captions.",
                file=file,
                remedy=f"If it is the id of the image, call the file {file.with_suffix('.tsv').name}; otherwise leave "
                "only the captions.",
            )
        return captions, ids

    def list_files(self) -> Iterator[Path]:
        """Yield the existing files."""
        yield from filter(Path.is_file, (self.features, *self.captions.values(), self.ids))


def find_splits(folder: Path, names: Sequence[str], name: str) -> dict[str, SplitPaths]:
    """Return the files of each split; empty for a folder of no known layout.

    Files are `SPLIT_ims.npy` (VSE++, SCAN, VSRN) or `NAME_SPLIT_ims.npy` (Kiros); in the data set's own folder, NAME
    may be any one word, as in a renamed copy. `val` and other words for the dev split are it, unless both are there.
    They may also be in the folder `precomp`.

    Args:
        folder: of the features.
        names: of the files and folders in it.
        name: of the data set.

    Raises:
        DataError: for several files of captions that are not named after languages.
    """
    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(names, key=_rank_ending):
        if (found := IMAGES.fullmatch(file)) and not file.startswith("."):
            stems.setdefault(found[1] or "", {}).setdefault(found[2], folder / file)
    splits = stems.get("") or stems.get(f"{name}_") or {}
    if not splits and len(stems) == 1 and folder.absolute().name == name:
        (splits,) = stems.values()
    if not splits and PRECOMP in names and (folder / PRECOMP).is_dir():
        return find_splits(folder / PRECOMP, [path.name for path in (folder / PRECOMP).iterdir()], name)
    known = {word: name_split(word) for word in splits}
    return {word if known[word] in splits else known[word]: _find_files(file, names) for word, file in splits.items()}


def _rank_ending(name: str) -> tuple[int, str]:
    ending = Path(name).suffix.lower()
    return ENDINGS.index(ending) if ending in ENDINGS else len(ENDINGS), name


def _find_files(features: Path, names: Iterable[str]) -> SplitPaths:
    stem = features.with_name(features.name[: features.name.rindex("_ims")])
    ids = stem.with_name(f"{stem.name}_ids.txt")
    pattern = re.compile(rf"{re.escape(stem.name)}_caps[._]({LANGUAGE.pattern})\.t(?:xt|sv)")
    found = {match[1]: stem.with_name(name) for name in sorted(names) if (match := pattern.fullmatch(name))}
    for form in CAPTIONS:
        if (name := form.format(stem=stem.name)) in names:
            unread = tuple(file.name for file in found.values())
            return SplitPaths(stem, features, ids, {"": stem.with_name(name)}, unread)
    if len(found) > 1 and not all(find_code(word.lower()) for word in found):
        raise DataError(
            f"has several files of captions: {', '.join(file.name for file in found.values())}.",
            file=features.parent,
            remedy=f"Call those that are wanted {stem.name}_caps.txt, or each after its language: "
            f"{stem.name}_caps.en.txt.",
        )
    return SplitPaths(stem, features, ids, found or {"": stem.with_name(f"{stem.name}_caps.txt")})

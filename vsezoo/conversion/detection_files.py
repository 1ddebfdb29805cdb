"""Files of bottom-up attention and its followers: tab-separated values with base64, and LMDB with a record per image.

Nothing in them is executed: pickled records of LMDB are read by `vsezoo.conversion.pickle_machine`.

Sources: the TSV of bottom-up-attention (Anderson et al. 2018) and LXMERT, the LMDB of ViLBERT and MMF.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from vsezoo.conversion.detections import Detections
from vsezoo.conversion.files import Refusal
from vsezoo.conversion.pickle_machine import PickleMachine
from vsezoo.errors import DataError, require_package
from vsezoo.storage.plain_file import explain_unread, open_plain, require_path

HEADERS = ("image_id", "img_id", "id", "image")
"""First cells of a first line that names the columns; most files have none."""
META = (b"keys", b"__keys__", b"__len__", b"__format__", b"__meta__", b"length")
"""Keys of an LMDB that are not images."""
AGAIN = "Download or copy the file again, or leave such images out with --on-bad-image skip."


class DetectionFile(ABC):
    """A file with the regions of images; it may be larger than the memory.

    Attributes:
        path: the file.
        ids: names of the images, in the order of the file.
        repeated: how many records were left out, since their image had come before.
    """

    path: Path
    ids: Sequence[str]
    repeated: int

    @abstractmethod
    def fetch(self, name: str) -> Detections:
        """Return the regions of an image.

        Raises:
            DataError: for a damaged record.
        """

    def close(self) -> None:
        """Close the file."""


class TsvFile(DetectionFile):
    """Lines of cells with tabs between them: first the id of the image, last the base64 of its features.

    The cell before that has the boxes, and the one before the boxes their number. Files of two or three columns, as of
    VinVL, have the features without boxes: `id`, `num_boxes`, `features`, or `id` and a JSON object.

    Args:
        path: the file.

    Raises:
        DataError: for a file that cannot be read, or without a tab in a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, tuple[int, int]] = {}
        self.repeated = 0
        with explain_unread(path, remedy=AGAIN):
            with open_plain(path) as stream:
                self._find_lines(stream)
            if not self._lines:
                raise DataError("contains no images.", file=path, remedy=AGAIN)
            self._stream = open_plain(path)
        self.ids = list(self._lines)

    def _find_lines(self, stream: BinaryIO) -> None:
        start = 0
        for number, line in enumerate(stream, start=1):
            first, tab, _ = line.partition(b"\t")
            name = first.decode(errors="replace").strip()
            if not tab and line.strip():
                problem = f"line {number} has no tab: {line[:40]!r}."
                remedy = "Each line has the id of an image, and its features as base64 in the last cell."
                raise DataError(problem, file=self.path, remedy=remedy)
            if tab and not (number == 1 and name.lower() in HEADERS):
                self.repeated += name in self._lines
                self._lines.setdefault(name, (start, number))
            start += len(line)

    def fetch(self, name: str) -> Detections:
        """Return the regions of an image; see `DetectionFile.fetch`."""
        start, number = self._lines[name]
        self._stream.seek(start)
        line = self._stream.readline()
        cells = line.rstrip(b"\r\n").split(b"\t")
        try:
            if not line.endswith(b"\n") and len(cells) < 3:
                raise ValueError("the file ends within it")
            return Detections.read(_read_cells(cells))
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} ({name}) has {error}.", file=self.path, remedy=AGAIN) from None

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _read_cells(cells: Sequence[bytes]) -> dict[str, Any]:
    if len(cells) == 2:
        record = json.loads(cells[1])
        if not isinstance(record, dict):
            raise ValueError("a second cell that is not a JSON object")
        return record
    if len(cells) == 3:
        return {"num_boxes": int(cells[1]), "features": cells[2]}
    return {"num_boxes": int(cells[-3]), "boxes": cells[-2], "features": cells[-1]}


class LmdbFile(DetectionFile):
    """A record for each image by its id: pickled, or JSON, with `features`, `boxes` and `num_boxes`.

    Args:
        path: the folder with `data.mdb`, or the file.

    Raises:
        DataError: for a database that cannot be read, or has no images.
        MissingPackageError: without lmdb.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repeated = 0
        lmdb = require_package("lmdb", "Reading it", path)
        try:
            self._base = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
            _require_whole(path, self._base)
            with self._base.begin() as reading, reading.cursor() as cursor:
                keys = [bytes(key) for key in cursor.iternext(keys=True, values=False) if key not in META]
        except (lmdb.Error, OSError) as error:
            raise DataError(f"is not an LMDB that can be read: {error}.", file=path, remedy=AGAIN) from None
        if not keys:
            raise DataError("contains no images.", file=path, remedy=AGAIN)
        self._keys = {key.decode(errors="replace"): key for key in keys}
        self.ids = list(self._keys)

    def fetch(self, name: str) -> Detections:
        """Return the regions of an image; see `DetectionFile.fetch`."""
        with self._base.begin() as reading:
            content = bytes(reading.get(self._keys[name]))
        try:
            record = json.loads(content) if content.lstrip()[:1] == b"{" else _unpickle(content)
            if not isinstance(record, dict):
                raise ValueError(f"a {type(record).__name__}, not a dictionary")
            return Detections.read(record)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the record {name} has {error}.", file=self.path, remedy=AGAIN) from None

    def close(self) -> None:
        """Close the database."""
        self._base.close()


def _require_whole(path: Path, base: Any) -> None:
    """Refuse a database that is shorter than it says: to read the pages that it lacks would end the process."""
    file = path / "data.mdb" if path.is_dir() else path
    pages, size = base.info()["last_pgno"] + 1, base.stat()["psize"]
    if file.stat().st_size < pages * size:
        problem = f"is truncated: it has {file.stat().st_size:,} bytes of {pages * size:,}."
        raise DataError(problem, file=path, remedy="Download or copy it again.")


def _unpickle(content: bytes) -> Any:
    try:
        return PickleMachine(BytesIO(content)).run()
    except Refusal as error:
        raise ValueError(f"a pickle that {str(error).partition('.')[0]}") from None
    except Exception as error:  # a damaged pickle fails in many ways
        forms = "neither JSON nor a pickle of plain data that can be read"
        raise ValueError(f"contents that are {forms} ({type(error).__name__})") from None


def open_detections(path: Path) -> DetectionFile:
    """Open a file of regions by its name: `*.tsv` (also `*.tsv.0`), an LMDB's folder, or `*.mdb` and `*.lmdb`.

    Raises:
        DataError: for another file, or one that cannot be read.
    """
    if (path / "data.mdb").is_file() or path.suffix.lower() in (".mdb", ".lmdb"):
        return LmdbFile(path)
    require_path(path, "Give the file of the detector after --from.")
    if path.is_file() and ".tsv" in "".join(path.suffixes[-2:]).lower():
        return TsvFile(path)
    raise DataError(
        "is neither a .tsv file nor an LMDB (a folder with data.mdb).",
        file=path,
        remedy="Unpack an archive first. Files .npy, .npz, .h5, .safetensors and .pt are read by --data as they are.",
    )

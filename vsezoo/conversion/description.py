"""Describe a file in words, for the message that no importer recognises it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from vsezoo.conversion.archives import require_archive
from vsezoo.conversion.files import open_file, show
from vsezoo.conversion.importer import NOUN, Source
from vsezoo.conversion.pickle_contents import Record, Vocabulary
from vsezoo.conversion.torch_files import LIMIT, MEMBERS

UNPACK = "Unpack it first, and give the file of the weights."
FORMS = (
    (0, b"\x1f\x8b", "is compressed with gzip.", UNPACK),
    (0, b"BZh", "is compressed with bzip2.", UNPACK),
    (0, b"\xfd7zXZ\x00", "is compressed with xz.", UNPACK),
    (0, b"7z\xbc\xaf'\x1c", "is a 7z archive.", UNPACK),
    (0, b"Rar!", "is a RAR archive.", UNPACK),
    (257, b"ustar", "is a tar archive.", UNPACK),
    (0, b"\x89HDF", "is an HDF5 file, which none of the supported codebases uses.", ""),
    (0, b"<", "is a web page or XML, not a checkpoint: the download has failed.", "Open it in a browser to see why."),
    (8, b"{", "is a safetensors file, which contains weights without the model.", ""),
)
"""File types without a reader: offset of the signature, signature, problem and remedy."""

SHOWN = 8
"""Most names of keys, arrays or files in a description."""


def describe_form(source: Source) -> tuple[str, str] | None:
    """Return problem and remedy of a file of a known but unsupported type.

    Raises:
        CheckpointError: for a file that cannot be opened.
    """
    with open_file(source.path, NOUN, LIMIT) as stream:
        if source.format == "npz":
            names = require_archive(stream, MEMBERS).namelist()
            if not any(name.endswith(".npy") for name in names):
                return f"is a zip archive of {_list(names)}.", UNPACK
        start = stream.read(512) if source.format in ("pickle", "safetensors") else b""
    for place, mark, problem, remedy in FORMS:
        if start[place:].startswith(mark):
            return problem, remedy
    return None


def describe(source: Source) -> str:
    """Describe the contents of a file or folder: type, and the first keys, arrays or files.

    Raises:
        CheckpointError: for a file that cannot be read.
    """
    if source.is_folder:
        names = sorted(item.name for item in source.path.iterdir())
        return f"a folder with {_list(names)}" if names else "an empty folder"
    if source.format == "npz":
        return f"an .npz file of the arrays {_list(source.content)}"
    form = {
        "torch": "torch file",
        "safetensors": "safetensors file",
        "npy": "file",
        "json": "JSON file",
        "pickle": "pickle",
    }[source.format]
    return f"a {form} of {_describe_value(source.content)}"


def is_vocabulary(source: Source) -> bool:
    """Return whether a file is a vocabulary of the VSE++ family, which is easily mistaken for the checkpoint.

    Raises:
        CheckpointError: for a file that cannot be read.
    """
    content = None if source.is_folder else source.content
    return isinstance(content, Vocabulary) or (
        isinstance(content, Mapping) and {"word2idx", "idx2word"} <= set(content)
    )


def _describe_value(value: Any) -> str:
    if isinstance(value, Record):
        return f"a {type(value).__name__} with the attributes {_list(value.attributes)}"
    if isinstance(value, Mapping):
        return f"a dictionary with the keys {_list(value)}" if value else "an empty dictionary"
    if isinstance(value, np.ndarray | Tensor):
        return f"one array of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"one value of type {type(value).__name__}"


def _list(names: Iterable[Any]) -> str:
    listed = [show(name) for name in names]
    return (", ".join(listed[:SHOWN]) + (f", … ({len(listed):,} in total)" if len(listed) > SHOWN else "")) or "nothing"

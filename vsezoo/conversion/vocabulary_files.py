"""Write vocabularies in the formats of VSE++ and SCAN: a pickle of an object, and JSON."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsezoo.conversion.output import PROTOCOL, create_file


def write_vocabulary(words: Sequence[str], stem: Path) -> list[Path]:
    """Write words as `STEM.pkl` and `STEM.json`, and return the paths.

    Args:
        words: in the order of their ids.
        stem: the path without suffix.

    Raises:
        StorageError: if a file cannot be written.
    """
    attributes = {
        "word2idx": {word: index for index, word in enumerate(words)},
        "idx2word": dict(enumerate(words)),
        "idx": len(words),
    }
    contents = {"pkl": _pickle(attributes), "json": json.dumps(attributes).encode()}
    written = []
    for ending, content in contents.items():
        written.append(stem.with_name(f"{stem.name}.{ending}"))
        with create_file(written[-1]) as stream:
            stream.write(content)
    return written


def _pickle(attributes: Mapping[str, Any]) -> bytes:
    """Return the pickle of an object of the class `Vocabulary` in the module `__main__`, as in the originals.

    The class does not exist here, so the opcodes that build the object are written around the pickled attributes.
    """
    start = pickle.PROTO + bytes([PROTOCOL])
    body = pickle.dumps(attributes, PROTOCOL).removeprefix(start).removesuffix(pickle.STOP)
    create = pickle.GLOBAL + b"__main__\nVocabulary\n" + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    return start + create + body + pickle.BUILD + pickle.STOP

"""Vocabularies as VSE++ and SCAN store them: a pickle of an object, and JSON."""

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
        stem: the path without its ending.

    Raises:
        StorageError: where a file cannot be written.
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
    """Return the pickle of an object of the class `Vocabulary` in the module `__main__`, as the originals have it.

    The class is not there to be pickled: its attributes are, between the operations that make an object of it and those
    that give it the attributes.
    """
    start = pickle.PROTO + bytes([PROTOCOL])
    body = pickle.dumps(attributes, PROTOCOL).removeprefix(start).removesuffix(pickle.STOP)
    create = pickle.GLOBAL + b"__main__\nVocabulary\n" + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    return start + create + body + pickle.BUILD + pickle.STOP

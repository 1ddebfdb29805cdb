"""Read vocabularies of other codebases as lists of words in the order of their ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from vsezoo.conversion.files import FETCH, MIB, open_file, show
from vsezoo.conversion.pickle_contents import Vocabulary
from vsezoo.conversion.pickles import LIMIT, read_pickle
from vsezoo.errors import CheckpointError, pluralise
from vsezoo.storage.json_file import make_object
from vsezoo.text import RULES

JSON_LIMIT = 16 * MIB
"""Most bytes of a JSON file."""

GIVE = "Give the vocabulary that the checkpoint was trained with."


def read_vocabulary(path: str | Path) -> list[str]:
    """Read a vocabulary: a pickle or JSON of VSE++, VSRN and SCAN, or a dictionary of Kiros.

    Returns:
        the words in the order of their ids from 0, as returned by `list_words`.

    Raises:
        CheckpointError: for a file that is damaged, or inconsistent words and ids.
    """
    path = Path(path)
    with open_file(path, "a vocabulary", LIMIT) as stream:
        start = stream.read(64).lstrip()
    return list_words(read_json(path) if start.startswith((b"{", b"[")) else read_pickle(path), path)


def read_json(path: str | Path) -> Any:
    """Read a JSON file whose objects have no key twice."""
    with open_file(Path(path), "a JSON file", JSON_LIMIT) as stream:
        return json.loads(stream.read(), object_pairs_hook=make_object)


def list_words(value: Any, file: Path) -> list[str]:
    """Return the words of a vocabulary that was read from a file, in the order of their ids.

    Args:
        value: an object of a class `Vocabulary`, or SCAN's dictionary with `word2idx`, `idx2word` and `idx`; or the
            contents of `vocab.json` of a vsezoo checkpoint, with a list of `words`; or Kiros' dictionary from words to
            ids, which begin at 2: `<eos>` and `UNK` are then put in front.
        file: the file, for the message.

    Raises:
        CheckpointError: unless the ids are consecutive from 0, each belonging to one word.
    """
    if isinstance(value, Vocabulary):
        value = value.attributes
    if not isinstance(value, dict):
        raise CheckpointError("does not contain a vocabulary.", file=file, remedy=GIVE)
    if isinstance(value.get("words"), list):
        listed: list[str] = value["words"]
        if not listed or not all(type(word) is str for word in listed) or len(set(listed)) != len(listed):
            raise CheckpointError("does not list distinct words.", file=file, remedy=GIVE)
        return listed
    if "word2idx" not in value and "idx2word" not in value:
        return _list_by_id(value, file)
    for name in ("word2idx", "idx2word"):
        if not isinstance(value.get(name), dict):
            raise CheckpointError(f"has no dictionary {name}.", file=file, remedy=GIVE)
    words = _list_by_id(value["word2idx"], file, special=())
    inverse = value["idx2word"]
    for index, word in enumerate(words):
        found = inverse.get(index, inverse.get(str(index)))
        if found != word:
            raise CheckpointError(
                f"is inconsistent: word2idx has {show(repr(word))} at {index}, idx2word {show(repr(found))}.",
                file=file,
                remedy=FETCH,
            )
    for name, number in (("idx2word", len(inverse)), ("idx", value.get("idx", len(words)))):
        if number != len(words) or type(number) is not int:
            raise CheckpointError(
                f"is inconsistent: word2idx has {pluralise(len(words), 'word')}, {name} says {show(number)}.",
                file=file,
                remedy=FETCH,
            )
    return words


def require_vocabulary(words: Sized, rows: int, file: str | Path, remedy: str = "") -> None:
    """Check that the vocabulary has the size of the word embedding of the checkpoint.

    Args:
        words: a list of words, or a tokenizer, whose length is the number of ids.
        rows: number of rows of the word embedding.
        file: the file of the vocabulary.
        remedy: a more specific remedy, if known.

    Raises:
        CheckpointError: with both numbers.
    """
    if len(words) != rows:
        raise CheckpointError(
            f"has {pluralise(len(words), 'word')}, but the checkpoint's word embedding has {pluralise(rows, 'row')}: "
            "the two do not belong together.",
            file=file,
            remedy=remedy or f"{GIVE} Several projects have vocabularies of the same name with different sizes.",
        )


def _list_by_id(ids: Mapping[Any, Any], file: Path, special: tuple[str, ...] = RULES["split"].special) -> list[str]:
    words: dict[int, str] = {}
    for word, index in ids.items():
        if type(word) is not str or type(index) is not int:
            raise CheckpointError(
                f"gives {show(repr(word))} the id {show(repr(index))}: it must be a word with an integer.",
                file=file,
                remedy=GIVE,
            )
        if index in words:
            raise CheckpointError(
                f"gives the id {index} to {show(repr(words[index]))} and to {show(repr(word))}.",
                file=file,
                remedy=FETCH,
            )
        words[index] = word
    if not words:
        raise CheckpointError("has no words.", file=file, remedy=GIVE)
    if special and 0 not in words and 1 not in words:  # captions may contain a word that is spelled like a special one
        words.update(enumerate(special))
    for index in range(len(words)):
        if index not in words:
            raise CheckpointError(
                f"has {pluralise(len(words), 'word')}, but none with the id {index}.", file=file, remedy=FETCH
            )
    return [words[index] for index in range(len(words))]

"""Find and read dictionaries of words, as pickled by Kiros' release and codebases derived from it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.conversion.files import show
from vsezoo.conversion.importer import Source
from vsezoo.conversion.vocabulary import list_words, require_vocabulary
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.text import RULES, Vocabulary, WordTokenizer

VOCAB = {"vocab": "the FILE of the words, if it is not next to the weights under its usual name"}
"""The option of importers with the path of the dictionary."""

WORD_IDS = "worddict"
"""The key of the dictionary in a file that also contains options."""


def make_tokenizer(dictionary: Any, rows: int, file: Path) -> WordTokenizer:
    """Return the tokenizer of a dictionary from words to ids.

    Ids 0 and 1 are `<eos>` and `UNK`, whether or not the dictionary contains them. Kiros' release does not count these
    two, so its embedding has two rows too few, and the last two words are treated as unknown.

    Args:
        dictionary: the contents of its file.
        rows: number of rows of the word embedding.
        file: the file, for the message.

    Raises:
        CheckpointError: for a dictionary that is damaged or has the wrong size.
    """
    words = list_words(dictionary, file)
    off_by_two = len(words) - 2 == rows
    special = RULES["split"].special
    if not off_by_two:
        require_vocabulary(
            words,
            rows,
            file,
            f"Give the dictionary of this checkpoint: with {' and '.join(special)} it must have as many words as the "
            "embedding has rows, or two more.",
        )
    if tuple(words[:2]) != special:
        raise CheckpointError(
            f"begins with the words {show(words[:2])}; in this format they are {' and '.join(special)}.",
            file=file,
            remedy="Give the dictionary of this checkpoint.",
        )
    return WordTokenizer(1, Vocabulary(words), "split", off_by_two)


def make_dictionary(model: JointEmbedding) -> OrderedDict[str, int]:
    """Return the ids of a model's words without `<eos>` and `UNK`, as in the originals."""
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, WordTokenizer), "see require_settings"
    return OrderedDict((word, index) for index, word in enumerate(tokenizer.vocabulary.words) if index > 1)


def open_companion(source: Source, *paths: str | Path, remedy: str) -> Source:
    """Open the first existing file of several.

    Args:
        source: the file that they belong to.
        paths: relative to its folder, or absolute; the usual one first.
        remedy: the remedy of the message.

    Raises:
        CheckpointError: if none exists, with the name of the first.
    """
    folder = source.path.parent
    for path in paths:
        if (folder / path).is_file():
            return source.open(path)
    raise CheckpointError("does not exist, but is needed.", file=folder / paths[0], remedy=remedy)


def find_vocab(options: Mapping[str, Any]) -> Path | None:
    """Return the absolute path in the option `vocab` of an importer."""
    return None if options.get("vocab") is None else Path(options["vocab"]).absolute()


def open_both(source: Source, options: Mapping[str, Any], name: str) -> tuple[Source, Source]:
    """Open the file with options and dictionary, and the file of the dictionary to use: the same by default.

    Args:
        source: the file of the weights.
        options: options of the importer; `vocab` may be either of the two files.
        name: usual name of the file with both.

    Raises:
        CheckpointError: if a file is missing.
    """
    vocab = find_vocab(options)
    given = None if vocab is None else open_companion(source, vocab, remedy="Check the path given with --vocab.")
    if given is not None and holds_both(given):
        return given, given
    both = open_companion(
        source,
        name,
        remedy=f"Put it next to {source.path.name}, or give the path of this file, which contains options and words: "
        "--vocab FILE",
    )
    return both, given or both


def holds_both(source: Source) -> bool:
    """Return whether a file contains a dictionary as well as options."""
    return isinstance(source.content, dict) and isinstance(source.content.get(WORD_IDS), dict)


def read_ids(source: Source) -> Any:
    """Return the dictionary in a file, which may also contain options."""
    return source.content[WORD_IDS] if holds_both(source) else source.content

"""Dictionaries of words, as Kiros' release and the codebases made after it pickle them, and where their files are."""

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

VOCAB = {"vocab": "the FILE of the words, where it does not stand beside the weights under its usual name"}
"""The option of the importers: a path."""

WORD_IDS = "worddict"
"""The name of the dictionary in a file that holds options as well."""


def make_tokenizer(dictionary: Any, rows: int, file: Path) -> WordTokenizer:
    """Return the tokenizer of a dictionary from words to ids.

    Ids 0 and 1 are `<eos>` and `UNK`, whether the dictionary has them or not. Kiros' release counts the words without
    these two, so that its embedding has two rows too few, and the last two words count as unknown.

    Args:
        dictionary: what its file holds.
        rows: of the word embedding.
        file: for the message.

    Raises:
        CheckpointError: for a dictionary that is damaged or of another size.
    """
    words = list_words(dictionary, file)
    off_by_two = len(words) - 2 == rows
    special = RULES["split"].special
    if not off_by_two:
        require_vocabulary(
            words,
            rows,
            file,
            f"Give the dictionary of this checkpoint: with {' and '.join(special)} it has as many words as the "
            "embedding has rows, or two more.",
        )
    if tuple(words[:2]) != special:
        raise CheckpointError(
            f"has {show(words[:2])} for its first words; in this format they are {' and '.join(special)}.",
            file=file,
            remedy="Give the dictionary of this checkpoint.",
        )
    return WordTokenizer(1, Vocabulary(words), "split", off_by_two)


def make_dictionary(model: JointEmbedding) -> OrderedDict[str, int]:
    """Return the ids of a model's words, without `<eos>` and `UNK`, as the originals have them."""
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, WordTokenizer), "see require_settings"
    return OrderedDict((word, index) for index, word in enumerate(tokenizer.vocabulary.words) if index > 1)


def open_companion(source: Source, *paths: str | Path, remedy: str) -> Source:
    """Open the first of some files that is there.

    Args:
        source: the file that they belong to.
        paths: from its folder, or absolute; the usual one first.
        remedy: for the message.

    Raises:
        CheckpointError: where none is there, with the name of the first.
    """
    folder = source.path.parent
    for path in paths:
        if (folder / path).is_file():
            return source.open(path)
    raise CheckpointError("is not there, and is needed.", file=folder / paths[0], remedy=remedy)


def find_vocab(options: Mapping[str, Any]) -> Path | None:
    """Return the absolute path that the option `vocab` of an importer gives."""
    return None if options.get("vocab") is None else Path(options["vocab"]).absolute()


def open_both(source: Source, options: Mapping[str, Any], name: str) -> tuple[Source, Source]:
    """Open the file that has options and dictionary, and the one whose dictionary counts: the same, if none is given.

    Args:
        source: of the weights.
        options: of the importer; `vocab` may give either of the two files.
        name: the usual one of the file that has both.

    Raises:
        CheckpointError: where a file is absent.
    """
    vocab = find_vocab(options)
    given = None if vocab is None else open_companion(source, vocab, remedy="Check the path that --vocab gives.")
    if given is not None and holds_both(given):
        return given, given
    both = open_companion(
        source,
        name,
        remedy=f"Put it beside {source.path.name}, or give the path of this file, which has options and words: "
        "--vocab FILE",
    )
    return both, given or both


def holds_both(source: Source) -> bool:
    """Tell whether a file has a dictionary beside options."""
    return isinstance(source.content, dict) and isinstance(source.content.get(WORD_IDS), dict)


def read_ids(source: Source) -> Any:
    """Return the dictionary of a file that has it alone or beside options."""
    return source.content[WORD_IDS] if holds_both(source) else source.content

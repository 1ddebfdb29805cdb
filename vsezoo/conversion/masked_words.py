"""Vocabularies of VSE∞ and of codebases derived from it: files without `<mask>`, which is appended after reading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.conversion.importer import Source
from vsezoo.conversion.state_dicts import StateDicts, read_words
from vsezoo.conversion.vocabulary import require_vocabulary
from vsezoo.conversion.vocabulary_files import write_vocabulary
from vsezoo.recipe import Recipe
from vsezoo.text.masked import MASK, MaskedWordTokenizer, add_mask


def read_masked_words(
    source: Source, recipe: Recipe, held: StateDicts, chosen: Mapping[str, Any]
) -> MaskedWordTokenizer:
    """Return the tokenizer of the vocabulary next to a checkpoint; the arguments are those of `make_imported`.

    Raises:
        CheckpointError: for a vocabulary that is missing or of the wrong size.
    """
    words, path = read_words(source, chosen, held.name_data().get("name", ""))
    vocabulary = add_mask(words)
    require_vocabulary(vocabulary, len(held.text["embed.weight"]), path)
    return MaskedWordTokenizer(recipe.text_encoder.options["vocab_threshold"], vocabulary)


def write_masked_words(tokenizer: MaskedWordTokenizer, checkpoint: Path, data: str) -> list[Path]:
    """Write the vocabulary next to a checkpoint, named after the data set, and return the paths.

    Raises:
        StorageError: if a file cannot be written.
    """
    words = [word for word in tokenizer.vocabulary.words if word != MASK]
    return write_vocabulary(words, checkpoint.with_name(f"{data}_precomp_vocab"))

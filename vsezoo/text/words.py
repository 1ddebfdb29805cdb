"""The word tokenizer with the rules of the original codes, and its vocabulary file."""

from __future__ import annotations

import functools
import json
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from vsezoo.errors import CheckpointError, RecipeError, VsezooWarning
from vsezoo.inputs import Tokenizer
from vsezoo.recipe.options import OneOf
from vsezoo.recipe.signatures import ChecksOptions
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.json_file import read_object
from vsezoo.text.scripts import split_characters
from vsezoo.text.segmentation import PACKAGE, split_chinese
from vsezoo.text.subwords import Subwords
from vsezoo.text.treebank import split_words
from vsezoo.text.vocabulary import END, SPECIAL_WORDS, START, UNKNOWN, Vocabulary

SUBWORDS = "subwords"


@dataclass(frozen=True)
class WordRule:
    """How captions are split into words, and words are mapped to ids.

    Attributes:
        name: name in `vocab.json`.
        cut: function from a caption to its words.
        special: words of the first ids.
        start: ids in front of a caption.
        end: ids after it.
        unknown: the id of words that are not in the vocabulary.
        package: whose version decides how captions are cut; empty: this one.
    """

    name: str
    cut: Callable[[str], list[str]]
    special: tuple[str, ...] = SPECIAL_WORDS
    start: tuple[int, ...] = (START,)
    end: tuple[int, ...] = (END,)
    unknown: int = UNKNOWN
    package: str = ""


RULES = {
    "nltk": WordRule("nltk-words-lower", lambda caption: split_words(caption.lower())),
    "split": WordRule("split-words", str.split, ("<eos>", "UNK"), start=(), end=(0,), unknown=1),
    "letters": WordRule("letter-words-lower", lambda caption: re.sub("[^a-z' ]", "", caption.lower()).split()),
    "characters": WordRule("character-words-lower", lambda caption: split_characters(caption.lower())),
    "jieba": WordRule("jieba-words-lower", lambda caption: split_chinese(caption.lower()), package=PACKAGE),
    SUBWORDS: WordRule("subwords", str.split),  # which the file cuts
}
"""Values of the option `words` of a text encoder."""


class WordTokenizer(ChecksOptions, Tokenizer):
    """Words by one of the `RULES`, ids by a vocabulary; stored as `vocab.json`.

    Args:
        threshold: minimum number of occurrences of a word in the vocabulary that `fit` builds.
        vocabulary: the words, if they are already known.
        words: the rule.
        off_by_two: leave the last two words of the vocabulary without an id: they count as unknown, and there are two
            ids fewer than words. The releases of Kiros and linxd5 do this, because they count the words but not the
            two special ids before them. Only with "split".
        subwords: what cuts captions, only with "subwords".

    Raises:
        RecipeError: for an unknown rule, `off_by_two` with a rule other than "split", or "subwords" without a file.
    """

    FILE: ClassVar[str] = "vocab.json"

    def __init__(
        self,
        threshold: int = 4,
        vocabulary: Vocabulary | None = None,
        words: Annotated[str, OneOf(*RULES)] = "nltk",
        off_by_two: bool = False,
        subwords: Subwords | None = None,
    ) -> None:
        if off_by_two and words != "split":
            raise RecipeError(
                f"text_encoder.off_by_two requires words='split', not {words!r}.",
                remedy="Set text_encoder.words=split, or remove off_by_two.",
            )
        if (words == SUBWORDS) != (subwords is not None):
            raise RecipeError(
                "text_encoder.words=subwords and text_encoder.subwords=FILE belong together.",
                remedy="Set both, the second to a tokenizer.json of the library tokenizers, or neither.",
            )
        self.threshold = threshold
        self.rule = RULES[words] if subwords is None else replace(RULES[words], cut=subwords.cut)
        self.subwords = subwords
        self.off_by_two = off_by_two
        self.vocabulary = vocabulary or Vocabulary(self.rule.special)

    def split(self, captions: Sequence[str]) -> list[list[str]]:
        """Split captions into words; equal words share one string object."""
        return [[sys.intern(word) for word in self.rule.cut(caption)] for caption in captions]

    def fit(self, split_captions: Sequence[Sequence[str]]) -> None:
        """Build the vocabulary."""
        self.vocabulary = Vocabulary.build(split_captions, self.threshold, self.rule.special)

    def encode_split(self, split_captions: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the ids of captions, with those that the rule puts before and after."""
        start, end = self.rule.start, self.rule.end
        id_of = functools.cache(self._id_of)  # words repeat
        return [np.array([*start, *map(id_of, words), *end], dtype=np.int32) for words in split_captions]

    def knows(self, caption: str) -> bool:
        """Return whether a caption has a word of the vocabulary."""
        return any(self._id_of(word) != self.rule.unknown for word in self.rule.cut(caption))

    def name_tokens(self, caption: str) -> list[str]:
        """Return a text for each id of a caption: its words, those that are not in the vocabulary marked as unknown."""
        start, end = ([self.rule.special[index] for index in ids] for ids in (self.rule.start, self.rule.end))
        unknown = self.rule.unknown
        words = [f"{word} (unknown)" if self._id_of(word) == unknown else word for word in self.rule.cut(caption)]
        return [*start, *words, *end]

    def _id_of(self, word: str) -> int:
        index = self.vocabulary.id_of(word, self.rule.unknown)
        # A special word that occurs in a caption counts as unknown.
        return index if len(self.rule.special) <= index < len(self) else self.rule.unknown

    def to_files(self) -> Mapping[str, bytes]:
        """Return `vocab.json`: the rule, the threshold, and all words, in the order of their ids; and the subwords."""
        value = {
            "tokenizer": self.rule.name,
            "threshold": self.threshold,
            **({"off_by_two": True} if self.off_by_two else {}),
            **({"package": name_version(self.rule.package)} if self.rule.package else {}),
            **({"subwords": self.subwords.sha256} if self.subwords else {}),
            "words": list(self.vocabulary.words),
        }
        files = {self.FILE: (json.dumps(value, ensure_ascii=False, indent=0) + "\n").encode()}
        return files | ({Subwords.FILE: self.subwords.content} if self.subwords else {})

    @classmethod
    def from_files(cls, folder: Path) -> WordTokenizer:
        """Read `vocab.json`, which names the rule."""
        path = folder / cls.FILE
        try:
            value = read_object(path)
            name, threshold, words = value["tokenizer"], value["threshold"], value["words"]
            off_by_two = value.get("off_by_two", False)
        except (CheckpointError, KeyError) as error:
            raise CheckpointError("is not a readable vocabulary.", file=path, remedy=RESTORE) from error
        rule = next((key for key, rule in RULES.items() if rule.name == name), None)
        if rule is None:
            known = ", ".join(repr(rule.name) for rule in RULES.values())
            raise CheckpointError(f"has the tokenizer {name!r}, not one of {known}.", file=path, remedy=RESTORE)
        special = RULES[rule].special
        strings = isinstance(words, list) and all(isinstance(word, str) for word in words)
        # With "split", captions may contain a word spelt like a special one: it then has its own id.
        own = words[len(special) if rule == "split" else 0 :] if strings else []
        if not strings or tuple(words[: len(special)]) != special or len(set(own)) != len(own):
            raise CheckpointError(
                f"must list distinct words that start with {', '.join(special)}.", file=path, remedy=RESTORE
            )
        if type(threshold) is not int:
            raise CheckpointError("has a threshold that is not an integer.", file=path, remedy=RESTORE)
        if type(off_by_two) is not bool or (off_by_two and rule != "split"):
            raise CheckpointError("has an off_by_two that does not fit its tokenizer.", file=path, remedy=RESTORE)
        if package := RULES[rule].package:
            _compare_version(path, package, value.get("package"))
        subwords = Subwords.from_checkpoint(folder, value.get("subwords")) if rule == SUBWORDS else None
        return cls(threshold, Vocabulary(words), rule, off_by_two, subwords)

    def __len__(self) -> int:
        """Return the number of ids: the rows of an embedding."""
        special = len(self.rule.special)
        return max(special, len(self.vocabulary) - 2) if self.off_by_two else len(self.vocabulary)


def read_subwords(options: Mapping[str, Any]) -> Subwords | None:
    """Return the subwords of the options of a text encoder; None if it has other words.

    Raises:
        RecipeError: for a file that cannot be read.
    """
    file = options.get("subwords") or ""
    return Subwords.read(file) if file else None


def name_version(package: str) -> str:
    """Return a package and its installed version; the package alone if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _compare_version(file: Path, package: str, stored: object) -> None:
    """Warn if a package that cuts captions has another version than in training."""
    if stored != (installed := name_version(package)):
        message = f"{file}: the captions were cut with {stored}, and are now with {installed}, which may differ."
        warnings.warn(message, VsezooWarning, stacklevel=3)

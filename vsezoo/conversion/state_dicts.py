"""Checkpoints of VSE++ and of codebases derived from it, and the vocabularies next to them.

    {'epoch', 'model': [image encoder, text encoder], 'best_rsum', 'opt': Namespace, 'Eiters'}

Each encoder is a state dict. Prefixes of `DataParallel` are removed, and batch counters, which early versions of torch
did not have, are added.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsezoo.construction import build_model
from vsezoo.conversion.dictionary import VOCAB, find_vocab, open_companion
from vsezoo.conversion.files import FETCH, show
from vsezoo.conversion.importer import Imported, Source
from vsezoo.conversion.pickle_contents import Namespace
from vsezoo.conversion.vocabulary import list_words, require_vocabulary
from vsezoo.errors import CheckpointError
from vsezoo.inputs import Tokenizer
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import load_tensors
from vsezoo.storage.unfilled import without_memory
from vsezoo.text import SPECIAL_WORDS, Vocabulary, WordTokenizer

OPTIONS = {**VOCAB, "ignore": "options of the checkpoint, separated by commas, that do not affect the model"}
"""The options of the importers."""

SIDES = ("img_enc", "txt_enc")
"""The names of the encoders in the original models."""

RECORD = ("epoch", "best_rsum", "Eiters")
PATHS = ("data_path", "logger_name", "resume", "vocab_path")


@dataclass(frozen=True)
class StateDicts:
    """The contents of a checkpoint.

    Attributes:
        image: tensors of the image encoder, by their original names.
        text: tensors of the text encoder.
        options: the options of training.
        notes: further facts.
        similarity: tensors of the similarity, in codebases where it has some.
    """

    image: dict[str, Tensor]
    text: dict[str, Tensor]
    options: dict[str, Any]
    notes: dict[str, Any]
    similarity: dict[str, Tensor] = field(default_factory=dict)

    def list_sizes(self) -> dict[str, int]:
        """Return the options that follow from the shapes of the tensors."""
        (embed_size, img_dim), (_, word_dim) = self.image["fc.weight"].shape, self.text["embed.weight"].shape
        layers = sum(re.fullmatch(r"rnn\.weight_ih_l\d+", name) is not None for name in self.text)
        return {"embed_size": embed_size, "img_dim": img_dim, "word_dim": word_dim, "num_layers": layers}

    def name_data(self) -> dict[str, str]:
        """Return the name of the training data for `Imported.data`, or nothing."""
        name = self.options.get("data_name")
        return {"name": name} if isinstance(name, str) and name else {}


def split_encoders(source: Source) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return the names and tensors of image and text encoder; None if the file is not such a checkpoint."""
    parts = split_parts(source)
    return (parts[0], parts[1]) if len(parts) == len(SIDES) and all(parts) else None


def split_parts(source: Source, sides: Sequence[str] = SIDES) -> list[Mapping[str, Any]]:
    """Return the names and tensors of all parts of a model, in their order; nothing if the file is not a checkpoint.

    Args:
        source: the file.
        sides: the names of the parts, for a file that has one dictionary for all.
    """
    if source.is_folder or source.format != "torch" or not isinstance(source.content, dict):
        return []
    model = source.content.get("model")
    if isinstance(model, dict):
        parts = [_select(model, side) for side in sides]
    else:
        parts = list(model) if isinstance(model, list | tuple) else []
    return parts if all(isinstance(part, dict) for part in parts) else []


def find_options(source: Source) -> Mapping[Any, Any]:
    """Return the options of training, which distinguish codebases with the same tensors; empty if there are none."""
    if source.is_folder or not isinstance(source.content, dict):
        return {}
    opt = source.content.get("opt")
    options = opt.attributes if isinstance(opt, Namespace) else opt
    return options if isinstance(options, dict) else {}


def read_state_dicts(
    source: Source, chosen: Mapping[str, Any], words: str = "embed.weight", sides: Sequence[str] = SIDES
) -> StateDicts:
    """Read a checkpoint of two encoders, and perhaps a similarity.

    Args:
        source: the file.
        chosen: options of the importer; `ignore` lists options of the file that are only recorded in the notes.
        words: the matrix of the text encoder that has a row for each word.
        sides: the names of the parts; a third one is the similarity, others are left out.

    Raises:
        CheckpointError: for a checkpoint without options, or with values that are not tensors.
    """
    image, text, *rest = (_name_tensors(part, source.path) for part in split_parts(source, sides)[: len(sides)])
    for tensors, name in ((image, "fc.weight"), (text, words)):
        if name not in tensors or tensors[name].dim() != 2:
            raise CheckpointError(f"has no matrix {name}.", file=source.path, remedy=FETCH)
    opt = source.content.get("opt")
    options = opt.attributes if isinstance(opt, Namespace) else opt
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise CheckpointError(
            "has no options: 'opt' is not a Namespace.",
            file=source.path,
            remedy="Give the complete checkpoint: weights without options do not identify the model.",
        )
    rows = len(text[words])
    if options.get("vocab_size", rows) != rows:
        raise CheckpointError(
            f"has the option vocab_size={show(repr(options['vocab_size']))}, but a word embedding of {rows:,} rows.",
            file=source.path,
            remedy=FETCH,
        )
    ignored = [name.strip() for name in str(chosen.get("ignore", "")).split(",")]
    record = {name: _note(source.content[name]) for name in RECORD if name in source.content}
    return StateDicts(
        image,
        text,
        {name: value for name, value in options.items() if name not in ignored},
        {**record, "options": {name: _note(value, name) for name, value in options.items()}},
        rest[0] if rest else {},
    )


def make_imported(
    source: Source, recipe: Recipe, held: StateDicts, chosen: Mapping[str, Any], data: Mapping[str, Any]
) -> Imported:
    """Return the model of a recipe with its vocabulary, after checking that everything fits.

    Args:
        source: the file.
        recipe: the recipe from its options.
        held: its contents, with tensors by our names.
        chosen: options of the importer; `vocab` is the path of the vocabulary.
        data: known facts about the training data.

    Raises:
        CheckpointError: for a vocabulary that is missing or of the wrong size, and for tensors that do not fit.
    """
    words, path = read_words(source, chosen, data.get("name", ""))
    require_vocabulary(words, len(held.text["embed.weight"]), path)
    tokenizer = WordTokenizer(recipe.text_encoder.options["vocab_threshold"], Vocabulary(words))
    return fit_tensors(source, recipe, tokenizer, held, data)


def read_words(source: Source, chosen: Mapping[str, Any], name: str) -> tuple[list[str], Path]:
    """Return the words of the vocabulary next to a checkpoint, or of the one that was chosen, and its path.

    Args:
        source: the file of the checkpoint.
        chosen: options of the importer; `vocab` is the path of the vocabulary.
        name: of the training data, after which the file is named; empty: not known.

    Raises:
        CheckpointError: for a vocabulary that is missing or is not of this format.
    """
    stems = (f"{name}_vocab", f"{name}_precomp_vocab") if re.fullmatch(r"[\w.-]+", name) else ()
    usual = [f"{stem}.{ending}" for stem in stems for ending in ("pkl", "json")]
    vocab = find_vocab(chosen)
    companion = open_companion(
        source,
        *([vocab] if vocab else [*usual, "vocab.json", "vocab.pkl"]),
        remedy=f"Put its vocabulary next to {source.path.name}, or give the path: --vocab FILE",
    )
    words = list_words(companion.content, companion.path)
    if tuple(words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
        raise CheckpointError(
            f"begins with {show(words[: len(SPECIAL_WORDS)])}; in this format it is {', '.join(SPECIAL_WORDS)}.",
            file=companion.path,
            remedy="Give the vocabulary of this checkpoint.",
        )
    return words, companion.path


def fit_tensors(
    source: Source, recipe: Recipe, tokenizer: Tokenizer, held: StateDicts, data: Mapping[str, Any]
) -> Imported:
    """Return the model of a recipe, after checking that the tensors fit; the arguments are those of `make_imported`.

    Raises:
        CheckpointError: for tensors that do not fit.
    """
    tensors = {f"image_encoder.{name}": tensor for name, tensor in held.image.items()}
    tensors |= {f"text_encoder.{name}": tensor for name, tensor in held.text.items()}
    tensors |= {f"similarity.{name}": tensor for name, tensor in held.similarity.items()}
    _require_fit(recipe, tokenizer, tensors, source.path)
    return Imported(recipe, tokenizer, tensors, data, held.notes)


def _select(model: Mapping[Any, Any], side: str) -> Any:
    """Return the state dict of one side, from a dictionary of two state dicts or from one for both."""
    if side in model:
        return model[side]
    start = re.compile(rf"(module\.)?{side}\.")
    return {start.sub("", name, count=1): tensor for name, tensor in model.items() if start.match(str(name))}


def _name_tensors(part: Mapping[Any, Any], file: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, tensor in part.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"has {show(repr(name))} in its model, which is not a tensor.", file=file, remedy=FETCH
            )
        plain = ".".join(word for word in name.split(".") if word != "module")
        if plain in tensors:
            raise CheckpointError(f"has the tensor {show(plain)} twice.", file=file, remedy=FETCH)
        tensors[plain] = tensor
    norms = [name.removesuffix(".running_var") for name in tensors if name.endswith(".running_var")]
    return {**{f"{norm}.num_batches_tracked": torch.tensor(0) for norm in norms}, **tensors}


def _require_fit(recipe: Recipe, tokenizer: Tokenizer, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Compare the tensors with a model on the meta device before building the real one."""
    with without_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # avoid copies
        try:
            load_tensors(build_model(resolve_recipe(recipe), tokenizer), tensors, file)
        except CheckpointError as error:
            raise CheckpointError(
                error.problem,
                file=file,
                remedy="The weights, the options and the vocabulary do not belong together, or the file is damaged.",
            ) from error


def _note(value: Any, name: str = "") -> Any:
    """Return a value as JSON or text; for a path on the author's machine, only the last part."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, str) and name in PATHS:
        return Path(value).name
    return value if isinstance(value, str | int | float | bool | None) else show(value)

"""Importers of Kiros' release in Theano and of linxd5's port to PyTorch.

    kiros    NAME.npz (weights), NAME.npz.pkl (options), NAME.npz.dictionary.pkl (words); GRU and bag of words
    linxd5   NAME_model_lstm.pkl (weights), NAME_params_lstm.pkl (options and words), NAME.dictionary.pkl (words)

Neither counts `<eos>` and `UNK` among the words, so the last two words have no vector.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vsezoo.conversion import theano
from vsezoo.conversion.dictionary import (
    VOCAB,
    WORD_IDS,
    find_vocab,
    holds_both,
    make_dictionary,
    make_tokenizer,
    open_both,
    open_companion,
    read_ids,
)
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.conversion.kiros_options import (
    FETCH,
    NOTED,
    apply_options,
    choose_option,
    list_options,
    make_imported,
    require_options,
    require_settings,
    require_tensors,
)
from vsezoo.conversion.output import create_file, write_pickle
from vsezoo.encoders.bow import BagOfWordsTextEncoder
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder, LSTMTextEncoder
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.similarities import CosineSimilarity
from vsezoo.text import RULES
from vsezoo_kiros import recipes

RECIPES = {"gru": recipes.gru, "bow": recipes.bow}
FIRST_RATE = 0.01
"""Learning rate of the first release, which had no option for it."""

PARTS: dict[str, tuple[type, ...]] = {"image_encoder": (PrecomputedImageEncoder,), "similarity": (CosineSimilarity,)}
NOT_ABSOLUTE = {"image_encoder.use_abs": False, "text_encoder.use_abs": False}


class KirosImporter(Importer):
    """Kiros' release: arrays of Theano and two pickles."""

    name = "kiros"
    summary = "Kiros et al. 2014, the release in Theano: NAME.npz, NAME.npz.pkl, NAME.npz.dictionary.pkl."
    options = VOCAB
    file_name = "model.npz"

    def recognise(self, source: Source) -> bool:
        """Return whether it contains such arrays, and no pickle of order-embeddings is next to it."""
        return theano.holds_weights(source) and theano.count_pickles(source) != 1

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        name, vocab = source.path.name, find_vocab(options)
        # Options that were moved together with the dictionary.
        moved = (
            [vocab.with_name(vocab.name.replace(".dictionary", ""))] if vocab and ".dictionary" in vocab.name else []
        )
        pickled = open_companion(
            source,
            f"{name}.pkl",
            *moved,
            remedy=f"Put the options next to {name}, or next to the words, as X.pkl for --vocab X.dictionary.pkl",
        )
        words = open_companion(
            source,
            vocab or f"{name}.dictionary.pkl",
            remedy=f"Put the dictionary of words next to {name}, or give its path: --vocab FILE",
        )
        held, file = require_options(pickled.content, pickled.path), pickled.path
        encoder = choose_option(held, "encoder", theano.ENCODERS, file)
        choose_option(held, "optimizer", ("adam",), file)
        if encoder == "bow" and held["dim"] != held["dim_word"]:
            raise CheckpointError(
                f"has dim={held['dim']} and dim_word={held['dim_word']}; in a bag of words they must be equal.",
                file=file,
                remedy=FETCH,
            )
        named = dataclasses.replace(RECIPES[encoder], summary=f"A checkpoint of Kiros et al.'s release: {encoder}.")
        recipe = named.replace({"training.learning_rate": FIRST_RATE})
        recipe = apply_options(recipe, held, {"encoder", "optimizer", *NOTED}, file)
        arrays = require_tensors(source.content, theano.list_shapes(held, encoder), source.path)
        tokenizer = make_tokenizer(words.content, held["n_words"], words.path)
        return make_imported(recipe, tokenizer, theano.make_tensors(arrays, encoder), held, held.get("data"))

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the weights to a path `NAME.npz`, with options and dictionary next to it."""
        require_settings(
            model, "Kiros' release", {**PARTS, "text_encoder": (GRUTextEncoder, BagOfWordsTextEncoder)}, NOT_ABSOLUTE
        )
        held = {
            **list_options(model),
            "encoder": theano.name_encoder(model),
            "optimizer": "adam",
            "saveto": path.name,
            "reload_": False,
            **({"data": data} if data else {}),
        }
        ids = make_dictionary(model)
        return [
            theano.write_weights(model, path),
            write_pickle(held, Path(f"{path}.pkl")),
            write_pickle(ids, Path(f"{path}.dictionary.pkl")),
        ]


TENSORS = {
    "linear.weight": "image_encoder.fc.weight",
    "linear.bias": "image_encoder.fc.bias",
    "embedding.weight": "text_encoder.embed.weight",
    **{f"lstm.{kind}_l0": f"text_encoder.rnn.{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
}
"""Our name of each tensor of linxd5."""

MODEL = "_model_lstm.pkl"


class Linxd5Importer(Importer):
    """linxd5's port: a state dict of torch and two pickles."""

    name = "linxd5"
    summary = "linxd5/VSE_Pytorch, with an LSTM: NAME_model_lstm.pkl, NAME_params_lstm.pkl, NAME.dictionary.pkl."
    options = VOCAB
    file_name = f"vse{MODEL}"

    def recognise(self, source: Source) -> bool:
        """Return whether it is a state dict with most of these names."""
        if source.is_folder or source.format != "torch" or not isinstance(source.content, dict):
            return False
        return 2 * len(TENSORS.keys() & source.content.keys()) > len(TENSORS)

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        stem = _cut_name(source.path.name)
        both, words = open_both(source, options, f"{stem}_params_lstm.pkl")
        beside = source.path.with_name(f"{stem}.dictionary.pkl")
        if options.get("vocab") is None and beside.is_file():
            words = source.open(beside.name)
            if holds_both(both) and read_ids(both) != words.content:
                raise CheckpointError(
                    f"has words that differ from {beside.name}.",
                    file=both.path,
                    remedy="Choose the file with the words of this model: --vocab FILE",
                )
        held = require_options(_drop_words(both.content), both.path)
        choose_option(held, "encoder", ("lstm",), both.path)
        choose_option(held, "optimizer", ("adam",), both.path)
        # Its option for the longest caption is never used.
        port = dataclasses.replace(recipes.lstm, summary="A checkpoint of linxd5's port of Kiros et al.: lstm.")
        recipe = apply_options(port, held, {"encoder", "optimizer", "maxlen_w", *NOTED}, both.path)
        tensors = require_tensors(source.content, _list_shapes(held), source.path)
        tokenizer = make_tokenizer(read_ids(words), held["n_words"], words.path)
        named = {TENSORS[name]: tensor for name, tensor in tensors.items()}
        return make_imported(recipe, tokenizer, named, held, held.get("data"))

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write NAME_model_lstm.pkl, with options and dictionary next to it.

        Args:
            model: a model with an LSTM.
            path: path of the first file, or NAME.pkl.
            data: name of the training data.
        """
        require_settings(model, "linxd5's code", {**PARTS, "text_encoder": (LSTMTextEncoder,)}, NOT_ABSOLUTE)
        state, ids, stem = model.state_dict(), make_dictionary(model), _cut_name(path.name)
        weights = path.with_name(f"{stem}{MODEL}")
        with create_file(weights) as stream:
            # The format before torch 1.6, which every version reads.
            tensors = OrderedDict((theirs, state[ours].cpu()) for theirs, ours in TENSORS.items())
            torch.save(tensors, stream, _use_new_zipfile_serialization=False)
        held = {
            **list_options(model),
            "saveto": stem,
            "reload_": False,
            **({"data": data} if data else {}),
            "worddict": ids,
            "word_idict": dict(enumerate(RULES["split"].special)) | {index: word for word, index in ids.items()},
        }
        return [
            weights,
            write_pickle(held, path.with_name(f"{stem}_params_lstm.pkl")),
            write_pickle(ids, path.with_name(f"{stem}.dictionary.pkl")),
        ]


def _cut_name(name: str) -> str:
    """Return NAME of NAME_model_lstm.pkl or NAME.pkl."""
    return name.removesuffix(".pkl").removesuffix(MODEL.removesuffix(".pkl"))


def _drop_words(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {name: value for name, value in content.items() if name not in (WORD_IDS, "word_idict")}


def _list_shapes(options: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor; an LSTM has four gates."""
    dim, word_dim = options["dim"], options["dim_word"]
    return {
        "linear.weight": (dim, options["dim_image"]),
        "linear.bias": (dim,),
        "embedding.weight": (options["n_words"], word_dim),
        "lstm.weight_ih_l0": (4 * dim, word_dim),
        "lstm.weight_hh_l0": (4 * dim, dim),
        "lstm.bias_ih_l0": (4 * dim,),
        "lstm.bias_hh_l0": (4 * dim,),
    }

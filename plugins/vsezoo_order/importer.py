"""Importer of order-embeddings: NAME.npz has the weights, NAME.pkl the options and the dictionary of words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.conversion import theano
from vsezoo.conversion.dictionary import VOCAB, WORD_IDS, make_dictionary, make_tokenizer, open_both, read_ids
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.conversion.kiros_options import (
    NOTED,
    apply_options,
    choose_option,
    list_options,
    make_imported,
    require_options,
    require_settings,
    require_tensors,
)
from vsezoo.conversion.output import write_pickle
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import UsageError
from vsezoo.model import JointEmbedding
from vsezoo.similarities import CosineSimilarity, OrderSimilarity
from vsezoo_order import recipes

RECIPES = {"order": recipes.order, "cosine": recipes.order_symmetric}
SIMILARITIES = {"order": OrderSimilarity, "cosine": CosineSimilarity}
DATA = {"coco_10crop": "10crop_precomp"}
"""Our name of the data set for the options `data` and `cnn`."""
NAMED = {"10crop_precomp": {"data": "coco", "cnn": "10crop"}}
"""The options for each of these data sets."""


class OrderImporter(Importer):
    """Order-embeddings and their symmetric baseline: arrays of Theano and a pickle."""

    name = "order-embedding"
    summary = "Vendrov et al. 2016, the release in Theano: NAME.npz, NAME.pkl."
    options = VOCAB
    file_name = "order.npz"

    def recognise(self, source: Source) -> bool:
        """Return whether it contains such arrays, and the pickle next to it is not one of Kiros' release."""
        return theano.holds_weights(source) and theano.count_pickles(source) != 2

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model."""
        both, words = open_both(source, options, source.path.with_suffix(".pkl").name)
        content, file = both.content, both.path
        held = require_options(content.get("options") if isinstance(content, dict) else content, file)
        choose_option(held, "encoder", ("gru",), file)
        choose_option(held, "optimizer", ("adam",), file)
        method = choose_option(held, "method", ("order", "cosine"), file)
        use_abs = bool(choose_option(held, "abs", (method == "order", method != "order"), file))
        named = dataclasses.replace(RECIPES[method], summary=f"A checkpoint of order-embeddings: {method} similarity.")
        recipe = named.replace({"image_encoder.use_abs": use_abs, "text_encoder.use_abs": use_abs})
        recipe = apply_options(recipe, held, {"abs", "cnn", "encoder", "method", "optimizer", *NOTED}, file)
        arrays = require_tensors(source.content, theano.list_shapes(held, "gru"), source.path)
        tokenizer = make_tokenizer(read_ids(words), held["n_words"], words.path)
        data = "_".join(str(held[name]) for name in ("data", "cnn") if name in held)
        return make_imported(recipe, tokenizer, theano.make_tensors(arrays, "gru"), held, DATA.get(data, data))

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the weights to a path `NAME.npz`, with NAME.pkl next to it."""
        pickled = path.with_suffix(".pkl")
        if pickled == path:
            raise UsageError("is the name of the options file, not of the weights.", file=path, remedy="Give NAME.npz.")
        method = "cosine" if isinstance(model.similarity, CosineSimilarity) else "order"
        parts = {
            "image_encoder": (PrecomputedImageEncoder,),
            "text_encoder": (GRUTextEncoder,),
            "similarity": (SIMILARITIES[method],),
        }
        use_abs = model.recipe.text_encoder.options.get("use_abs", False)
        settings = {"similarity.squared": True, "image_encoder.use_abs": use_abs}
        require_settings(model, "The code of order-embeddings", parts, settings)
        same = {"encoder": "gru", "optimizer": "adam"}
        held = {**list_options(model), **same, **NAMED.get(data, {}), "method": method, "abs": use_abs}
        weights = theano.write_weights(model, path)
        return [weights, write_pickle({"options": held, WORD_IDS: make_dictionary(model)}, pickled)]

"""Convert weights of the Theano codebases (Kiros' release, order-embeddings) to `precomp`, `gru` and `bow`.

    Wemb                      (words, dim_word)     word embeddings
    encoder_W, _U, _b         (…, 2 · dim)          reset and update gates side by side: of the input, the state, biases
    encoder_Wx, _Ux, _bx      (…, dim)              the new state
    ff_image_W, ff_image_b    (dim_image, dim)      the image

Theano computes x W, so each matrix is the transpose of torch's, which stacks the three gates; and it adds one bias
where torch adds two. Apart from that the formulas are the same, so the weights are converted exactly. A bag of words
has no `encoder_*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.conversion.dictionary import holds_both
from vsezoo.conversion.importer import Source
from vsezoo.conversion.output import create_file
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import UsageError
from vsezoo.model import JointEmbedding

ENCODERS = ("gru", "bow")
"""Values of the option `encoder`; the first one is the default."""


def holds_weights(source: Source) -> bool:
    """Return whether a file contains arrays of these names."""
    return not source.is_folder and source.format == "npz" and not {"Wemb", "ff_image_W"}.isdisjoint(source.content)


def count_pickles(source: Source) -> int:
    """Return the number of pickles of the codebase of NAME.npz, from the given file or from the files next to it.

    Returns:
        1: NAME.pkl has options and words, as in order-embeddings. 2: NAME.npz.pkl or NAME.npz.dictionary.pkl exists, as
        in Kiros' release. 0: neither.
    """
    path = source.path
    if any(
        place.is_file() and holds_both(Source(place)) for place in (source.vocab, path.with_suffix(".pkl")) if place
    ):
        return 1
    if source.vocab is not None and source.vocab.is_file():
        return 2
    return 2 if any(Path(f"{path}{end}").is_file() for end in (".pkl", ".dictionary.pkl")) else 0


def list_shapes(options: Mapping[str, Any], encoder: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a model with these options."""
    rows, word_dim, dim = options["n_words"], options["dim_word"], options["dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "Wemb": (rows, word_dim),
        "ff_image_W": (options["dim_image"], dim),
        "ff_image_b": (dim,),
    }
    if encoder == "gru":
        for end, width in (("", 2 * dim), ("x", dim)):
            shapes |= {
                f"encoder_W{end}": (word_dim, width),
                f"encoder_U{end}": (dim, width),
                f"encoder_b{end}": (width,),
            }
    return shapes


def make_tensors(arrays: Mapping[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Return the tensors of a model with these arrays."""
    tensors = {
        "image_encoder.fc.weight": arrays["ff_image_W"].T,
        "image_encoder.fc.bias": arrays["ff_image_b"],
        "text_encoder.embed.weight": arrays["Wemb"],
    }
    if encoder == "gru":
        tensors |= {f"text_encoder.rnn.{name}": tensor for name, tensor in make_gru(arrays).items()}
    return tensors


def make_gru(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters of the `torch.nn.GRU` that is equivalent to the arrays `encoder_*`."""

    def stack(name: str) -> Tensor:
        return torch.cat([arrays[name].T, arrays[f"{name}x"].T])

    bias = torch.cat([arrays["encoder_b"], arrays["encoder_bx"]])
    return {
        "weight_ih_l0": stack("encoder_W"),
        "weight_hh_l0": stack("encoder_U"),
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }


def name_encoder(model: JointEmbedding) -> str:
    """Return the value in `ENCODERS` for a model."""
    return "gru" if isinstance(model.text_encoder, GRUTextEncoder) else "bow"


def make_arrays(model: JointEmbedding) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a model whose encoders are `precomp` and `gru` or `bow`.

    Raises:
        UsageError: for a GRU with a bias inside the reset gate, which Theano's formula does not have.
    """
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    arrays = {
        "Wemb": tensors["text_encoder.embed.weight"],
        "ff_image_W": tensors["image_encoder.fc.weight"].T,
        "ff_image_b": tensors["image_encoder.fc.bias"],
    }
    if name_encoder(model) == "gru":
        dim = model.recipe.width
        for letter, kind in (("W", "ih"), ("U", "hh")):
            gates, new = tensors[f"text_encoder.rnn.weight_{kind}_l0"].split([2 * dim, dim])
            arrays |= {f"encoder_{letter}": gates.T, f"encoder_{letter}x": new.T}
        bias, inner = tensors["text_encoder.rnn.bias_ih_l0"], tensors["text_encoder.rnn.bias_hh_l0"]
        if inner[2 * dim :].any():
            raise UsageError(
                "The GRU has a bias inside its reset gate (the last third of bias_hh_l0), which the formula of the "
                "Theano codebases does not have.",
                remedy="Choose another format: only models whose bias_hh_l0 is zero there can be exported.",
            )
        # Adding zeros would turn -0 into 0, and the round trip would not be exact.
        bias = bias + inner if inner.any() else bias
        arrays |= {"encoder_b": bias[: 2 * dim], "encoder_bx": bias[2 * dim :]}
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in arrays.items()}


def write_weights(model: JointEmbedding, path: Path) -> Path:
    """Write the arrays of a model to an `.npz` file, and return its path."""
    arrays: dict[str, Any] = make_arrays(model)
    with create_file(path) as stream:
        np.savez(stream, **arrays)
    return path

"""Files as Kiros' release, linxd5 and order-embeddings write them, and what those codes compute, in float64; no tests.

The formulas are those of methods and papers, step by step and caption by caption.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray[Any, Any]]

CAPTIONS = ("a dog runs .", "two red balls", "snow", "", "a Dog with snow and a very red ball .", "balls balls dog a")
WORDS = ("a", ".", "dog", "red", "two", "balls", "snow", "and", "very", "runs", "ball")
IMAGES = 3

KIROS = {
    "data": "f8k",
    "margin": 0.3,
    "dim": 7,
    "dim_image": 9,
    "dim_word": 5,
    "encoder": "gru",
    "max_epochs": 4,
    "dispFreq": 20,
    "decay_c": 0.01,
    "grad_clip": 3.0,
    "maxlen_w": 80,
    "optimizer": "adam",
    "batch_size": 60,
    "saveto": "somewhere/f8k.npz",
    "validFreq": 16,
    "lrate": 0.005,
    "reload_": False,
}
LINXD5 = {name: value for name, value in KIROS.items() if name not in ("encoder", "decay_c", "optimizer")}
ORDER = {name: value for name, value in KIROS.items() if name not in ("decay_c", "maxlen_w", "saveto", "reload_")} | {
    "data": "coco",
    "cnn": "10crop",
    "method": "order",
    "abs": True,
}


@dataclass
class Original:
    """A model of one of the codebases.

    Attributes:
        options: as it stores them, without the words.
        ids: of the words.
        arrays: as it stores them; those of linxd5 are torch's.
    """

    options: dict[str, Any]
    ids: Mapping[str, int]
    arrays: Arrays

    def encode_texts(self, captions: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return the embeddings of captions."""
        rows = self.options["n_words"]
        known = [[self.ids.get(word, 1) for word in caption.split()] for caption in captions]
        ids = [[*(index if index < rows else 1 for index in words), 0] for words in known]
        return self._finish(np.stack([self._run(words) for words in ids]))

    def encode_images(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the embeddings of images."""
        if "linear.weight" in self.arrays:
            return self._finish(features @ self.arrays["linear.weight"].T + self.arrays["linear.bias"])
        return self._finish(features @ self.arrays["ff_image_W"] + self.arrays["ff_image_b"])

    def score(self, images: np.ndarray[Any, Any], texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the scores `(N, M)`: the higher, the better they fit."""
        if self.options.get("method") == "order":
            return np.asarray(-(np.maximum(0, texts[None] - images[:, None]) ** 2).sum(axis=-1))
        return np.asarray(images @ texts.T)

    def _run(self, ids: list[int]) -> np.ndarray[Any, Any]:
        if "embedding.weight" in self.arrays:
            return run_lstm(self.arrays, self.arrays["embedding.weight"].astype(np.float64)[ids])
        words = self.arrays["Wemb"].astype(np.float64)[ids]
        if "encoder_W" not in self.arrays:
            return np.asarray(words.sum(axis=0))
        return np.asarray(run_gru(self.arrays, words[:, None], np.ones((len(ids), 1)))[0])

    def _finish(self, states: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        scaled = states / np.linalg.norm(states, axis=-1, keepdims=True)
        return np.asarray(np.abs(scaled) if self.options.get("abs") else scaled)


def sigmoid(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(1 / (1 + np.exp(-x)))


def run_gru(theano: Arrays, words: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the states `(B, D)` after all steps of words `(L, B, W)`, as the Theano code makes them; mask `(L, B)`."""
    width = theano["encoder_Ux"].shape[0]
    state = np.zeros((words.shape[1], width), words.dtype)
    for step, present in zip(words, mask, strict=True):
        gates = sigmoid(state @ theano["encoder_U"] + step @ theano["encoder_W"] + theano["encoder_b"])
        reset, update = gates[:, :width], gates[:, width:]
        new = np.tanh((state @ theano["encoder_Ux"]) * reset + step @ theano["encoder_Wx"] + theano["encoder_bx"])
        moved = update * state + (1 - update) * new
        state = present[:, None] * moved + (1 - present)[:, None] * state
    return state


def run_lstm(arrays: Arrays, words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the hidden state `(D,)` after all words `(L, W)`; torch's gates are input, forget, new, output."""
    state, memory = np.zeros(arrays["lstm.weight_hh_l0"].shape[1]), np.zeros(arrays["lstm.weight_hh_l0"].shape[1])
    for word in words:
        gates = arrays["lstm.weight_ih_l0"] @ word + arrays["lstm.weight_hh_l0"] @ state
        add, keep, new, out = np.split(gates + arrays["lstm.bias_ih_l0"] + arrays["lstm.bias_hh_l0"], 4)
        memory = sigmoid(keep) * memory + sigmoid(add) * np.tanh(new)
        state = sigmoid(out) * np.tanh(memory)
    return state


def draw_theano(options: Mapping[str, Any]) -> Arrays:
    """Return arrays of these options."""
    word_dim, dim = options["dim_word"], options["dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "Wemb": (options["n_words"], word_dim),
        "encoder_W": (word_dim, 2 * dim),
        "encoder_b": (2 * dim,),
        "encoder_U": (dim, 2 * dim),
        "encoder_Wx": (word_dim, dim),
        "encoder_Ux": (dim, dim),
        "encoder_bx": (dim,),
        "ff_image_W": (options["dim_image"], dim),
        "ff_image_b": (dim,),
    }
    if options.get("encoder") == "bow":
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("encoder_")}
    return _draw(shapes)


def draw_linxd5(options: Mapping[str, Any]) -> Arrays:
    """Return the numbers of linxd5's tensors."""
    dim = options["dim"]
    shapes = {
        "linear.weight": (dim, options["dim_image"]),
        "linear.bias": (dim,),
        "lstm.weight_ih_l0": (4 * dim, options["dim_word"]),
        "lstm.weight_hh_l0": (4 * dim, dim),
        "lstm.bias_ih_l0": (4 * dim,),
        "lstm.bias_hh_l0": (4 * dim,),
        "embedding.weight": (options["n_words"], options["dim_word"]),
    }
    return _draw(shapes)


def _draw(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def draw_features(options: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return features `(IMAGES, dim_image)`."""
    return np.random.default_rng(1).normal(size=(IMAGES, options["dim_image"])).astype(np.float32)


def make_original(options: Mapping[str, Any], *, off_by_two: bool = True, ids: Mapping[str, int] | None = None) -> Any:
    """Return a model of some options, in which a value of None stands for an absent option."""
    ids = ids or OrderedDict((word, index) for index, word in enumerate(WORDS, start=2))
    rows = len(set(ids.values()) | {0, 1}) - (2 if off_by_two else 0)
    held = {"n_words": rows, **{name: value for name, value in options.items() if value is not None}}
    draw = draw_linxd5 if "encoder" not in options else draw_theano
    return Original(held, ids, draw(held))


def write_kiros(original: Original, path: Path, protocol: int = 0) -> Path:
    """Write NAME.npz and its two pickles."""
    _write_arrays(original.arrays, path)
    _pickle(original.options, Path(f"{path}.pkl"), protocol)
    _pickle(original.ids, Path(f"{path}.dictionary.pkl"), protocol)
    return path


def write_order(original: Original, path: Path, protocol: int = 0) -> Path:
    """Write NAME.npz and its pickle."""
    _write_arrays(original.arrays, path)
    _pickle({"options": original.options, "worddict": original.ids}, path.with_suffix(".pkl"), protocol)
    return path


def write_linxd5(original: Original, path: Path, protocol: int = 2) -> Path:
    """Write NAME_model_lstm.pkl and its two pickles; the path is NAME."""
    place = path.with_name(f"{path.name}_model_lstm.pkl")
    torch.save(OrderedDict((name, torch.from_numpy(array)) for name, array in original.arrays.items()), place)
    words = {"worddict": original.ids, "word_idict": {index: word for word, index in original.ids.items()}}
    _pickle({**original.options, **words}, path.with_name(f"{path.name}_params_lstm.pkl"), protocol)
    _pickle(original.ids, path.with_name(f"{path.name}.dictionary.pkl"), protocol)
    return place


def _write_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def _pickle(value: Any, path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps(value, protocol))

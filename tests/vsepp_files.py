"""Checkpoints as VSE++ and VSRN write them, and what those codes compute, step by step in float64; no tests in here."""

from __future__ import annotations

import argparse
import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
WORDS = (*SPECIAL, "runs", "a", "dog", ".", "two", "red", "balls", "snow")
CAPTIONS = ("A dog runs .", "two red balls", "snow", "", "a quick dog , a red one .")
IDS = (
    (1, 5, 6, 4, 7, 2),
    (1, 8, 9, 10, 2),
    (1, 11, 2),
    (1, 2),
    (1, 5, 3, 6, 3, 5, 9, 3, 7, 2),
)
"""Of the captions: `<start>`, words in lower case, `<end>`; 3 for a word that is not known."""
IMAGES = 3
WIDTH, REGIONS = 9, 4

VSEPP: dict[str, Any] = {
    "data_path": "/home/author/data",
    "data_name": "f8k_precomp",
    "vocab_path": "./vocab",
    "margin": 0.3,
    "num_epochs": 7,
    "batch_size": 100,
    "word_dim": 5,
    "embed_size": 6,
    "grad_clip": 1.5,
    "crop_size": 224,
    "num_layers": 1,
    "learning_rate": 0.003,
    "lr_update": 4,
    "workers": 10,
    "log_step": 20,
    "val_step": 300,
    "logger_name": "runs/f8k",
    "resume": "",
    "max_violation": True,
    "img_dim": WIDTH,
    "finetune": False,
    "cnn_type": "vgg19",
    "use_restval": False,
    "measure": "cosine",
    "use_abs": False,
    "no_imgnorm": False,
    "reset_train": False,
    "vocab_size": len(WORDS),
}
SCAN: dict[str, Any] = {
    **{
        name: value
        for name, value in VSEPP.items()
        if name not in ("crop_size", "finetune", "cnn_type", "use_restval", "measure", "use_abs", "reset_train")
    },
    "data_name": "f30k_precomp",
    "model_name": "runs/scan",
    "cross_attn": "i2t",
    "agg_func": "LogSumExp",
    "raw_feature_norm": "clipped_l2norm",
    "lambda_softmax": 4.0,
    "lambda_lse": 5.0,
    "bi_gru": False,
    "no_txtnorm": False,
    "precomp_enc_type": "basic",
}

VSE_INFTY: dict[str, Any] = {
    **{
        name: value
        for name, value in VSEPP.items()
        if name not in ("crop_size", "finetune", "cnn_type", "use_restval", "measure", "use_abs", "reset_train")
    },
    "data_name": "f30k",
    "optim": "adam",
    "model_name": "runs/model",
    "no_txtnorm": False,
    "precomp_enc_type": "basic",
    "backbone_path": "",
    "backbone_source": "detector",
    "vse_mean_warmup_epochs": 1,
    "reset_start_epoch": False,
    "backbone_warmup_epochs": 5,
    "embedding_warmup_epochs": 2,
    "backbone_lr_factor": 0.01,
    "input_scale_factor": 1,
    "drop": False,
    "vocab_size": len(WORDS) + 1,
}

SGRAF: dict[str, Any] = {
    **{
        name: value
        for name, value in SCAN.items()
        if not name.startswith(("lambda_", "agg_", "cross_", "raw_", "precomp_"))
    },
    "bi_gru": True,
    "module_name": "SGR",
    "sgr_step": 2,
    "sim_dim": 3,
}

CHAN: dict[str, Any] = {
    **{name: value for name, value in VSE_INFTY.items() if not name.startswith("backbone_")},
    "embed_size": 8,
    "precomp_enc_type": "selfattention",
    "coding_type": "VHACoding",
    "pooling_type": "LSEPooling",
    "criterion": "ContrastiveLoss",
    "text_enc_type": "bigru",
    "alpha": 0.1,
    "belta": 0.2,
    "obj_drop_rate": 0.2,
    "temperature": 0.01,
    "wemb_type": None,
    "word2idx": None,
    "seed": 2022,
    "drop": True,
}

VSRN: dict[str, Any] = {
    **VSEPP,
    "data_name": "coco_precomp",
    "dim_vid": 6,
    "dim_hidden": 8,
    "bidirectional": 0,
    "input_dropout_p": 0.1,
    "rnn_type": "gru",
    "rnn_dropout_p": 0.5,
    "dim_word": 11,
    "max_len": 15,
}

State = OrderedDict[str, Tensor]


def draw(shape: Sequence[int], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.4, shape).astype(np.float32))


def draw_state(shapes: Mapping[str, Sequence[int]], seed: int) -> State:
    """Return tensors of these shapes; variances are positive, and counts are counts."""
    state: State = OrderedDict()
    for index, (name, shape) in enumerate(shapes.items()):
        state[name] = draw(shape, 100 * seed + index)
        if name.endswith("running_var"):
            state[name] = state[name].abs() + 0.5
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(17)
    return state


def make_both_ways(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network that reads in both directions, from those of one."""
    return {**shapes, **{f"{name}_reverse": shape for name, shape in shapes.items()}}


def make_vse_infty(options: Mapping[str, Any]) -> list[State]:
    """Return the encoders of VSE∞ on regions, by a bidirectional GRU; the words have a row for the mask."""
    dim, width, word = options["embed_size"], options["img_dim"], options["word_dim"]
    pooling = {**make_both_ways(make_gru("gpool.gru", 32, 32)), "gpool.linear.weight": (1, 32)}
    image = {"fc.weight": (dim, width), "fc.bias": (dim,), **pooling}
    for layer, (inner, outer) in enumerate([(width, dim // 2), (dim // 2, dim)]):
        image |= {f"mlp.layers.{layer}.weight": (outer, inner), f"mlp.layers.{layer}.bias": (outer,)}
        image |= make_norm(f"mlp.bns.{layer}", outer)
    text = {"embed.weight": (len(WORDS) + 1, word), **make_both_ways(make_gru("rnn", word, dim)), **pooling}
    return [draw_state(image, 4), draw_state(text, 5)]


def make_gru(name: str, width: int, dim: int, layers: int = 1) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        shapes[f"{name}.weight_ih_l{layer}"] = (3 * dim, dim if layer else width)
        shapes[f"{name}.weight_hh_l{layer}"] = (3 * dim, dim)
        shapes |= {f"{name}.bias_{kind}_l{layer}": (3 * dim,) for kind in ("ih", "hh")}
    return shapes


def make_norm(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{kind}": (dim,) for kind in kinds}, f"{name}.num_batches_tracked": ()}


def make_text(options: Mapping[str, Any], rows: int = len(WORDS)) -> State:
    dim, width = options["embed_size"], options["word_dim"]
    return draw_state({"embed.weight": (rows, width), **make_gru("rnn", width, dim, options["num_layers"])}, 1)


def make_vsepp(options: Mapping[str, Any], rows: int = len(WORDS)) -> list[State]:
    """Return the encoders of VSE++ on features."""
    dim = options["embed_size"]
    return [draw_state({"fc.weight": (dim, options["img_dim"]), "fc.bias": (dim,)}, 2), make_text(options, rows)]


def make_sgraf(options: Mapping[str, Any], *, regions: int = 36) -> list[State]:
    """Return the encoders of SGRAF and its similarity."""
    dim, width, rows = options["embed_size"], options["sim_dim"], len(WORDS)
    image = {"fc.weight": (dim, options["img_dim"]), "fc.bias": (dim,)}
    gru = make_gru("cap_rnn", options["word_dim"], dim)
    text = {"embed.weight": (rows, options["word_dim"]), **gru, **{f"{name}_reverse": gru[name] for name in gru}}
    layers = {"sim_tranloc_w": (width, dim), "sim_tranglo_w": (width, dim), "sim_eval_w": (1, width)}
    for side in "vt":
        layers |= {f"{side}_global_w.embedding_{part}.0": (dim, dim) for part in ("local", "global")}
        layers[f"{side}_global_w.embedding_common.0"] = (1, dim)
    norms = {"v_global_w.embedding_local.1": regions, "v_global_w.embedding_global.1": dim}
    if options["module_name"] == "SGR":
        names = ("graph_query_w", "graph_key_w", "sim_graph_w")
        layers |= {f"SGR_module.{k}.{name}": (width, width) for k in range(options["sgr_step"]) for name in names}
    else:
        layers["SAF_module.attn_sim_w"], norms["SAF_module.bn"] = (1, width), 1
    shapes: dict[str, Sequence[int]] = {}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, size in norms.items():
        shapes |= make_norm(name, size)
    return [draw_state(image, 4), draw_state(text, 5), draw_state(shapes, 6)]


def make_chan(options: Mapping[str, Any]) -> list[State]:
    """Return the encoders of CHAN, and its similarity and its loss, which have no tensors."""
    dim, width = options["embed_size"], options["word_dim"]
    image: dict[str, Sequence[int]] = {"fc.weight": (dim, options["img_dim"]), "fc.bias": (dim,)}
    if options["precomp_enc_type"] == "selfattention":
        start = "feedforward."
        image |= {f"{start}ln.weight": (dim,), f"{start}ln.bias": (dim,), f"{start}attn.out_proj.bias": (dim,)}
        image |= {f"{start}attn.in_proj_weight": (3 * dim, dim), f"{start}attn.in_proj_bias": (3 * dim,)}
        image |= {f"{start}attn.out_proj.weight": (dim, dim)}
    gru = make_gru("rnn", width, dim)
    text = {"embed.weight": (options["vocab_size"], width), **gru, **{f"{name}_reverse": gru[name] for name in gru}}
    text |= {"fc.weight": (dim, dim), "fc.bias": (dim,)}
    return [draw_state(image, 7), draw_state(text, 8), OrderedDict(), OrderedDict()]


def make_vsrn(options: Mapping[str, Any], *, batch_norm: bool = False, blocks: int = 4) -> list[State]:
    """Return the encoders of VSRN."""
    dim = options["embed_size"]
    shapes = {"fc.weight": (dim, options["img_dim"]), "fc.bias": (dim,), **make_gru("img_rnn", dim, dim)}
    for block in range(1, blocks + 1):
        for layer in ("g", "W.0", "theta", "phi"):
            shapes |= {f"Rs_GCN_{block}.{layer}.weight": (dim, dim, 1), f"Rs_GCN_{block}.{layer}.bias": (dim,)}
        shapes |= make_norm(f"Rs_GCN_{block}.W.1", dim)
    if batch_norm:
        shapes |= make_norm("bn", dim)
    return [draw_state(shapes, 3), make_text(options)]


def write_checkpoint(
    folder: Path, options: Mapping[str, Any], model: Any, *, legacy: bool = False, **more: Any
) -> Path:
    """Write a checkpoint under the originals' name."""
    path = folder / "model_best.pth.tar"
    value = {"epoch": 3, "model": model, "best_rsum": 321.5, "opt": argparse.Namespace(**options), "Eiters": 900} | more
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def write_words(path: Path, words: Sequence[str] = WORDS) -> Path:
    """Write a vocabulary: `.pkl` as Python 3 does, `_py2.pkl` as Python 2 does, `.json` as SCAN does."""
    ids = {word: index for index, word in enumerate(words)}
    attributes = {"word2idx": ids, "idx2word": dict(enumerate(words)), "idx": len(words)}
    if path.suffix == ".json":
        path.write_text(json.dumps(attributes), encoding="utf-8")
        return path
    head, body = b"c__main__\nVocabulary\n)\x81", pickle.dumps(attributes, 2)[2:-1]
    if path.stem.endswith("_py2"):
        for word in SPECIAL:  # a str of Python 2; its other words are unicode
            code = word.encode()
            body = body.replace(b"X" + len(code).to_bytes(4, "little") + code, b"U" + bytes([len(code)]) + code)
    path.write_bytes(b"\x80\x02" + head + body + b"b.")
    return path


def scale(values: np.ndarray[Any, Any], axis: int = -1) -> np.ndarray[Any, Any]:
    """Return values scaled to unit L2 norm, without an epsilon, as the originals do."""
    return values / np.sqrt((values**2).sum(axis=axis, keepdims=True))


def run_gru(state: Mapping[str, np.ndarray[Any, Any]], name: str, inputs: np.ndarray[Any, Any]) -> Any:
    """Return the last state of a GRU of any depth that reads the rows of inputs."""
    layer = 0
    while f"{name}.weight_ih_l{layer}" in state:
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        of_input, of_state, bias, inner = (state[f"{name}.{kind}_l{layer}"] for kind in kinds)
        hidden, outputs = np.zeros(of_state.shape[1]), []
        for row in inputs:
            r, z, n = np.split(of_input @ row + bias, 3)
            r_h, z_h, n_h = np.split(of_state @ hidden + inner, 3)
            reset, keep = 1 / (1 + np.exp(-(r + r_h))), 1 / (1 + np.exp(-(z + z_h)))
            hidden = (1 - keep) * np.tanh(n + reset * n_h) + keep * hidden
            outputs.append(hidden)
        inputs, layer = np.stack(outputs), layer + 1
    return inputs[-1]


def to_numpy(state: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def embed_texts(text: State, options: Mapping[str, Any], captions: Sequence[Sequence[int]]) -> np.ndarray[Any, Any]:
    """Return what the originals' text encoder makes of captions, one by one."""
    state = to_numpy(text)
    rows = scale(np.stack([run_gru(state, "rnn", state["embed.weight"][list(caption)]) for caption in captions]))
    return np.abs(rows) if options["use_abs"] else rows


def finish(rows: np.ndarray[Any, Any], options: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    rows = rows if options["no_imgnorm"] else scale(rows)
    return np.abs(rows) if options["use_abs"] else rows


def embed_features(image: State, options: Mapping[str, Any], features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what the image encoder of VSE++ makes of features."""
    state = to_numpy(image)
    return finish(features @ state["fc.weight"].T + state["fc.bias"], options)


def normalize_batch(state: Mapping[str, np.ndarray[Any, Any]], name: str, rows: Any) -> Any:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return (rows - mean) / np.sqrt(variance + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]


def embed_regions(
    image: State, options: Mapping[str, Any], features: np.ndarray[Any, Any], *, first_norm: bool, axis: int = 0
) -> np.ndarray[Any, Any]:
    """Return what the image encoder of VSRN makes of regions, image by image.

    Args:
        image: its state.
        options: of the training.
        features: `(N, R, F)`.
        first_norm: whether regions are scaled before the blocks.
        axis: along which a matrix `(R, D)` of regions is scaled: 0, the original, or 1.
    """
    state = to_numpy(image)
    embedded = []
    for regions in features.astype(np.float64):
        rows = regions @ state["fc.weight"].T + state["fc.bias"]
        rows = scale(rows, axis) if first_norm else rows
        for block in range(1, 1 + sum(name.endswith(".g.bias") for name in state)):

            def layer(name: str, rows: Any, block: int = block) -> Any:
                start = f"Rs_GCN_{block}.{name}"
                return rows @ state[f"{start}.weight"][:, :, 0].T + state[f"{start}.bias"]

            relations = layer("theta", rows) @ layer("phi", rows).T / len(rows)
            rows = normalize_batch(state, f"Rs_GCN_{block}.W.1", layer("W.0", relations @ layer("g", rows))) + rows
        embedded.append(run_gru(state, "img_rnn", scale(rows, axis)))
    found = np.stack(embedded)
    return finish(normalize_batch(state, "bn", found) if "bn.weight" in state else found, options)

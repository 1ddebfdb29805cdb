"""Make the checkpoints, the stopped runs and the data of this folder, with the version of vsezoo that they are of.

    git worktree add ../before ee4ba31
    python -m venv ../before/.venv && ../before/.venv/bin/pip install -e ../before
    ../before/.venv/bin/python tests/checkpoints/before/make.py

Every run is made three times: uninterrupted; stopped in the middle of its second epoch; and a copy of the stopped one
resumed to the end. The first and the last must have the same bits.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import processor
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from vsezoo.training.observer import Observer

import vsezoo
from vsezoo.data.lookup import open_data
from vsezoo.errors import InterruptedTrainingError
from vsezoo.parts import accepted_kinds
from vsezoo.training.state import Place

COMMIT = "ee4ba3103663a14364d4d52a864df926c7ca8df4"
HERE = Path(__file__).resolve().parent
WORKPLACE = Path("/tmp/vsezoo-before")
"""Where the runs are made. Some of their files have this path in them, so it is the same on every machine."""

COLOURS = {"red": (220, 30, 35), "green": (40, 160, 60), "blue": (40, 80, 215), "black": (20, 20, 20)}
SIZES = {"small": 5, "large": 11}
PLACES = {"left": 6, "middle": 12, "right": 18}
FORMS = (
    "a {} {} square at the {}",
    "the square is {} and {} , at the {} .",
    "{} , {} , {}",
    "on the {2} a {1} thing , {0}",
    "see how {} and how {} it is , {}",
)
"""Each names all that is shown: no two images of a split have the same caption, and no scores are tied."""
SPLITS = {"train": 40, "dev": 12, "test": 12}
SCENES = [(colour, size, place) for colour in COLOURS for size in SIZES for place in PLACES]
EMBEDDED = 8
"""So many test images and captions have their embeddings stored."""

SMALL = {
    "embed_size": 16,
    "training.batch_size": 32,
    "training.learning_rate": 0.003,
    "training.num_epochs": 2,
    "training.val_step": 0,
    "training.log_step": 1,
}
WORDS = {"text_encoder.word_dim": 8, "text_encoder.vocab_threshold": 1}
BACKBONE = {
    "image_encoder": "timm:test_resnet",
    "image_encoder.model_args": {"channels": [4, 4, 4, 8], "stem_width": 4},
    "image_encoder.image_size": 32,
    "image_encoder.weights": "weights/resnet.safetensors",
}
RUNS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    # name: model, data, settings, the step after which the run is stopped
    "vsepp": ("vsepp", "shapes", {"training.batch_size": 1000, "training.learning_rate": 0.02}, 14),
    "vsepp-tf": ("vsepp-tf", "data/words", {"training.val_step": 3}, 10),
    "vsepp-infonce": (
        "vsepp",
        "data/words",
        {
            "loss": "infonce",
            "loss.learn_temperature": True,
            "image_encoder.center": True,
            "training.learning_rate": 0.01,
        },
        10,
    ),
    "vsepp-hf": ("vsepp", "data/words", {"text_encoder": "hf:weights/bert", "training.learning_rate": 0.006}, 10),
    "vsepp-frozen": (
        "vsepp",
        "data/pictures",
        {**BACKBONE, "loss.warmup_epochs": 1, "training.learning_rate": 0.006},
        10,
    ),
    "vsepp-resnet152": (
        "vsepp-resnet152",
        "data/pictures",
        {
            **BACKBONE,
            "image_encoder.finetune": True,
            "image_encoder.finetune_epoch": 1,
            "image_encoder.learning_rate_scale": 0.1,
            "loss.warmup_epochs": 1,
            "training.learning_rate": 0.01,
            "training.val_step": 3,
        },
        10,
    ),
    "vsrn": (
        "vsrn",
        "data/regions",
        {
            "image_encoder.num_blocks": 2,
            "loss.hidden_size": 8,
            "loss.word_dim": 8,
            "loss.warmup_epochs": 1,
            "training.val_step": 6,
        },
        10,
    ),
    "kiros-lstm": ("kiros-lstm", "data/words", {"training.val_step": 4}, 14),
    "order": (
        "order",
        "data/words",
        {
            "training.batch_size": 8,
            "training.learning_rate": 0.001,
            "training.num_epochs": 4,
            "training.val_step": 6,
        },
        7,
    ),
}


class Stop(Observer):
    """Asks for the end of the training, as Ctrl-C does, so that the given step is the last one."""

    def __init__(self, step: int) -> None:
        self.last = step

    def step(self, place: Place) -> None:
        if place.step == self.last - 1:  # the loop has looked already whether it is to end after this one
            os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    require_version()
    torch.set_num_threads(1)
    shutil.rmtree(WORKPLACE, ignore_errors=True)
    WORKPLACE.mkdir()
    os.chdir(WORKPLACE)
    write_words(WORKPLACE / "data" / "words")
    write_regions(WORKPLACE / "data" / "regions")
    write_pictures(WORKPLACE / "data" / "pictures")
    write_backbone(WORKPLACE / "weights" / "resnet.safetensors")
    write_transformer(WORKPLACE / "weights" / "bert")
    made = {name: make_run(name, *RUNS[name]) for name in RUNS}
    described = {"commit": COMMIT, "vsezoo": vsezoo.__version__, "folder": str(WORKPLACE), **processor.describe()}
    text = json.dumps({**described, "runs": made}, indent=2)
    (WORKPLACE / "made.json").write_text(f"{text}\n", encoding="utf-8")
    for name in ("data", "weights", *RUNS):
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(WORKPLACE / name, HERE / name)
    shutil.copy(WORKPLACE / "made.json", HERE)
    shutil.rmtree(WORKPLACE)


def require_version() -> None:
    """End unless the vsezoo that is imported is a clean checkout of the commit."""
    root = Path(vsezoo.__file__).resolve().parent.parent
    commit, changes = (
        subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "vsezoo", "plugins"))
    )
    if commit != COMMIT or changes:
        sys.exit(f"This needs an unchanged checkout of vsezoo at {COMMIT}; {root} is at {commit}.")


def make_run(name: str, model: str, data: str, settings: dict[str, Any], step: int) -> dict[str, Any]:
    """Make the runs of this name, and return what a test must know of them."""
    folder = WORKPLACE / name
    words = {} if settings.get("text_encoder", "").startswith("hf:") else WORDS
    settings = {**SMALL, **words, "loss.mask_same_image": True, **settings}
    given = data if data == "shapes" else f"./{data}"
    options: dict[str, Any] = {"settings": settings, "device": "cpu", "save_step": 3}
    vsezoo.train(model, given, output="whole", **options)
    try:
        vsezoo.train(model, given, output=folder / "stopped", observers=[Stop(step)], **options)
        sys.exit(f"{name} was not stopped.")
    except InterruptedTrainingError:
        pass
    shutil.rmtree(folder / "stopped" / "tensorboard")
    shutil.copytree(folder / "stopped", folder / "finished")
    result = vsezoo.train(model, output=folder / "finished", resume=True, device="cpu", save_step=3)
    state = json.loads((folder / "stopped" / "last" / "state.json").read_bytes())["place"]
    config = json.loads((result.checkpoint / "config.json").read_bytes())
    total = json.loads((folder / "finished" / "last" / "state.json").read_bytes())["place"]["step"]
    assert state["step"] == step, state
    assert state["epoch"] == 1, state
    assert state["batch"] > 0, state
    print(name, state, "of", total, "best", config["trained"], "rsum", result.evaluation.metrics.rsum)
    assert config["trained"]["step"] == total, "its best checkpoint is not the last: change its settings"
    for file in (*(result.checkpoint.glob("*.safetensors")), folder / "finished" / "log.jsonl"):
        whole = Path("whole", file.relative_to(folder / "finished"))
        assert whole.read_bytes() == file.read_bytes(), f"{name}: resumed, it has another {file.name}"
    for unwanted in ("whole", folder / "finished" / "last", folder / "finished" / "tensorboard"):
        shutil.rmtree(unwanted)
    loaded = vsezoo.load(result.checkpoint)
    pairs = open_data(given, "test", accepted_kinds(loaded.recipe))
    inputs, captions = pairs.images(range(EMBEDDED)), list(pairs.captions[:EMBEDDED])
    images, texts = loaded.encode_images(inputs), loaded.encode_texts(captions)
    tensors = {
        "inputs": torch.from_numpy(np.stack([np.asarray(image) for image in inputs])),
        "images": images,
        "texts": texts,
        "scores": loaded.similarity(images, texts),
    }
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "expected.safetensors")
    return {"model": model, "data": data, "step": step, "steps": total, "captions": captions}


def write_captions(folder: Path, split: str, shown: Sequence[tuple[str, ...]]) -> list[str]:
    captions = [form.format(*scene) for scene in shown for form in FORMS]
    (folder / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return captions


def choose_scenes(split: str) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng(list(SPLITS).index(split))
    return [SCENES[index] for index in np.tile(rng.permutation(len(SCENES)), 2)[: SPLITS[split]]]


def make_code(word: str, width: int) -> np.ndarray:
    words = [*COLOURS, *SIZES, *PLACES]
    code: np.ndarray = np.random.default_rng(7).normal(size=(len(words), width))[words.index(word)]
    return code


def write_words(folder: Path) -> None:
    """Features in VSE++'s layout: the sum of the codes of three words, some noise, and a mean."""
    folder.mkdir(parents=True)
    for split in SPLITS:
        shown = choose_scenes(split)
        rng = np.random.default_rng(11)
        rows = [sum(make_code(word, 12) for word in scene) + rng.normal(0, 0.1, 12) + 0.5 for scene in shown]
        np.save(folder / f"{split}_ims.npy", np.stack(rows).astype(np.float32))
        write_captions(folder, split, shown)


def write_regions(folder: Path) -> None:
    """Regions in VSRN's layout: one for each of three words, and one of noise."""
    folder.mkdir(parents=True)
    for split in SPLITS:
        shown = choose_scenes(split)
        rng = np.random.default_rng(12)
        clean = np.array([[*(make_code(word, 12) for word in scene), np.zeros(12)] for scene in shown])
        np.save(folder / f"{split}_ims.npy", (clean + rng.normal(0, 0.1, clean.shape)).astype(np.float32))
        write_captions(folder, split, shown)


def write_pictures(folder: Path) -> None:
    """Pictures with a table of captions."""
    folder.mkdir(parents=True)
    table = [("image", "caption", "split")]
    for split in SPLITS:
        for index, scene in enumerate(choose_scenes(split)):
            colour, size, place = scene
            rng = np.random.default_rng(index)
            pixels = np.full((24, 24, 3), 200 + 10 * rng.integers(0, 5), dtype=np.uint8)
            side, middle, top = SIZES[size], PLACES[place], int(rng.integers(1, 12))
            pixels[top : top + side, middle - side // 2 : middle + side // 2 + 1] = COLOURS[colour]
            Image.fromarray(pixels).save(folder / f"{split}{index:02}.png")
            table += [(f"{split}{index:02}.png", form.format(*scene), split) for form in FORMS]
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table)


def write_backbone(file: Path) -> None:
    """Weights of a backbone, with statistics of batch norm that are not those of a new network."""
    torch.manual_seed(7)
    network = timm.create_model("test_resnet", num_classes=0, **BACKBONE["image_encoder.model_args"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    file.parent.mkdir(parents=True)
    save_file(network.state_dict(), file)


def write_transformer(folder: Path) -> None:
    """A tiny BERT with its tokenizer."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for form in FORMS for word in form.replace("{}", "").split()})
    vocabulary = {word: index for index, word in enumerate([*marks, *COLOURS, *SIZES, *PLACES, *words, "##s"])}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names: dict[str, Any] = {f"{mark[1:-1].lower()}_token": mark for mark in marks}
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=14, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=12, **names).save_pretrained(folder)


if __name__ == "__main__":
    main()

"""Tiny CLIP towers on `shapes`: pretrained, then trained further by heads, by low-rank adapters, and as a whole.

    python benchmarks/adapters.py [--seed 0] [--folder FOLDER]

A CLIP of two small transformers is trained from random weights and written as a folder of transformers. Every way of
training it further then begins from that folder, with the same number of epochs. The table has the recalls on the test
split, what is trained, the size of the checkpoint, and processor time.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from figures import Figure, Report, make_parser
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

import vsezoo
from vsezoo.data.lookup import open_data
from vsezoo.data.shapes.scenes import SIDE

WIDTH, LAYERS, HEADS, EMBED_SIZE, EPOCHS = 48, 2, 4, 48, (4, 2)
SIDES = ("image_encoder", "text_encoder")


def main() -> None:
    """Train, and print a line for each way."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; by default a temporary folder")
    arguments = parser.parse_args()
    with Report(arguments) as report, tempfile.TemporaryDirectory() as temporary:
        compare(report, arguments.folder or Path(temporary), arguments.seed)


def compare(report: Report, folder: Path, seed: int) -> None:
    """Pretrain the towers in a folder, and train them further in every way."""
    write_random(folder / "random", seed)
    first = {"training.learning_rate": 2e-3, "training.num_epochs": EPOCHS[0], **choose("finetune", True)}
    pretrained = folder / "tiny-clip"
    pretrained.mkdir()
    done, seconds = train(folder / "random", folder / "runs" / "pretraining", first, seed)
    vsezoo.export(done.checkpoint, "transformers", pretrained / "model.safetensors")
    report.show(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, seed {seed}")
    report.show(
        "| trained | parameters | checkpoint MB | i2t R@1 | t2i R@1 | rsum | CPU s |\n|---|---|---|---|---|---|---|"
    )
    show(report, "all, from random weights", done, seconds)
    ways: dict[str, dict[str, Any]] = {
        "linear heads": {**choose("head", "linear"), "embed_size": EMBED_SIZE, "training.cache_frozen": True},
        "adapters of rank 2": choose("adapter_rank", 2),
        "adapters of rank 8": choose("adapter_rank", 8),
        "all": {**choose("finetune", True), "training.learning_rate": 3e-4},
    }
    for name, settings in ways.items():
        settings = {"training.learning_rate": 2e-3, "training.num_epochs": EPOCHS[1], **settings}
        show(report, name, *train(pretrained, folder / "runs" / name.replace(" ", "-"), settings, seed))


def choose(option: str, value: Any) -> dict[str, Any]:
    """Return the setting of an option of both encoders."""
    return {f"{side}.{option}": value for side in SIDES}


def train(pretrained: Path, output: Path, settings: dict[str, Any], seed: int) -> tuple[vsezoo.TrainingResult, float]:
    """Return the result of a run that starts from pretrained weights, and its processor time in seconds."""
    settings = {
        "pretrained": str(pretrained),
        "loss.mask_same_image": True,
        "training.seed": seed,
        "training.val_step": 0,
        **settings,
    }
    start = time.process_time()
    result = vsezoo.train("clip", "shapes", output=output, settings=settings, device="cpu")
    return result, time.process_time() - start


def show(report: Report, name: str, result: vsezoo.TrainingResult, seconds: float) -> None:
    """Print a line of the table."""
    model, metrics = vsezoo.load(result.checkpoint), result.evaluation.metrics
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    size = (result.checkpoint / "model.safetensors").stat().st_size / 1e6
    i2t, t2i = metrics.i2t.recalls[0], metrics.t2i.recalls[0]
    recalls = f"{i2t:.1f} | {t2i:.1f} | {metrics.rsum:.1f}"
    report.show(
        f"| {name} | {trained:,} | {size:.2f} | {recalls} | {seconds:.0f} |",
        Figure(f"{name}: parameters", trained),
        Figure(f"{name}: checkpoint", size, "MB"),
        Figure(f"{name}: i2t R@1", i2t, "%"),
        Figure(f"{name}: t2i R@1", t2i, "%"),
        Figure(f"{name}: rsum", metrics.rsum),
        Figure(f"{name}: processor", seconds, "s"),
    )


def write_random(folder: Path, seed: int) -> None:
    """Write a CLIP with random weights, whose tokenizer has the words of `shapes`."""
    torch.manual_seed(seed)
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = ["<pad>", "<unk>", "<start>", "<end>"]
    captions = open_data("shapes", "train", ("picture",)).captions
    words.train_from_iterator(captions, trainers.WordLevelTrainer(special_tokens=marks, show_progress=False))
    ends = [(mark, marks.index(mark)) for mark in marks[2:]]
    words.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    )
    tokenizer.save_pretrained(folder)
    sizes = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "bos_token_id": 2, "eos_token_id": 3}
    config = CLIPConfig(
        text_config={**sizes, **text, "pad_token_id": 0},
        vision_config={**sizes, "image_size": SIDE, "patch_size": 16},
        projection_dim=EMBED_SIZE,
    )
    CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    CLIPImageProcessor(**size).save_pretrained(folder)


if __name__ == "__main__":
    main()

"""Tiny data that can be learnt in a second, and processes that start in milliseconds, for tests of training."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo.cli import main

WORDS = (
    "red",
    "green",
    "blue",
    "white",
    "black",
    "small",
    "large",
    "round",
    "square",
    "old",
    "new",
    "hot",
    "cold",
    "dry",
)
TEMPLATES = ("a {} {} thing", "{} and {} .", "this is {} , that is {}", "the {} one is {}", "see how {} and {} it is")
WIDTH = 12
IMAGES = {"train": 64, "dev": 20, "test": 20}
SETTINGS = {
    "embed_size": 16,
    "text_encoder.word_dim": 8,
    "text_encoder.vocab_threshold": 1,
    "loss.mask_same_image": True,
    "training.batch_size": 32,
    "training.num_epochs": 2,
    "training.learning_rate": 0.01,
    "training.val_step": 0,
}
"""Settings of `vsepp`: with 64 training images, ten steps in each of two epochs."""
STEPS = 10


def write_data(
    folder: Path, copies: int = 1, width: int = WIDTH, images: dict[str, int] | None = None, mean: float = 0.0
) -> Path:
    """Write data in VSE++'s layout: an image is the sum of the codes of the two words that it shows, and a mean."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(len(WORDS), width))
    for split, count in (images or IMAGES).items():
        shown = np.stack([rng.choice(len(WORDS), 2, replace=False) for _ in range(count)])
        features = codes[shown].sum(axis=1) + 0.1 * rng.normal(size=(count, width))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        features += mean
        np.save(folder / f"{split}_ims.npy", features.astype(np.float32).repeat(copies, axis=0))
        captions = [text.format(WORDS[first], WORDS[second]) for first, second in shown for text in TEMPLATES]
        (folder / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return folder


def flags(**more: Any) -> list[str]:
    """Return `SETTINGS` as the options of `vsezoo train`, some of them changed."""
    settings = SETTINGS | {name.replace("__", "."): value for name, value in more.items()}
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",  # which torch's optimisers import when the first is made
        "vsezoo.cli.eval",
        "vsezoo.cli.train",
        "vsezoo.data.precomputed",
        "vsezoo.encoders.gru",
        "vsezoo.encoders.precomputed",
        "vsezoo.losses",
        "vsezoo.similarities",
        "vsezoo.training.train",
        "vsezoo_vsepp.recipes",
    ]
)


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a function of a module in a process of its own, forked from one that has torch already."""
    process = _processes.Process(target=_run, args=(target, *arguments))
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    """Wait for a process and return its exit code."""
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError("the process did not end")
    return process.exitcode


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def run_command(folder: Path, *arguments: str | Path, before: Callable[[], None] | None = None) -> Done:
    """Run `vsezoo` in a process of its own, in a folder, after a function that changes the process."""
    folder.mkdir(parents=True, exist_ok=True)
    code = finish(start(_run_main, str(folder), [str(argument) for argument in arguments], before))
    stdout, stderr = ((folder / name).read_text(encoding="utf-8") for name in (".stdout", ".stderr"))
    return Done(code, stdout, stderr)


def _run(target: Callable[..., None], *arguments: Any) -> None:
    torch.set_num_threads(1)
    target(*arguments)


def _run_main(folder: str, arguments: list[str], before: Callable[[], None] | None) -> None:
    os.chdir(folder)
    os.environ.pop("COLUMNS", None)
    for stream, name in ((sys.stdout, ".stdout"), (sys.stderr, ".stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    if before:
        before()
    main(arguments, prog_name="vsezoo")


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

"""Every built-in recipe, data set, layout, command and importer keeps what the core relies on."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dual_families
import numpy as np
import processes
import pytest
import theano_files
import tiny
import vsepp_files
from originals import FIXTURES
from picture_folders import write_picture
from tiny_bert import list_narrow_settings, list_small_settings

from vsezoo import registry
from vsezoo.construction import create_model
from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.inputs import PairDataset
from vsezoo.parts import accepted_kinds
from vsezoo.testing import check_command, check_dataset, check_importer, check_layout, check_recipe, list_checks
from vsezoo.testing.imports import HEAVY
from vsezoo.testing.samples import FirstPairs

READS: dict[str, list[str]] = {"list-models": [], "list-plugins": [], "list-datasets": [], "show": ["vsepp"]}
"""Calls of commands that read, and need no files."""


def list_own(kind: str) -> list[str]:
    return [entry.name for entry in registry.list_entries(kind) if entry.distribution == registry.OWN]


def shrink(name: str) -> dict[str, Any]:
    """Return settings that make a recipe narrow, and its networks small."""
    recipe = registry.load("models", name)
    # Of captions whose words the tiny BERT mostly does not know, augmentation would leave little to learn in ten steps.
    calm = {"text_encoder.size_augmentation": 0.0} if recipe.text_encoder.name == "vse-infty-hf" else {}
    small = {**list_narrow_settings(recipe), **list_small_settings(recipe), **calm}
    smallest = {"timm": "test_resnet", "torchvision": "mobilenet_v3_small"}.get(recipe.image_encoder.name)
    small |= {"image_encoder.model": smallest} if smallest else {}
    small |= {"similarity.sim_dim": 16} if recipe.similarity.name in ("saf", "sgr") else {}
    return {"embed_size": 16, **small}


@functools.cache
def open_few(kinds: tuple[str, ...]) -> PairDataset:
    """Open images enough for a batch: a vocabulary of all captions would be made again and again."""
    return FirstPairs(open_data("shapes", "dev", kinds), 32)


RECIPES = sorted(
    {
        recipe.name
        for recipe in map(functools.partial(registry.load, "models"), list_own("models"))
        if not recipe.pretrained
    }
)
"""Without those of pretrained weights, which would be downloaded."""

TWINS = ("vsepp-resnet152", "vsepp-resnet152-finetuned")
"""Recipes that are those of VGG19, once a small network takes the place of the large one."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_built_in_recipe(name: str) -> None:
    data = open_few(tuple(accepted_kinds(registry.load("models", name))))
    twin = ("construction", "training", "checkpoint") if name in TWINS else ()
    check_recipe(name, settings=shrink(name), data=data, leave_out=("light", *twin))


@pytest.mark.process
@pytest.mark.parametrize("name", ["vsrn", "vse-infty-bigru", "pcmepp-regions"])
def test_a_recipe_in_two_processes(name: str) -> None:
    """That with a part of its own in every place, pooled sets, and distributions, whose loss reads extras."""
    settings = {"training.last_batch": "keep", **shrink(name)}
    data = open_few(tuple(accepted_kinds(registry.load("models", name))))
    checks = list_checks("models", name, settings=settings, data=data, slow=True)
    (check,) = [check for check in checks if check.name == "processes"]
    processes.start_server()
    check()


@pytest.mark.process
def test_what_is_listed_is_light() -> None:
    """All of it in one process: the check of each, which has exhibits in the museum, starts one."""
    entries = [entry for kind in ("models", "datasets", "commands") for entry in registry.list_entries(kind)]
    modules = {entry.value.partition(":")[0] for entry in entries if entry.distribution == registry.OWN}
    program = f"import sys, {', '.join(sorted(modules))}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", list_own("commands"))
def test_a_built_in_command(name: str) -> None:
    check_command(name, arguments=READS.get(name), leave_out=("light",))


@pytest.mark.slow
def test_generated_data() -> None:
    check_dataset("shapes", leave_out=("light",))


@pytest.mark.parametrize("name", ["f8k_precomp", "f8k", "f8k_regions"])
def test_precomputed_data(tmp_path: Path, name: str) -> None:
    folder = tiny.write_data(tmp_path / name)
    if name == "f8k_regions":
        for file in folder.glob("*_ims.npy"):
            np.save(file, np.load(file).reshape(-1, 3, tiny.WIDTH // 3))
    check_dataset(name, options=OpenOptions(root=tmp_path), leave_out=("light",))


@pytest.mark.parametrize("name", list_own("layouts"))
def test_a_built_in_layout(name: str, tmp_path: Path) -> None:
    check_layout(name, folder=write_table(tmp_path) if name == "table" else None)


def write_table(folder: Path) -> Path:
    """Write pictures of different shades with a table of captions."""
    rows = [f"{split}{shade}.png,{split},a picture of {shade}" for split in ("train", "test") for shade in range(2)]
    for shade, row in enumerate(rows):
        write_picture(folder / row.split(",")[0], shade)
    (folder / "captions.csv").write_text("\n".join(["image,split,caption", *rows]))
    return folder


def write_vsepp(folder: Path) -> Path:
    vsepp_files.write_words(folder / f"{vsepp_files.VSEPP['data_name']}_vocab.pkl")
    return vsepp_files.write_checkpoint(folder, vsepp_files.VSEPP, vsepp_files.make_vsepp(vsepp_files.VSEPP))


def write_vsrn(folder: Path) -> Path:
    vsepp_files.write_words(folder / f"{vsepp_files.VSRN['data_name']}_vocab.pkl")
    return vsepp_files.write_checkpoint(folder, vsepp_files.VSRN, vsepp_files.make_vsrn(vsepp_files.VSRN))


def write_scan(folder: Path) -> Path:
    """SCAN has the tensors of VSE++, and options of its own."""
    vsepp_files.write_words(folder / f"{vsepp_files.SCAN['data_name']}_vocab.pkl")
    return vsepp_files.write_checkpoint(folder, vsepp_files.SCAN, vsepp_files.make_vsepp(vsepp_files.SCAN))


def write_clip(folder: Path) -> Path:
    dual_families.write(folder / "clip", "clip")
    return folder / "clip"


def write_chan(folder: Path) -> Path:
    vsepp_files.write_words(folder / f"{vsepp_files.CHAN['data_name']}_precomp_vocab.json")
    return vsepp_files.write_checkpoint(folder, vsepp_files.CHAN, vsepp_files.make_chan(vsepp_files.CHAN))


def write_sgraf(folder: Path) -> Path:
    vsepp_files.write_words(folder / f"{vsepp_files.SGRAF['data_name']}_vocab.pkl")
    return vsepp_files.write_checkpoint(folder, vsepp_files.SGRAF, vsepp_files.make_sgraf(vsepp_files.SGRAF))


def write_open_clip(folder: Path) -> Path:
    """The fixture, as open_clip is not a package of every installation."""
    pytest.importorskip("open_clip")
    if not FIXTURES.is_dir():
        pytest.skip("VSEZOO_SHARED has no fixtures")
    return Path(shutil.copytree(FIXTURES / "dual_openclip", folder / "clip"))


def write_kiros(folder: Path) -> Path:
    return theano_files.write_kiros(theano_files.make_original(theano_files.KIROS), folder / "vse.npz")


def write_linxd5(folder: Path) -> Path:
    return theano_files.write_linxd5(theano_files.make_original(theano_files.LINXD5), folder / "vse")


def write_order(folder: Path) -> Path:
    return theano_files.write_order(
        theano_files.make_original(theano_files.ORDER, off_by_two=False), folder / "order.npz"
    )


def write_vse_infty(folder: Path) -> Path:
    """The vocabulary lacks the mask, for which there is a row."""
    vsepp_files.write_words(folder / f"{vsepp_files.VSE_INFTY['data_name']}_precomp_vocab.pkl")
    parts = vsepp_files.make_vse_infty(vsepp_files.VSE_INFTY)
    return vsepp_files.write_checkpoint(folder, vsepp_files.VSE_INFTY, parts)


def write_pcmepp(folder: Path) -> Path:
    """The tokenizer is next to it."""
    recipe = registry.load("models", "pcmepp")
    model = create_model("pcmepp", settings={"embed_size": 8, **list_small_settings(recipe)})
    path: Path = registry.load("importers", "pcmepp")().write(model, folder / "model.ckpt")[0]
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "kiros": write_kiros,
    "linxd5": write_linxd5,
    "order-embedding": write_order,
    "pcmepp": write_pcmepp,
    "scan": write_scan,
    "vse-infty": write_vse_infty,
    "transformers": write_clip,
    "sgraf": write_sgraf,
    "chan": write_chan,
    "open_clip": write_open_clip,
    "vsepp": write_vsepp,
    "vsrn": write_vsrn,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list_own("importers"))
def test_a_built_in_importer(tmp_path: Path, name: str) -> None:
    """Each of them on a file of its codebase that is made here."""
    check_importer(name, source=WRITERS[name](tmp_path))

"""`vsezoo eval` on data, checkpoints and options that are not right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
from evaluations import evaluate, invoke

import vsezoo
from vsezoo.storage.json_file import read_object


@pytest.mark.slow
def test_wrong_data(root: Path, runs: list[Path], tmp_path: Path) -> None:
    wide = tiny.write_data(tmp_path / "wide", width=tiny.WIDTH + 1)
    shapes = r"shape \(20, 13\), but this model takes features of \(images, 12\)\.\nUse the features that it was"
    message = rf"seed-0: cannot be evaluated on '{wide}': .*{shapes}"
    processes.assert_one_message(invoke(runs[0], "--data", wide), 1, message)
    processes.assert_one_message(invoke(runs[0], "--data", "shapes"), 1, r"shape \(\d+, 128\), but this model takes")
    damaged = tiny.write_data(tmp_path / "damaged")
    features = np.load(damaged / "test_ims.npy")
    features[7, 0] = np.nan
    np.save(damaged / "test_ims.npy", features)
    processes.assert_one_message(invoke(runs[0], "--data", damaged), 1, r"test_ims\.npy: row 7 .* contains NaN")
    processes.assert_one_message(
        invoke(runs[0], "--data", root / "f30k_precomp", "--split", "val"), 1, "has no split 'val'"
    )


def test_data_that_are_not_there(runs: list[Path], tmp_path: Path) -> None:
    absent = invoke(runs[0], "--data-root", tmp_path)
    processes.assert_one_message(
        absent, 1, r"^The features of data set 'f30k_precomp' were not found\.\nExpected files: train_ims\.npy"
    )
    assert str(tmp_path / "f30k_precomp") in absent.stderr
    unknown = invoke(runs[0], "--data", "f30k_precom")
    processes.assert_one_message(unknown, 2, r"^There is no data set 'f30k_precom'\.\nDid you mean 'f30k_precomp'\?")


@pytest.mark.slow
def test_a_folder_of_ones_own_is_found_again(tmp_path: Path) -> None:
    data, run = tiny.write_data(tmp_path / "mine"), tmp_path / "run"
    trained = vsezoo.train("vsepp", data, output=run, settings=tiny.SETTINGS, device="cpu").evaluation
    assert evaluate(run)["rsum"] == trained.metrics.rsum
    data.rename(tmp_path / "moved")
    message = rf"'mine', which is not the name of a registered data set, and the folder {data} does not exist\.\nName"
    processes.assert_one_message(invoke(run), 2, message)
    assert evaluate(run, "--data", tmp_path / "moved")["rsum"] == trained.metrics.rsum


@pytest.mark.slow
def test_a_folder_of_ones_own_without_a_test_split(tmp_path: Path) -> None:
    data, run = tiny.write_data(tmp_path / "mine"), tmp_path / "run"
    for file in data.glob("test_*"):
        file.unlink()
    trained = vsezoo.train("vsepp", data, output=run, settings=tiny.SETTINGS, device="cpu").evaluation
    found = evaluate(run)
    assert (found["split"], found["rsum"]) == ("dev", trained.metrics.rsum)


def test_a_model_trained_on_a_folder_wants_to_be_told(root: Path, runs: list[Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    path = run / "best" / "config.json"
    config = read_object(path)
    config["data"]["name"] = "my-photos"
    path.write_text(json.dumps(config), encoding="utf-8")
    message = (
        r"run: was trained on 'my-photos', which is not the name of a registered data set\.\nName .* --data FOLDER"
    )
    processes.assert_one_message(invoke(run), 2, message)
    assert evaluate(run, "--data", root / "f30k_precomp")["images"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ensemble"], "--ensemble needs at least two checkpoints"),
        (["hub:org/absent", "--scores", "s.npy"], "--scores names one file, and there are several checkpoints"),
        (["--ties", "random"], "'random' is not one of 'lower.index', 'pessimistic', 'expected'"),
        (["--device", "nonsense"], r"the device 'nonsense' cannot be used: .*\nTry --device cpu"),
        (["--folds", "5"], "No such option '?--folds'?"),
    ],
)
def test_mistakes(root: Path, runs: list[Path], arguments: list[str], message: str) -> None:
    processes.assert_one_message(invoke(runs[0], "--data-root", root, *arguments), 2, message)


def test_no_checkpoint(tmp_path: Path) -> None:
    processes.assert_one_message(invoke(), 2, "Missing argument 'CHECKPOINT...'")
    processes.assert_one_message(invoke(tmp_path / "none"), 2, rf"^{tmp_path}/none: does not exist\.\n.*vsezoo train")
    processes.assert_one_message(
        invoke(tmp_path), 1, r"is not a checkpoint folder: it has no config\.json \(it contains nothing\)"
    )


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 64
    (folder / "model.safetensors").write_bytes(content)


def cut_the_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def remove_the_vocabulary(folder: Path) -> None:
    (folder / "vocab.json").unlink()


def edit(folder: Path, **changes: Any) -> None:
    config = read_object(folder / "config.json")
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


def name_a_missing_part(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    config["recipe"]["similarity"]["name"] = "telepathy"
    edit(folder, recipe=config["recipe"])


DAMAGES = [
    (flip_a_byte, r"model\.safetensors: .*SHA-256"),
    (cut_the_weights, r"model\.safetensors: has [\d,]+ bytes instead of [\d,]+"),
    (remove_the_vocabulary, r"vocab\.json: is missing"),
    (lambda folder: edit(folder, format_version=99), r"config\.json: has the format version 99; .*\nUpgrade"),
    (lambda folder: edit(folder, recipe={}), r"config\.json: recipe lacks the field"),
    (lambda folder: (folder / "config.json").write_text("{"), r"config\.json: cannot be read as JSON"),
    (name_a_missing_part, r"config\.json: .*There is no similarity 'telepathy'"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[str(number) for number in range(len(DAMAGES))])
def test_a_damaged_checkpoint(root: Path, runs: list[Path], tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "best"
    shutil.copytree(runs[0] / "best", folder)
    damage(folder)
    processes.assert_one_message(invoke(folder, "--data-root", root), 1, message)


def test_a_result_that_cannot_be_written(root: Path, runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "figures.json"
    result = invoke(runs[0], "--data-root", root, "--output", place)
    assert "image to text (i2t)" in result.stdout  # the figures are not lost
    assert result.stderr.startswith(f"Error: {place}: cannot be written: ")
    assert result.exit_code == 1

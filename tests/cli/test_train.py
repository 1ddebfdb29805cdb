"""`vsezoo train`."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import shlex
import shutil
import signal
from dataclasses import astuple
from pathlib import Path

import commands
import numpy as np
import processes
import pytest
import tiny
from click.testing import CliRunner, Result

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.cli.setting_flags import read_settings
from vsezoo.errors import UsageError
from vsezoo.parts import change_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.training.collapse import CollapseMonitor
from vsezoo.training.state import read_state


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("train") / "data")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, processes.Done]:
    """A run, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "run", commands.run_command(
        folder, "train", "vsepp", "--data", data, "--output", "run", *tiny.make_flags()
    )


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# What a run prints and leaves


@pytest.mark.slow
def test_a_run(trained: tuple[Path, processes.Done]) -> None:
    output, done = trained
    assert done.code == 0
    # No warning of Python, of torch or of TensorBoard; no bar where there is no terminal.
    begin, first, second, *curves, end = done.stderr.splitlines()
    assert [line.split()[0] for line in curves] == ["loss", "rsum"]
    assert begin == "Training vsepp: 2 epochs of 10 steps, fp32, seed 0"
    recalls = r"dev R@1/5/10 i2t .*, t2i .*, score [\d.]+ \(best\); \d+:\d\d left"
    assert re.fullmatch(rf"epoch 1/2, step 10: mean loss [\d.]+; {recalls}", first)
    assert second.startswith("epoch 2/2, step 20: mean loss ")
    assert end == f"Checkpoint: {output.relative_to(output.parent)}/best"
    figures = json.loads((output / "best" / "metrics.json").read_bytes())
    assert "data, test split: all images against all captions" in done.stdout
    assert "single model, 20 images, 100 captions" in done.stdout
    assert f"rsum {figures['rsum']:.1f}, mR {figures['mR']:.1f}" in done.stdout
    names = ["README.md", "config.json", "local.json", "metrics.json", "model.safetensors", "vocab.json"]
    assert sorted(path.name for path in (output / "best").iterdir()) == names
    assert sorted(path.name for path in output.iterdir()) == ["best", "last", "log.jsonl", "tensorboard"]


def test_json_and_resume_of_a_finished_run(trained: tuple[Path, processes.Done], data: Path) -> None:
    output, _ = trained
    again = invoke("train", "vse++", "--data", data, "--output", output, "--resume", "--json")
    assert again.exit_code == 0
    shown = json.loads(again.stdout)
    account = shown.pop("account")
    assert shown == json.loads((output / "best" / "metrics.json").read_bytes())
    config = json.loads((output / "best" / "config.json").read_bytes())
    assert account == config["data"]["account"]
    assert account["used"] == config["data"]["images"]
    assert str(data.parent) not in json.dumps(account)  # a checkpoint may be passed on
    assert again.stderr == f"Checkpoint: {output}/best\n"


@pytest.mark.process
def test_the_default_is_shapes(tmp_path: Path) -> None:
    """As the README runs it but for its size."""
    size = ["--num-epochs", "1", "--embed_size", "32", "--word-dim", "16"]
    done = processes.run_command(tmp_path, "train", "vsepp", *size)
    assert done.code == 0, done.stderr
    assert "shapes, test split" in done.stdout
    assert [line.partition(":")[0].partition("  ")[0] for line in done.stderr.splitlines()] == [
        "Training vsepp",
        "epoch 1/1, step 79",
        "loss",
        "Checkpoint",
    ]
    config = json.loads((tmp_path / "runs/vsepp-shapes/best/config.json").read_bytes())
    assert config["recipe"]["embed_size"] == 32
    assert config["recipe"]["loss"]["options"]["warmup_epochs"] == 1  # the recipe's override for shapes


@pytest.mark.process
def test_ctrl_c_and_the_command_that_goes_on(data: Path, tmp_path: Path) -> None:
    """A signal from outside, and then the very command that the message gives."""
    command = ["train", "vsepp", "--data", str(data), "--output", "a run", *tiny.make_flags(training__num_epochs=12)]
    process = processes.start_command(tmp_path, *command)
    log = tmp_path / "a run" / "log.jsonl"
    processes.wait_until(process, lambda: log.exists() and b'"step": 10' in log.read_bytes())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    code, stdout, stderr = astuple(processes.read_command(tmp_path, process))
    assert code == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    stopped = re.search(
        r"\nInterrupted: a run: Stopped after step (\d+); the state is saved\.\nContinue with: (.*)\n", stderr
    )
    assert stopped, stderr
    assert read_state(tmp_path / "a run").progress.step == int(stopped[1]) < 120
    assert shlex.split(stopped[2]) == ["vsezoo", "train", "vsepp", "--output", "a run", "--resume"]
    resumed = commands.run_command(tmp_path, *shlex.split(stopped[2])[1:])
    assert resumed.code == 0
    assert f"fp32, seed 0, resumed after step {int(stopped[1]):,}\n" in resumed.stderr
    whole = commands.run_command(tmp_path, *["whole" if word == "a run" else word for word in command])
    assert whole.stdout == resumed.stdout
    for name in ("best/model.safetensors", "best/metrics.json", "log.jsonl"):
        assert (tmp_path / "a run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.process
def test_a_run_that_is_at_work_is_left_alone(data: Path, tmp_path: Path) -> None:
    command = ["train", "vsepp", "--data", str(data), "--output", "run", *tiny.make_flags(training__num_epochs=400)]
    process = processes.start_command(tmp_path, *command)
    log = tmp_path / "run" / "log.jsonl"
    processes.wait_until(process, lambda: log.exists() and b'"step": 10' in log.read_bytes())
    refused = commands.run_command(tmp_path, "train", "vsepp", "--output", "run", "--resume")
    process.kill()
    process.join()
    processes.assert_one_message(refused, 2, r"^run: is in use by another training run\.\nWait")
    assert log.read_bytes().count(b'"event": "begin"') == 1
    epochs = str(read_state(tmp_path / "run").progress.epoch + 1)
    resumed = commands.run_command(tmp_path, "train", "vsepp", "--output", "run", "--resume", "--num-epochs", epochs)
    assert resumed.code == 0, resumed.stderr
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.slow
def test_a_collapse_is_printed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsezoo.training.loop.CollapseMonitor", functools.partial(CollapseMonitor, patience=2))
    data = tiny.write_data(tmp_path / "data", mean=1.0)
    settings = tiny.make_flags(training__num_epochs=7)
    done = commands.run_command(tmp_path, "train", "vsepp", "--data", data, "--output", "run", *settings)
    assert done.code == 0
    assert done.stderr.count("Warning: For 20 steps, the loss has been 12.8, its value if all embeddings") == 1
    assert done.stderr.count("Warning: ") == done.stderr.count("--warmup-epochs 1") == 1


# A full disk


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def limit_to_4_kib() -> None:
    limit_files(4096)


def limit_to_24_kib() -> None:
    limit_files(24 * 1024)


@pytest.mark.slow
def test_a_full_disk_at_the_first_save(data: Path, tmp_path: Path) -> None:
    command = ["train", "vsepp", "--data", data, "--output", "run", *tiny.make_flags()]
    done = commands.run_command(tmp_path, *command, before=limit_to_4_kib)
    processes.assert_one_message(done, 1, r"^run/last: cannot be written: .*File too large")
    assert not (tmp_path / "run").exists()  # the same command can be repeated


@pytest.mark.slow
def test_a_full_disk_later(data: Path, trained: tuple[Path, processes.Done], tmp_path: Path) -> None:
    """The checkpoint and the state that there are survive, and the run goes on when there is space again."""
    output = tmp_path / "run"
    shutil.copytree(trained[0], output)
    before = processes.read_files(output)
    command = ["train", "vsepp", "--data", data, "--output", "run", "--resume", "--num-epochs", "4"]
    done = commands.run_command(tmp_path, *command, before=limit_to_4_kib)
    processes.assert_one_message(
        done,
        1,
        r"^run/(best|last): cannot be written: .*File too large.*\nThe file is too large for this disk",
    )
    kept = ("best/", "last/")
    after = processes.read_files(output)
    assert {name: after[name] for name in before if name.startswith(kept)} == {
        name: content for name, content in before.items() if name.startswith(kept)
    }
    assert vsezoo.evaluate(output, str(data)).to_json()["rsum"] == json.loads(before["best/metrics.json"])["rsum"]
    assert commands.run_command(tmp_path, *command).code == 0
    assert read_state(output).progress.step == 40


@pytest.mark.slow
def test_a_full_disk_while_logging(data: Path, tmp_path: Path) -> None:
    settings = tiny.make_flags(training__val_step=1, training__num_epochs=6, embed_size=6, text_encoder__word_dim=4)
    command = ["train", "vsepp", "--data", data, "--output", "run", *settings]
    done = commands.run_command(tmp_path, *command, before=limit_to_24_kib)
    processes.assert_one_message(done, 1, r"^run/log\.jsonl: cannot be written: File too large\.\n.*--resume")
    assert vsezoo.evaluate(tmp_path / "run", str(data)).captions == 100
    resumed = commands.run_command(tmp_path, "train", "vsepp", "--output", "run", "--resume")
    assert resumed.code == 0
    lines = (tmp_path / "run" / "log.jsonl").read_bytes().splitlines()
    steps = [event["step"] for event in map(json.loads, lines) if event["event"] == "validation"]
    assert steps == list(range(1, 61))  # the line that was cut off is whole again


# Settings


def test_flags_are_settings() -> None:
    flags = {"margin": 0.1, "max_violation": True, "measure": "order", "use_abs": True, "imgnorm": False, "seed": None}
    assert read_settings(flags, ("loss.margin = 0.3", "training.criterion=search", "image_encoder.center=True")) == {
        "similarity": "order",
        "loss.margin": 0.3,  # --set is last
        "loss.max_violation": True,
        "image_encoder.normalize": False,
        "image_encoder.use_abs": True,
        "text_encoder.use_abs": True,
        "training.criterion": "search",
        "image_encoder.center": True,
    }
    recipe = registry.load("models", "vsepp")
    order = change_recipe(recipe, read_settings({"measure": "order"}, ("similarity.squared=true",))).similarity
    assert order == Part("order", {"squared": True})
    options = ("text_encoder.model=here", "text_encoder.pool=mean", "text_encoder=hf:there", "loss.scale=2")
    later = change_recipe(recipe, read_settings({"loss": "sigmoid"}, options))
    earlier = change_recipe(recipe, read_settings({"loss": "sigmoid"}, options[::-1]))
    assert later == earlier
    assert later.text_encoder == Part("hf", {"model": "here", "pool": "mean"})
    assert later.loss == Part("sigmoid", {"scale": 2})


@pytest.mark.parametrize("assignment", ["loss.margin", "=3", "loss.margin 3"])
def test_set_takes_a_name_and_a_value(assignment: str) -> None:
    with pytest.raises(UsageError, match="--set takes NAME=VALUE"):
        read_settings({}, (assignment,))


@pytest.mark.process
def test_every_flag_of_the_field_reaches_the_recipe(data: Path, tmp_path: Path) -> None:
    """In the spelling of VSE++, with underscores."""
    command = [
        "--margin", "0.3", "--sum-violation", "--warmup_epochs", "1", "--no-mask-same-image", "--measure", "order",
        "--use_abs", "--no-imgnorm", "--embed_size", "12", "--word_dim", "6", "--num_layers", "2", "--num_epochs", "1",
        "--batch_size", "50", "--learning_rate", "0.003", "--lr_update", "3", "--grad_clip", "1", "--val_step", "5",
        "--seed", "4", "--precision", "bf16", "--set", "training.lr_decay=0.5", "--full-dev", "--workers", "1",
        "--ncon", "2", "--bidirectional", "--max_words", "30", "--log_step", "3", "--patience", "7",
        "--optimizer", "theano_adam", "--weight_decay", "0.01",
    ]  # fmt: skip
    done = invoke("train", "vsepp", "--data", data, "--output", tmp_path / "run", "--device", "cpu", *command)
    assert done.exit_code == 0, done.stderr
    recipe = Recipe.from_json(json.loads((tmp_path / "run/best/config.json").read_bytes())["recipe"])
    assert recipe.similarity.name == "order"
    assert dict(recipe.loss.options) == {
        "margin": 0.3, "max_violation": False, "warmup_epochs": 1, "mask_same_image": False, "ncon": 2,
        "selective_epsilon": 0.0,
    }  # fmt: skip
    assert (recipe.image_encoder.options["normalize"], recipe.image_encoder.options["use_abs"]) == (False, True)
    text = recipe.text_encoder.options
    assert (text["use_abs"], text["word_dim"], text["num_layers"], recipe.embed_size) == (True, 6, 2, 12)
    settings = recipe.training
    assert (settings.num_epochs, settings.batch_size, settings.learning_rate) == (1, 50, 0.003)
    assert (settings.grad_clip, settings.val_step, settings.seed, settings.precision) == (1.0, 5, 4, "bf16")
    assert dict(recipe.schedule.options) == {"every": 3, "factor": 0.5}
    assert text["bidirectional"] is True
    assert (settings.max_words, settings.log_step, settings.patience) == (30, 3, 7)
    assert (recipe.optimizer.name, settings.weight_decay) == ("theano_adam", 0.01)


@pytest.mark.slow
def test_overrides_for_a_data_set(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f8k_precomp"  # by its name
    shutil.copytree(data, folder)
    size = tiny.make_flags(training__num_epochs=1)
    for flag, center in (("--overrides", True), ("--no-overrides", False)):
        output = tmp_path / flag
        done = invoke("train", "vsepp", "--data", folder, "--output", output, "--device", "cpu", *size, flag)
        assert done.exit_code == 0, done.stderr
        config = json.loads((output / "best" / "config.json").read_bytes())
        assert config["recipe"]["image_encoder"]["options"]["center"] is center


@pytest.mark.slow
def test_without_a_test_split(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(data, folder, ignore=shutil.ignore_patterns("test_*"))
    done = invoke(
        "train", "vsepp", "--data", folder, "--output", tmp_path / "run", "--device", "cpu", *tiny.make_flags()
    )
    assert done.exit_code == 0
    assert "Warning: The test split cannot be used, so the dev split will be reported. " in done.stderr
    assert "has no split 'test'" in done.stderr
    assert "two, dev split" in done.stdout


@pytest.mark.slow
def test_an_epoch_of_fewer_steps_than_a_record(data: Path, tmp_path: Path) -> None:
    flags = tiny.make_flags(training__num_epochs=1, training__batch_size=200)
    done = invoke("train", "vsepp", "--data", data, "--output", tmp_path / "run", *flags)
    assert "epoch 1/1, step 2: dev R@1/5/10 " in done.stderr  # no loss is known, which is no reason to print nan


# Mistakes: each one message, before anything is written


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_split_of_another_width(data: Path, tmp_path: Path, split: str) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    np.save(folder / f"{split}_ims.npy", np.ones((tiny.IMAGES[split], tiny.WIDTH + 3), dtype="float32"))
    result = invoke("train", "vsepp", "--data", folder, "--output", tmp_path / "run")
    message = rf"the split {split} of 'data' are vector of shape \(15,\), those of train vector of shape \(12,\)"
    processes.assert_one_message(result, 1, message)
    assert not (tmp_path / "run").exists()


def test_regions_where_the_encoder_takes_vectors(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    for split, count in tiny.IMAGES.items():
        np.save(folder / f"{split}_ims.npy", np.ones((count, 3, tiny.WIDTH), dtype="float32"))
    result = invoke("train", "vsepp", "--data", folder, "--output", tmp_path / "run")
    processes.assert_one_message(
        result, 1, r"kind 'regions'.*\n.*`--set image_encoder\.pool=mean` averages the regions"
    )


def test_an_output_that_is_taken(trained: tuple[Path, processes.Done], data: Path, tmp_path: Path) -> None:
    before = processes.read_files(trained[0])
    taken = invoke("train", "vsepp", "--data", data, "--output", trained[0], *tiny.make_flags())
    processes.assert_one_message(
        taken, 2, rf"^{re.escape(str(trained[0]))}: already contains a run \(last, best, log\.jsonl\)\.\nContinue "
    )
    assert processes.read_files(trained[0]) == before
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for output, code, message in (
        (file, 2, r"is a file, not a folder\.\nChoose another --output"),
        (file / "run", 1, r"cannot be written: Not a directory\.\nCheck the path"),
    ):
        taken = invoke("train", "vsepp", "--data", data, "--output", output, *tiny.make_flags())
        processes.assert_one_message(taken, code, rf"{output}: {message}")


def test_resume_with_what_would_be_another_run(trained: tuple[Path, processes.Done], data: Path) -> None:
    resume = ("--output", trained[0], "--resume")
    refused = invoke("train", "vsepp", "--data", data, *resume, "--margin", "0.5", "--num-epochs", "3")
    processes.assert_one_message(refused, 2, r"the run was started with other values of loss\.margin\.\n")
    processes.assert_one_message(invoke("train", "vse0", *resume), 2, "contains a run of 'vsepp', not of 'vse0'")
    processes.assert_one_message(
        invoke("train", "vsepp", "--data", "shapes", *resume), 2, "was started on .*, not on 'shapes'"
    )


def test_a_loss_that_is_not_a_number(data: Path, tmp_path: Path) -> None:
    done = commands.run_command(
        tmp_path, "train", "vse0", "--data", data, "--output", "run", *tiny.make_flags(training__learning_rate=1e38)
    )
    processes.assert_one_message(
        done, 1, r"^run: the (loss|norm of the gradient) is (nan|inf) at step \d+; .*\n.*lower learning"
    )
    assert read_state(tmp_path / "run").progress.step == 0

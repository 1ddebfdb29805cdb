"""`vsezoo eval`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
from click.testing import CliRunner, Result

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.evaluation.metrics import TIE_RULES
from vsezoo.storage.json_file import read_object

KEYS = [
    *("data", "split", "protocol", "checkpoints", "ensemble", "images", "captions", "i2t", "t2i", "rsum", "mR", "ties"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds data in the name of a registered data set."""
    root = tmp_path_factory.mktemp("eval")
    tiny.write_data(root / "f30k_precomp")
    return root


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in their seeds."""
    runs = [tmp_path_factory.mktemp("runs") / f"seed-{seed}" for seed in range(2)]
    for seed, run in enumerate(runs):
        settings = tiny.SETTINGS | {"training.num_epochs": 8, "training.seed": seed}
        vsezoo.train("vsepp", "f30k_precomp", data_root=root, output=run, settings=settings, device="cpu")
    return runs


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def evaluate(*arguments: str | Path) -> dict[str, Any]:
    """Return what `--json` prints."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    for one in found.get("evaluations", [found]):
        account = one.pop("account")
        assert (account["images"], account["layout"]) == (one["images"], "features")
    return found


# Figures


@pytest.mark.slow
def test_the_figures_are_those_of_the_training(root: Path, runs: list[Path]) -> None:
    stored = json.loads((runs[0] / "best" / "metrics.json").read_bytes())
    found = evaluate(runs[0], "--data-root", root)
    assert list(found) == KEYS
    assert list(found["i2t"]) == list(found["t2i"]) == ["R@1", "R@5", "R@10", "MedR", "MeanR"]
    assert found["checkpoints"] == [stored["checkpoints"][0] | {"reference": str(runs[0])}]
    assert {**found, "checkpoints": 0} == {**stored, "checkpoints": 0}
    labels = ("f30k_precomp", "test", "full", False, 20, 100)
    assert tuple(found[key] for key in ("data", "split", "protocol", "ensemble", "images", "captions")) == labels
    assert found["rsum"] > 300  # it has learned something
    assert evaluate(runs[0] / "best", "--data", root / "f30k_precomp") == {
        **found,
        "checkpoints": [found["checkpoints"][0] | {"reference": str(runs[0] / "best")}],
    }


@pytest.mark.slow
def test_the_figures_are_those_of_a_slow_reference(root: Path, runs: list[Path]) -> None:
    """Ranks by sorting the whole matrix, from the model's own embeddings of plain strings and arrays."""
    model = vsezoo.load(runs[0])
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    scores = model.similarity(model.encode_images(features), model.encode_texts(captions)).numpy()

    def sort(row: np.ndarray) -> list[int]:
        return np.argsort(-row, kind="stable").tolist()  # of equal scores the lower index comes first

    i2t = [min(sort(row).index(5 * image + k) for k in range(5)) for image, row in enumerate(scores)]
    t2i = [sort(column).index(caption // 5) for caption, column in enumerate(scores.T)]
    found = evaluate(runs[0], "--data-root", root)
    for direction, ranks in (("i2t", np.array(i2t)), ("t2i", np.array(t2i))):
        for k in (1, 5, 10):
            assert found[direction][f"R@{k}"] == pytest.approx(100 * (ranks < k).mean())
        assert found[direction]["MedR"] == np.floor(np.median(ranks)) + 1
        assert found[direction]["MeanR"] == pytest.approx(ranks.mean() + 1)


def test_the_table(root: Path, runs: list[Path]) -> None:
    done = invoke(runs[0], "--data-root", root)
    assert (done.exit_code, done.stderr) == (0, "")
    found = evaluate(runs[0], "--data-root", root)
    assert "f30k_precomp, test split: all images against all captions" in done.stdout
    assert "single model, 20 images, 100 captions" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "(t2i)" in line)
    assert re.findall(r"[\d.]+", row.replace("t2i", "")) == [f"{figure:.1f}" for figure in found["t2i"].values()]


@pytest.mark.slow
def test_ensemble(root: Path, runs: list[Path]) -> None:
    alone = [evaluate(run, "--data-root", root) for run in runs]
    both = evaluate(*runs, "--ensemble", "--data-root", root)
    assert both["ensemble"] is True
    assert [checkpoint["reference"] for checkpoint in both["checkpoints"]] == [str(run) for run in runs]
    assert len({checkpoint["sha256"] for checkpoint in both["checkpoints"]}) == 2
    assert both["rsum"] not in {single["rsum"] for single in alone}
    # The same model twice is that model.
    twice = evaluate(runs[0], runs[0], "--ensemble", "--data-root", root)
    assert (twice["i2t"], twice["t2i"]) == (alone[0]["i2t"], alone[0]["t2i"])
    # Similarities are averaged, not embeddings: by hand.
    models = [vsezoo.load(run) for run in runs]
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    scores = sum(model.similarity(model.encode_images(features), model.encode_texts(captions)) for model in models) / 2
    hits = (scores.argmax(dim=0).numpy() == np.arange(100) // 5).mean()
    assert both["t2i"]["R@1"] == pytest.approx(100 * hits)
    assert "ensemble of 2 models" in invoke(*runs, "--ensemble", "--data-root", root).stdout


@pytest.mark.slow
def test_scores_are_kept(root: Path, runs: list[Path], tmp_path: Path) -> None:
    """The scores of all pairs are in the file, and rank as they did."""
    arguments = (*runs, "--ensemble", "--data-root", root, "--scores", tmp_path / "scores.npy")
    first, second = evaluate(*arguments), evaluate(*arguments)
    assert first == second == evaluate(*runs, "--ensemble", "--data-root", root)
    assert np.load(tmp_path / "scores.npy").shape == (first["images"], first["captions"])


@pytest.mark.slow
def test_several_checkpoints_one_by_one(root: Path, runs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    found = evaluate(*runs, "--data-root", root, "--output", output)
    assert found["evaluations"] == [evaluate(run, "--data-root", root) for run in runs]
    written = json.loads(output.read_bytes())
    assert [{**one, "account": 0} for one in written["evaluations"]] == [
        {**one, "account": 0} for one in found["evaluations"]
    ]
    lines = invoke(*runs, "--data-root", root).stdout.splitlines()
    titles = [index for index, line in enumerate(lines) if line.startswith("f30k_precomp, test split")]
    assert [lines[index - 1] for index in titles] == [str(run) for run in runs]


@pytest.mark.parametrize("split", ["dev", "train"])
def test_another_split(root: Path, runs: list[Path], split: str) -> None:
    found = evaluate(runs[0], "--split", split, "--data-root", root)
    assert (found["split"], found["images"]) == (split, tiny.IMAGES[split])
    assert found["rsum"] != evaluate(runs[0], "--data-root", root)["rsum"]


def test_dev_is_the_score_that_the_checkpoint_was_chosen_by(root: Path, runs: list[Path]) -> None:
    config = json.loads((runs[0] / "best" / "config.json").read_bytes())
    assert evaluate(runs[0], "--split", "dev", "--data-root", root)["rsum"] == config["trained"]["score"]


@pytest.mark.slow
def test_the_rules_for_ties(root: Path, runs: list[Path], tmp_path: Path) -> None:
    """Each image twice: the second copy scores exactly as the first."""
    folder = tmp_path / "twice"
    folder.mkdir()
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    np.save(folder / "test_ims.npy", features.repeat(2, axis=0))
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    doubled = [line for image in range(20) for line in 2 * captions[5 * image : 5 * image + 5]]
    (folder / "test_caps.txt").write_text("\n".join(doubled), encoding="utf-8")
    rules = {rule: evaluate(runs[0], "--data", folder, "--ties", rule) for rule in RULES}
    for rule, found in rules.items():
        assert found["ties"] == {"rule": rule, "i2t": 40, "t2i": 200}
    # Of the two copies the lower index comes first: half of the captions find theirs a place later.
    mean = {rule: found["t2i"]["MeanR"] for rule, found in rules.items()}
    assert mean["expected"] == pytest.approx(mean["lower_index"])
    assert mean["pessimistic"] == pytest.approx(mean["lower_index"] + 0.5)
    assert rules["pessimistic"]["t2i"]["R@1"] == 0
    assert "Warning: 100.0% of the queries are tied" in invoke(runs[0], "--data", folder).stdout


RULES = ("lower_index", "pessimistic", "expected")


def test_the_rules_of_the_flag_are_those_of_the_core() -> None:
    """The command line names them itself, since the core's table would import numpy."""
    (option,) = [option for option in registry.load("commands", "eval").params if option.name == "ties"]
    assert tuple(option.type.choices) == tuple(TIE_RULES) == RULES


def test_features_that_are_duplicated_or_half_as_precise(root: Path, runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    folder.mkdir()
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    shutil.copy(root / "f30k_precomp" / "test_caps.txt", folder)
    np.save(folder / "test_ims.npy", features.repeat(5, axis=0))
    alone = evaluate(runs[0], "--data-root", root)
    copied = evaluate(runs[0], "--data", folder)
    assert (copied["i2t"], copied["t2i"]) == (alone["i2t"], alone["t2i"])
    np.save(folder / "test_ims.npy", features.astype(np.float16))
    assert evaluate(runs[0], "--data", folder)["rsum"] == pytest.approx(alone["rsum"], abs=10)


# Protocols


@pytest.fixture(scope="module")
def coco(root: Path, runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 images, in the name of COCO; each thousand shows the same."""
    folder = tiny.write_data(tmp_path_factory.mktemp("coco") / "coco_precomp", images={"test": 1000})
    features = np.load(folder / "test_ims.npy")
    captions = (folder / "test_caps.txt").read_text(encoding="utf-8")
    np.save(folder / "testall_ims.npy", np.tile(features, (5, 1)))
    (folder / "testall_caps.txt").write_text(5 * captions, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_fold5(runs: list[Path], coco: Path) -> None:
    place = ("--data", "coco_precomp", "--data-root", coco.parent)
    folds = evaluate(runs[0], *place, "--fold5")
    labels = ("coco_precomp", "testall", "fold5", 5000, 25000)
    assert tuple(folds[key] for key in ("data", "split", "protocol", "images", "captions")) == labels
    # Every fold is the same thousand images, so that the mean over folds is what one of them gives, but for the last
    # bits of captions that are encoded in other batches.
    one = evaluate(runs[0], *place)
    assert (one["split"], one["protocol"], one["images"]) == ("test", "full", 1000)
    for direction in ("i2t", "t2i"):
        for label, figure in one[direction].items():
            assert folds[direction][label] == pytest.approx(figure, rel=1e-4)
    assert folds["rsum"] == pytest.approx(one["rsum"])
    text = invoke(runs[0], *place, "--fold5").stdout
    assert "coco_precomp, testall split: 5 folds of 1,000 images, averaged" in text
    explicit = evaluate(runs[0], "--data", coco, "--fold5")  # testall by default in a folder, too
    assert {**explicit, "checkpoints": 0} == {**folds, "checkpoints": 0}


def test_fold5_of_another_number_of_images(root: Path, runs: list[Path]) -> None:
    message = r"^The split has 20 images; fold5 needs 5,000\.\n.*protocol `full`"
    place = ("--fold5", "--data-root", root)
    processes.assert_one_message(invoke(runs[0], *place, "--split", "test"), 2, message)
    processes.assert_one_message(invoke(runs[0], *place), 1, r"has no split 'testall'\.\nIts splits are train, dev,")


# Mistakes


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


# Predictions


@pytest.mark.slow
def test_predictions(root: Path, runs: list[Path], tmp_path: Path) -> None:
    from vsezoo.evaluation.predictions import read_predictions

    file = tmp_path / "one.jsonl"
    found = evaluate(runs[0], "--data-root", root, "--predictions", file, "--top", "3")
    predictions = read_predictions(file)
    assert predictions.about["evaluation"] == found
    assert predictions.about["recipes"][0]["name"] == "vsepp"
    assert predictions.about["recipes"][0]["training"]["seed"] == 0
    for direction, number in (("i2t", 20), ("t2i", 100)):
        queries = [query for query in predictions.queries if query.direction == direction]
        assert len(queries) == number
        assert {len(query.top) for query in queries} == {3}
        for k in (1, 5, 10):
            assert 100 * np.mean([query.rank <= k for query in queries]) == pytest.approx(found[direction][f"R@{k}"])


def test_predictions_are_of_one_evaluation(root: Path, runs: list[Path], tmp_path: Path) -> None:
    done = invoke(*runs, "--data-root", root, "--predictions", tmp_path / "two.jsonl")
    assert done.exit_code == 2
    assert "--predictions names one file" in done.stderr
    done = invoke(runs[0], "--data-root", root, "--predictions", tmp_path / "two.txt")
    assert done.exit_code == 2
    assert "two.txt: its suffix does not say" in done.stderr


@pytest.mark.slow
def test_a_registered_protocol(root: Path, runs: list[Path], tmp_path: Path) -> None:
    from vsezoo.evaluation.protocol import Protocol

    class FirstCaptions(Protocol):
        name, summary, split = "first-captions", "Scores of the first captions.", "test"

        def measure(self, score, data, folder):  # type: ignore[no-untyped-def]
            scores = score([3, 1], [data.captions[0], "red"])
            assert folder == tmp_path
            return {"first": float(scores[0, 0]), "shape": scores.shape[0] * 10 + scores.shape[1]}

    with registry.session():
        registry.register("protocols", "first-captions")(FirstCaptions())
        flags = ("--protocol", "first-captions", "--judgements", tmp_path, "--data-root", root)
        one, other = (json.loads(invoke(run, *flags, "--json").stdout) for run in runs)
        both = json.loads(invoke(*runs, "--ensemble", *flags, "--json").stdout)
        assert invoke(runs[0], *flags, "--predictions", tmp_path / "a.jsonl").exit_code == 2
        table = invoke(*runs, *flags).stdout
    model = vsezoo.load(runs[0])
    data = vsezoo.open_data("f30k_precomp", "test", options=vsezoo.OpenOptions(root))
    image, text = model.encode_images(data.images([3])), model.encode_texts([data.captions[0]])
    assert one["figures"] == {"first": pytest.approx(model.similarity(image, text).item(), abs=1e-5), "shape": 22}
    assert (one["protocol"], one["data"], one["split"]) == ("first-captions", "f30k_precomp", "test")
    mean = (one["figures"]["first"] + other["figures"]["first"]) / 2
    assert both["figures"]["first"] == pytest.approx(mean, abs=1e-5)
    assert table.splitlines()[0] == "first-captions: images of f30k_precomp, test split"


def test_two_protocols(runs: list[Path]) -> None:
    done = invoke(runs[0], "--fold5", "--protocol", "flickr8k-cf")
    assert done.exit_code == 2
    assert "are two protocols" in done.stderr
    done = invoke(runs[0], "--protocol", "flickr8k-fc")
    assert done.exit_code == 2
    assert "There is no protocol 'flickr8k-fc'.\nDid you mean 'flickr8k-cf'?" in done.stderr

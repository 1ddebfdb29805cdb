"""What features tell of themselves: that they are not whole yet, and what made them."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import commands
import processes
import pytest
import tiny
from made_pictures import MadeBackbone, extract

import vsezoo
from vsezoo.data.doctor.check import check_data
from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError
from vsezoo.features.extractor import FeatureForm
from vsezoo.features.folder import Shard

FORM = FeatureForm(batch_size=2)


def test_features_that_are_not_whole_say_how_to_go_on(tmp_path: Path) -> None:
    said = r"out: is incomplete.*\nRun the same `vsezoo features` command with --resume"
    extract(tmp_path / "out", form=FORM, shard=Shard(0, 2))
    for read in (lambda: open_data(f"{tmp_path}/out", "train", ("vector",)), lambda: check_data(f"{tmp_path}/out")):
        with pytest.raises(DataError, match=said):
            read()
    extract(tmp_path / "out", form=FORM, shard=Shard(1, 2), splits=["train"])
    assert len(open_data(f"{tmp_path}/out", "train", ("vector",)).image_ids) == 11
    with pytest.raises(DataError, match=said):
        open_data(f"{tmp_path}/out", "dev", ("vector",))
    extract(tmp_path / "out", form=FORM, shard=Shard(1, 2), resume=True)
    assert len(open_data(f"{tmp_path}/out", "dev", ("vector",)).image_ids) == 3
    with pytest.raises(DataError, match=r"has no split 'tets'\.\nIts splits are train, dev\."):
        open_data(f"{tmp_path}/out", "tets", ("vector",))


def test_a_file_of_that_name_alone_says_nothing(tmp_path: Path) -> None:
    tiny.write_data(tmp_path / "data")
    for content in ("{}", "[", '{"format": "vsezoo-features", "format_version": 1, "splits": {"train": {}}}'):
        (tmp_path / "data" / "features.json").write_text(content)
        assert open_data(f"{tmp_path}/data", "train", ("vector",)).extraction == {}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    extract(folder / "same")
    vsezoo.train("vsepp", f"{folder}/same", output=folder / "run", settings=tiny.SETTINGS, device="cpu")
    return folder


@pytest.mark.slow
def test_features_of_the_same_kind_are_nothing_to_warn_of(trained: Path, tmp_path: Path) -> None:
    """Nor are those of which nobody knows; a warning would be an error here."""
    extract(tmp_path / "halves", form=FeatureForm(dtype="float16", batch_size=3))
    shutil.copytree(trained / "same", tmp_path / "unknown")
    (tmp_path / "unknown" / "features.json").unlink()
    with warnings.catch_warnings(action="error"):
        for folder in (trained / "same", tmp_path / "halves", tmp_path / "unknown"):
            vsezoo.evaluate(trained / "run", f"{folder}/", split="dev")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_size", "normalize", "said"),
    [
        (8, False, r"backbone\.transform\.image_size is 8 and was 16"),
        (16, True, r": normalize is True and was False\. The results"),
    ],
)
def test_other_features_than_those_of_the_training_are_warned_of(
    trained: Path, tmp_path: Path, image_size: int, normalize: bool, said: str
) -> None:
    backbone = MadeBackbone(image_size=image_size)
    extract(tmp_path / "other", backbone=backbone, form=FeatureForm(normalize=normalize))
    told: list[str] = []
    vsezoo.evaluate(trained / "run", f"{tmp_path}/other", split="dev", warn=told.append)
    (text,) = told
    assert text.startswith(
        f"{trained}/run: The features of the split dev of 'other' were extracted differently from those"
    )
    with pytest.warns(UserWarning, match=said):
        vsezoo.evaluate(trained / "run", f"{tmp_path}/other", split="dev")


@pytest.mark.slow
def test_a_training_and_a_search_warn_as_well(trained: Path, tmp_path: Path) -> None:
    extract(tmp_path / "other", backbone=MadeBackbone(image_size=24))
    said = "that the model was trained on: backbone.transform.image_size is 24 and was 16"
    arguments = ("a red ball", "--data", "./other", "--split", "dev")
    found = commands.run_command(tmp_path, "search", trained / "run", *arguments, before=processes.set_cache)
    assert found.code == 0
    assert said in found.stderr
    made = commands.run_command(
        tmp_path, "train", "vsepp", "--data", "./other", "--init", trained / "run", *tiny.make_flags()
    )
    assert made.code == 0, made.stderr
    assert said in made.stderr


@pytest.mark.slow
def test_a_checkpoint_records_what_made_its_features(trained: Path) -> None:
    told = json.loads((trained / "run" / "best" / "config.json").read_bytes())["data"]["extraction"]
    backbone = MadeBackbone().describe()
    assert told["backbone.sha256"] == backbone["sha256"]
    assert told["backbone.transform.image_size"] == 16
    assert "batch_size" not in told

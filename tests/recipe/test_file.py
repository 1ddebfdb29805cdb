"""Recipe files: what `show --json` writes is read as the same recipe, edited or not, and mistakes name the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.errors import RecipeError, UnknownNameError, UsageError
from vsezoo.parts import load_recipe, resolve_recipe
from vsezoo.recipe import Override, Part

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(value: Any) -> Path:
        path = tmp_path / "mine.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


def show(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["show", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vsepp", "vsrn", "kiros-gru", "order", "vsepp-resnet152", "vsepp-tf"])
def test_what_show_writes_is_the_same_recipe(name: str, write: Write) -> None:
    recipe, read = registry.load("models", name), load_recipe(write(show(name)))
    assert resolve_recipe(read) == resolve_recipe(recipe)
    assert (read.overrides, read.paper, read.published) == (recipe.overrides, recipe.paper, recipe.published)


@pytest.mark.slow
def test_what_the_file_does_not_change_is_left_to_the_data(write: Write) -> None:
    path = write(show("vsepp"))
    assert "img_dim" not in load_recipe(path).image_encoder.options  # 4,096 by default
    model = vsezoo.create_model(path, tiny.TinyPairs(), settings={"embed_size": 5})
    assert model.recipe.image_encoder.options["img_dim"] == tiny.WIDTH


def test_values_that_were_edited_count(write: Write) -> None:
    value = show("vsepp")
    value["name"] = "mine"
    value["parts"]["loss"]["options"]["margin"]["value"] = 0.3
    value["parts"]["loss"]["options"]["warmup_epochs"] = 2  # a value as it is
    value["parts"]["schedule"] = {"name": "cosine", "options": {"warmup": 5}}
    value["training"]["num_epochs"] = 7
    value["overrides"] = {"shapes": {"settings": {"training.num_epochs": 1}}}
    recipe = load_recipe(write(value))
    assert recipe.name == "mine"
    assert recipe.loss.options == {"margin": 0.3, "max_violation": True, "warmup_epochs": 2}
    assert recipe.schedule == Part("cosine", {"warmup": 5})
    assert recipe.training.num_epochs == 7
    assert recipe.overrides == {"shapes": Override({"training.num_epochs": 1}, "")}


def test_overrides_that_show_has_applied_are_not_applied_again(write: Write) -> None:
    value = show("vsepp", "--data", "shapes")
    value["training"]["num_epochs"] = 40
    recipe = load_recipe(write(value))
    assert "shapes" not in recipe.overrides
    assert "f8k_precomp" in recipe.overrides
    assert recipe.for_data("shapes").training.num_epochs == 40
    assert recipe.embed_size == 256


def test_a_default_of_another_version_stays_what_it_was(write: Write) -> None:
    value = show("vsepp")
    value["parts"]["loss"]["options"]["margin"] |= {"value": 0.5, "default": 0.5}
    assert load_recipe(write(value)).loss.options["margin"] == 0.5


def test_a_short_file_has_the_defaults(write: Write) -> None:
    path = write(
        {
            "name": "mine",
            "image_encoder": "precomp",
            "text_encoder": {"name": "gru", "options": {"word_dim": 4}},
            "similarity": "cosine",
            "loss": "hinge",
        }
    )
    recipe = load_recipe(path)
    assert (recipe.embed_size, recipe.training.batch_size, recipe.optimizer) == (1024, 128, Part("adam"))
    assert recipe.text_encoder == Part("gru", {"word_dim": 4})


def test_the_config_of_a_checkpoint_is_one(tmp_path: Path, write: Write) -> None:
    model = tiny.save_model(tmp_path / "run")
    for path in (tmp_path / "run" / "config.json", write(show(str(tmp_path / "run")))):
        assert load_recipe(path).to_json() == model.recipe.to_json()


def _change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            _change("parts", "loss", "options", "margin", "value", to=-1),
            RecipeError,
            "loss.margin is -1; it must be at",
        ),
        (_change("parts", "loss", "options", "marge", to=1), RecipeError, "no option 'marge'.\nDid you mean 'margin'"),
        (_change("parts", "loss", "name", to="hing"), UnknownNameError, "no loss 'hing'.\nDid you mean 'hinge'"),
        (
            _change("parts", "loss", "nam", to="x"),
            RecipeError,
            "loss has the unknown field 'nam'.\nDid you mean 'name'",
        ),
        (
            _change("parts", "schedule", "options", "every", to=0),
            RecipeError,
            "schedule.every is 0; it must be at least",
        ),
        (_change("parts", to=3), RecipeError, "parts is not an object"),
        (_change("embed_sise", to=3), RecipeError, "unknown field 'embed_sise'.\nDid you mean 'embed_size'"),
        (_change("embed_size", to="wide"), RecipeError, "embed_size is 'wide'; it must be of type int or null"),
        (_change("training", "num_epoch", to=3), RecipeError, "unknown field 'num_epoch'.\nDid you mean 'num_epochs'"),
        (_change("training", "precision", to="fp8"), RecipeError, "training.precision is 'fp8'; it must be one of"),
        (_change("overrides", "shapes", to={"settings": {"loss.margn": 1}}), RecipeError, "Did you mean 'margin'"),
        (_change("overrides", "shapes", to={"setting": {}}), RecipeError, "overrides.shapes has the unknown field"),
        (_change("paper", to={"title": "x"}), RecipeError, "paper lacks the field 'authors'"),
        (_change("published", to=3), RecipeError, "published is not a list"),
        (_change("name", to="a/b"), RecipeError, "name is 'a/b'; it must be a word without slashes"),
        (_change("name", to=""), RecipeError, "name is ''"),
    ],
)
@pytest.mark.slow
def test_a_mistake_names_the_file(
    change: Callable[[dict[str, Any]], None], error: type[UsageError], message: str, write: Write
) -> None:
    value = show("vsepp")
    value["published"] = value["published"] or []
    change(value)
    path = write(value)
    with pytest.raises(error) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "is not an object"), ("3", "is not an")])
def test_a_file_of_something_else(text: str, message: str, write: Write) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mine\.json: cannot be read: No such file"):
        load_recipe(tmp_path / "mine.json")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny.write_data(tmp_path / "data")


@pytest.mark.slow
def test_a_file_is_trained_shown_and_resumed(
    tmp_path: Path, data: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = show("vsepp")
    value["name"] = "mine"
    path = write(value)
    result = vsezoo.train(path, data, settings=tiny.SETTINGS, device="cpu")
    assert result.checkpoint == Path("runs/mine-data/best")
    assert vsezoo.load("runs/mine-data").recipe.name == "mine"
    assert "vsezoo train config.json --data ./data" in (result.checkpoint / "README.md").read_text(encoding="utf-8")
    for model in (path, "mine"):  # nobody registers this name; the run knows the recipe
        resumed = vsezoo.train(model, output="runs/mine-data", resume=True, settings={"training.num_epochs": 2})
        assert resumed.evaluation == result.evaluation
    with pytest.raises(UsageError, match=r"other: contains no training run to continue\."):
        vsezoo.train("mine", data, output=tmp_path / "other", resume=True)
    with pytest.raises(UnknownNameError, match="There is no model 'mine'"):
        vsezoo.train("mine", data, output=tmp_path / "other")
    done = CliRunner().invoke(main, ["show", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("mine: ")
    assert "mine.json" in done.stdout.splitlines()[1]
    assert show(str(path))["file"] == str(path)
    assert resolve_recipe(load_recipe(write(show(str(path))))) == resolve_recipe(load_recipe(path))


def test_keywords_of_create_model_are_an_earlier_form() -> None:
    with pytest.warns(DeprecationWarning, match="Pass settings="):
        model = vsezoo.create_model("vsepp", tiny.TinyPairs(), embed_size=5, loss__margin=0.3)
    assert (model.recipe.embed_size, model.recipe.loss.options["margin"]) == (5, 0.3)

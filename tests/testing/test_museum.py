"""Each check fails on a plugin that is made wrong on purpose, and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import museum_image_encoders
import museum_indexes  # noqa: F401
import museum_layouts
import museum_optimization  # noqa: F401
import museum_others
import museum_scores
import museum_text_encoders  # noqa: F401
import processes
import pytest
from museum import EXHIBITS, Exhibit
from torch import Tensor

from vsezoo import registry
from vsezoo.construction import create_model
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.testing import KITS, ConformanceError, Failure, check
from vsezoo.testing.kit import make_checks
from vsezoo.testing.samples import SamplePairs


@pytest.fixture(autouse=True)
def _in_the_museum(monkeypatch: pytest.MonkeyPatch, museum_folder: Path) -> None:
    """Recipes of the museum find its parts; importers find a file."""
    for part in (museum_image_encoders.ReadsNumbers, museum_image_encoders.ForgottenMean):
        registry.register("image_encoders", part.__name__)(part)
    registry.register("losses", "CountsImages")(museum_scores.CountsImages)
    monkeypatch.chdir(museum_folder)


@pytest.fixture(scope="module")
def museum_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("museum")
    with registry.session():
        registry.register("models", "museum-model")(museum_others.SOUND)
        museum_others.SoundImporter().write(create_model("museum-model", SamplePairs()), folder / "model.npz")
    museum_layouts.write_example(folder / "pictures")
    return folder


def find_failures(shown: Exhibit) -> tuple[Failure, ...]:
    try:
        make_checks(shown.kit.list_checks())
    except ConformanceError as error:
        return error.failures
    return ()


def list_exhibits() -> Iterator[Any]:
    for shown in EXHIBITS:
        processes = {"light", "processes"} & {check.name for check in shown.kit.list_checks()}
        yield pytest.param(shown, id=shown.name, marks=[pytest.mark.process] if processes else [])


@pytest.mark.slow
@pytest.mark.parametrize("shown", list(list_exhibits()))
def test_an_exhibit_fails_the_checks_that_it_was_made_for(shown: Exhibit) -> None:
    if "processes" in shown.fails:
        processes.start_server()
    failures = find_failures(shown)
    assert {failure.check for failure in failures} == shown.fails, "\n".join(map(str, failures))
    assert len(failures) == len(shown.fails)
    for failure in failures:
        assert failure.expected
        assert failure.came
        assert failure.remedy


def test_every_check_has_an_exhibit() -> None:
    """But for those that the parts of a model share, of which one kind is enough."""
    shown = {check for exhibit in EXHIBITS for check in exhibit.fails}
    for kind in KITS:
        of_kind = [exhibit for exhibit in EXHIBITS if exhibit.subject.kind == kind]
        assert any(not exhibit.fails for exhibit in of_kind), f"no sound one among the {kind}"
        made = {check.name for exhibit in of_kind for check in exhibit.kit.list_checks()}
        assert made <= shown, kind


def test_the_documentation_names_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", page, flags=re.MULTILINE))
    made = {check.name for exhibit in EXHIBITS for check in exhibit.kit.list_checks()}
    assert documented == made


class Raises(Loss):
    """Fails by itself, in no check of its own."""

    def forward(self, scores: Tensor, images: Tensor, texts: Tensor, batch: Batch) -> LossOutput:
        raise KeyError("margin")


def test_an_exception_is_told_before_the_advice_of_the_check() -> None:
    with pytest.raises(ConformanceError) as caught:
        check(Raises)
    (failure,) = caught.value.failures
    assert (failure.check, failure.came.startswith("KeyError: 'margin' (line ")) == ("construction", True)
    assert re.match(r"Correct line \d+, which raised before there was a result to check. Otherwise: ", failure.remedy)


def test_a_message_of_vsezoo_brings_its_own_remedy() -> None:
    with pytest.raises(ConformanceError) as caught:
        check("losses", "hinge", options={"marge": 0.1})
    (failure,) = caught.value.failures
    assert failure.remedy.startswith("Did you mean 'margin'?")

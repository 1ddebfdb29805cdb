"""Layouts that plugins register: for folders of one's own, next to vsezoo's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from picture_folders import list_shades, open_error, open_split, show, write_pictures

from vsezoo import registry
from vsezoo.data.doctor.check import check_data
from vsezoo.data.lookup import find_source, open_data
from vsezoo.data.source import OpenOptions
from vsezoo.features.pictures import find_pictures
from vsezoo.registry.audit.api import PluginWarning

LAYOUT = """
import functools

from vsezoo.data.pictures.listing import CaptionedImage, Listing


def find(folder, names):
    return functools.partial(read, folder) if "{file}" in names else None


def read(folder):
    splits = {{}}
    for line in (folder / "{file}").read_text().splitlines():
        split, image, caption = line.split("|")
        splits.setdefault(split, []).append(CaptionedImage(image, [caption]))
    return Listing(folder, folder / "{file}", splits)
"""


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def add_layout(install: Callable[..., Path]) -> Callable[..., None]:
    """Install the plugin NAME-plugin with the layout NAME."""

    def add(name: str, file: str = "bars.txt", source: str | None = None) -> None:
        module = f"made_{name}"
        entry_points = {"layouts": {name: f"{module}:find"}}
        install(f"{name}-plugin", entry_points, {module: source or LAYOUT.format(file=file)})

    return add


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_pictures(folder, ["a.png", "b.png", "c.png", "d.png"])
    lines = ["train|a.png|a dog", "train|b.png|a cat", "dev|c.png|a cow", "test|d.png|a horse"]
    (folder / "bars.txt").write_text("\n".join(lines))
    return folder


def test_a_folder_of_a_plugins_layout(folder: Path, add_layout: Callable[..., None]) -> None:
    assert "were not found" in str(open_error_of(folder))
    add_layout("bars")
    pairs = open_split(folder)
    assert show(pairs) == {"a.png": ["a dog"], "b.png": ["a cat"]}
    assert list_shades(pairs) == [1, 2]
    assert find_source(f"{folder}/").list_splits() == ["train", "dev", "test"]


def open_error_of(folder: Path) -> BaseException:
    with pytest.raises(Exception, match="photos") as caught:
        open_data(f"{folder}/", "train")
    return caught.value


def test_the_doctor_and_the_extraction_of_features_know_it(folder: Path, add_layout: Callable[..., None]) -> None:
    add_layout("bars")
    write_pictures(folder / "more", ["e.png"])
    report = check_data(str(folder), vocab_threshold=1)
    (finding,) = (finding for finding in report.findings if "without a split" in finding.what)
    assert finding.at == ("more/e.png",)
    assert "bars.txt" in finding.remedy
    found = find_pictures(str(folder))
    assert list(found.names) == ["train", "dev", "test"]
    assert found.open("dev", OpenOptions()).captions == ["a cow"]


def test_a_plugin_changes_no_folder_that_vsezoo_knows(folder: Path, add_layout: Callable[..., None]) -> None:
    (folder / "captions.csv").write_text("image,caption,split\na.png,own,train\n")
    add_layout("bars")
    assert show(open_split(folder)) == {"a.png": ["own"]}


def test_two_plugins_that_know_a_folder(folder: Path, add_layout: Callable[..., None]) -> None:
    add_layout("bars")
    add_layout("rods")
    message = open_error(folder)
    assert "is recognised by several layouts: bars-plugin:bars and rods-plugin:rods." in message
    assert "VSEZOO_PLUGINS" in message


def test_two_plugins_of_which_one_is_allowed(
    folder: Path, add_layout: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_layout("bars")
    add_layout("rods")
    monkeypatch.setenv("VSEZOO_PLUGINS", "rods-plugin")
    registry.list_distributions.cache_clear()
    assert len(open_split(folder).captions) == 2


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "cannot be loaded from made_broken:find: ZeroDivisionError"),
        ("def find(folder, names): return names['x']", "layout 'broken' of broken-plugin 1.0 fails: TypeError"),
    ],
)
def test_a_layout_that_fails_stops_no_other(
    source: str, reason: str, folder: Path, add_layout: Callable[..., None]
) -> None:
    add_layout("broken", source=source)
    add_layout("bars")
    with pytest.warns(PluginWarning, match=reason):
        pairs = open_split(folder)
    assert len(pairs.captions) == 2


def test_a_folder_that_no_layout_knows_names_those_of_plugins(tmp_path: Path, add_layout: Callable[..., None]) -> None:
    add_layout("bars")
    write_pictures(tmp_path / "photos", ["a.png"])
    assert "or a layout of a plugin (bars)" in str(open_error_of(tmp_path / "photos"))


def test_a_layout_of_a_session(folder: Path) -> None:
    @registry.register("layouts", "rest")
    def find(place: Path, names: list[str]) -> Callable[[], object] | None:
        asked.append((place, names))
        return None

    asked: list[tuple[Path, list[str]]] = []
    open_error_of(folder)
    assert asked == [(folder, ["a.png", "b.png", "bars.txt", "c.png", "d.png"])]

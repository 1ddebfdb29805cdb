"""What installed distributions register, read with and without `importlib.metadata`."""

from __future__ import annotations

import os
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vsezoo.registry.installed import find_metadata, read_entry_points

POINTS = "[vsezoo.models]\nmine = pack.module:recipe\n"


def make_distribution(folder: Path, name: str = "made-1.0.dist-info", entry_points: str = POINTS) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "entry_points.txt").write_text(entry_points)
    (folder / name / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
    return folder / name


def list_found() -> list[tuple[str, str, str, str]]:
    found = find_metadata("vsezoo.")
    return [(one.folder, os.path.realpath(one.location), one.entry_points, one.fields) for one in found]


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            [
                "[vsezoo.models]",
                "[other]",
                "[vsezoo.losses]",
                "a = b:c",
                " b=d:e [x]",
                "# no",
                "",
                "x = y = z",
                "[",
                "a]",
            ]
        ),
        max_size=9,
    )
)
def test_entry_points_are_those_of_importlib(lines: list[str]) -> None:
    text = "\n".join(lines)
    groups = metadata.EntryPoints._from_text_for  # type: ignore[attr-defined]  # the one way that needs no files
    try:
        ours = list(read_entry_points(text, "vsezoo."))
    except ValueError:
        with pytest.raises(TypeError):
            list(groups(text, None))
        return
    try:
        theirs = [(point.group, point.name, point.value) for point in groups(text, None)]
    except TypeError:  # a line without an equals sign in a group that is not ours
        assert any("=" not in line for line in lines)
        return
    assert ours == [point for point in theirs if point[0].startswith("vsezoo.")]


def test_folders_have_what_importlib_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_distribution(tmp_path / "one")
    make_distribution(tmp_path / "two", "old.egg-info")
    make_distribution(tmp_path / "two", "no-2.dist-info", "[console_scripts]\nx = y:z\n")
    (tmp_path / "two" / "empty-1.dist-info").mkdir()
    (tmp_path / "two" / "file.egg-info").write_text("Name: file\n")
    plain = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "absent")]
    monkeypatch.setattr(sys, "path", plain)
    found = list_found()
    assert [folder for folder, *_ in found] == ["made-1.0.dist-info", "old.egg-info"]
    with zipfile.ZipFile(tmp_path / "archive.zip", "w"):
        pass
    monkeypatch.setattr(sys, "path", [*plain, str(tmp_path / "archive.zip")])  # from here on by importlib.metadata
    assert list_found() == found


def test_a_distribution_in_an_archive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_distribution(tmp_path)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for file in made.iterdir():
            archive.write(file, f"made-1.0.dist-info/{file.name}")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "archive.zip")])
    ((folder, _, entry_points, fields),) = list_found()
    assert (folder, entry_points) == ("made-1.0.dist-info", POINTS)
    assert "Name: made" in fields


def test_the_current_folder_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_distribution(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [""])
    assert [found.location for found in find_metadata("vsezoo.")] == ["."]


def test_a_distribution_that_another_finder_knows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder(metadata.DistributionFinder):
        def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
            return None

        def find_distributions(
            self,
            context: metadata.DistributionFinder.Context = metadata.DistributionFinder.Context(),  # noqa: B008
        ) -> list[metadata.Distribution]:
            return [metadata.PathDistribution(make_distribution(tmp_path))] if not list(tmp_path.iterdir()) else []

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert [folder for folder, *_ in list_found() if folder.startswith("made")] == ["made-1.0.dist-info"]

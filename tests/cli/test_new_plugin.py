"""`vsezoo new-plugin`: what it refuses, and that what it writes works as it is, for every kind."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import processes
import pytest
from click.testing import CliRunner, Result
from commands import call_vsezoo, install
from processes import assert_one_message

from vsezoo import registry
from vsezoo.cli import main
from vsezoo.registry import API_VERSION
from vsezoo.scaffold.examples import EXAMPLES

ALL = "made-all"


def write(folder: Path, name: str, *kinds: str) -> Result:
    flags = [word for kind in kinds for word in ("--kind", kind)]
    return CliRunner().invoke(main, ["new-plugin", name, *flags, "--output", str(folder / name)], prog_name="vsezoo")


def read_points(folder: Path) -> Mapping[str, Mapping[str, str]]:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points: Mapping[str, Mapping[str, str]] = project["entry-points"]
    return points


def pretend_to_install(folder: Path) -> Path:
    """Write what an installation of the package leaves, and return the folder to put on Python's path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    fields = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(fields, encoding="utf-8")
    groups = [[f"[{group}]", *map(" = ".join, points.items())] for group, points in project["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(line for group in groups for line in group), encoding="utf-8")
    return folder / "src"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package of each kind, and one of all kinds, by their names."""
    folder = tmp_path_factory.mktemp("packages")
    wanted = {f"made-{kind}": (kind,) for kind in EXAMPLES} | {ALL: tuple(EXAMPLES)}
    for name, kinds in wanted.items():
        done = write(folder, name, *kinds)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == f"{folder / name}\n"
        pretend_to_install(folder / name)
    return {name: folder / name for name in wanted}


@pytest.fixture
def path(packages: dict[str, Path]) -> tuple[Path, ...]:
    return tuple(folder / "src" for folder in packages.values())


@pytest.mark.slow
def test_every_name_is_registered_and_can_be_loaded(path: tuple[Path, ...]) -> None:
    with install(path):
        entries = [(kind, entry) for kind in registry.KINDS for entry in registry.list_entries(kind)]
        made = [(kind, entry) for kind, entry in entries if entry.name.startswith("made-")]
        for _, entry in made:
            entry.load()
    found = {(kind, entry.name, entry.distribution, entry.api_version) for kind, entry in made}
    assert found == {
        (example.group, name, name, API_VERSION) for kind, example in EXAMPLES.items() for name in (f"made-{kind}", ALL)
    } | {("models", f"made-{kind}", f"made-{kind}", API_VERSION) for kind in EXAMPLES}
    listed = json.loads(call_vsezoo("list-models", "made-*", "--json", path=path).stdout)
    assert {model["name"] for model in listed} == {ALL, *(f"made-{kind}" for kind in EXAMPLES)}


def run_tests(path: list[str], arguments: list[str]) -> None:
    """Run pytest in a process of its own, as in a Python that these folders are installed into."""
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "PYTEST_ADDOPTS": ""}
    sys.path[:0] = path
    registry.list_distributions.cache_clear()
    os.chdir(Path(arguments[-1]).parent)
    with Path("printed").open("w", encoding="utf-8") as stream:
        for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(stream.fileno(), descriptor)
    sys.exit(pytest.main(arguments))


@pytest.mark.process
def test_their_tests_pass(packages: dict[str, Path], path: tuple[Path, ...]) -> None:
    """Every test of the package of all kinds; of the others, whose parts are the same, what is said of the model."""
    options = ["-q", "--import-mode=importlib", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    chosen = f"{ALL} or construction or json"
    arguments = [*options, "-k", chosen, *map(str, packages.values())]
    code = processes.finish(processes.start(run_tests, [*map(str, path)], arguments))
    printed = (packages[ALL].parent / "printed").read_text(encoding="utf-8")
    assert code == 0, printed
    assert f"{ALL}/" not in printed  # nothing is said of a test that passes


@pytest.mark.process
@pytest.mark.parametrize("name", ["made-x", "made-quite-quite-quite-quite-quite-quite"])
def test_they_are_as_ruff_wants_them(tmp_path: Path, name: str) -> None:
    """Whatever the length of the name, and by the settings that the package has."""
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is wanted")
    assert write(tmp_path, name, *EXAMPLES).exit_code == 0
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        command = [sys.executable, "-m", "ruff", *check, "."]
        done = subprocess.run(command, cwd=tmp_path / name, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_without_a_kind_there_is_an_image_encoder_and_a_model_of_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new-plugin", "made-it", "--output", str(tmp_path / "it")], prog_name="vsezoo")
    assert result.exit_code == 0
    assert f"cd {tmp_path / 'it'}" in result.stderr
    assert read_points(tmp_path / "it") == {
        "vsezoo.api": {str(API_VERSION): "made_it"},
        "vsezoo.image_encoders": {"made-it": "made_it.image_encoder:AttentionImageEncoder"},
        "vsezoo.models": {"made-it": "made_it.recipes:recipe"},
    }
    assert 'image_encoder=Part("made-it")' in (tmp_path / "it/src/made_it/recipes.py").read_text(encoding="utf-8")
    assert not list((tmp_path / "it").rglob("*.jinja"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-Model", "'My-Model' cannot be the name of a plugin"),
        ("my_model", "'my_model' cannot be the name of a plugin"),
        ("2d", "'2d' cannot"),
        ("a--b", "'a--b' cannot"),
        ("../up", r"'\.\./up' cannot"),
        ("x" * 41, "up to 40 lower-case letters"),
        ("lambda", "'lambda' is a keyword of Python"),
        ("vsepp", "The model 'vsepp' is already registered by vsezoo"),
        ("numpy", r"numpy \S+ is already installed"),
        ("json", "already a Python module 'json'"),
        ("vsezoo-order", "already a Python module 'vsezoo_order'"),
    ],
)
def test_a_name_that_is_refused(tmp_path: Path, name: str, message: str) -> None:
    assert_one_message(write(tmp_path, name), 2, message)
    assert not list(tmp_path.iterdir())


def test_a_name_that_only_its_kind_has_taken(tmp_path: Path) -> None:
    assert_one_message(write(tmp_path, "hinge", "loss"), 2, "The loss 'hinge' is already registered by vsezoo")
    assert write(tmp_path, "hinge").exit_code == 0  # an image encoder of this name is another thing


def test_a_kind_that_there_is_not(tmp_path: Path) -> None:
    done = write(tmp_path, "made-it", "encoder")
    assert done.exit_code == 2
    assert "is not one of 'image-encoder'" in done.stderr
    assert write(tmp_path, "made-it", "image_encoder").exit_code == 0  # underscores, as everywhere


def test_a_folder_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "made-it"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    assert_one_message(write(tmp_path, "made-it"), 2, f"{folder}: is not empty")
    assert [item.name for item in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    monkeypatch.chdir(folder)  # an empty one is not, be it the present one
    done = CliRunner().invoke(main, ["new-plugin", "made-it", "--output", "."], prog_name="vsezoo")
    assert done.exit_code == 0
    assert (folder / "pyproject.toml").is_file()
    assert [item.name for item in tmp_path.iterdir()] == ["made-it"]
    (tmp_path / "file").touch()
    assert_one_message(
        CliRunner().invoke(main, ["new-plugin", "made-it", "--output", str(tmp_path / "file")]), 2, "is a file"
    )


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_up)
    assert_one_message(write(tmp_path, "made-it"), 1, "cannot be written: No space left on device")
    assert not list(tmp_path.iterdir())


def test_every_kind_of_the_registry_has_an_example() -> None:
    written_by_hand = {
        "checkpoints",
        "indexes",
        "layouts",
        "openers",
        "optimizers",
        "protocols",
        "schedules",
    }  # a few lines, in docs/plugins.md
    assert {example.group for example in EXAMPLES.values()} == set(registry.KINDS) - written_by_hand

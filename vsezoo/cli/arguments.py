"""Types of arguments and options: what they name is checked before torch is imported, and completed by the shell.

A misspelt name is answered in a fraction of the second that importing torch takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo import registry
from vsezoo.errors import VsezooError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Named(click.ParamType[str]):
    """A name of something, a folder or a file; completed with the known names first.

    Args:
        name: as the help of a type calls it.
        suffix: the end of files that are completed too; empty: folders alone.
    """

    def __init__(self, name: str, suffix: str = "") -> None:
        self.name = name
        self._suffix = suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value unchanged.

        Raises:
            VsezooError: if it names nothing.
        """
        self.check(value)
        return value

    def check(self, value: str) -> None:
        """Raise an error for a value that names nothing; here, anything is accepted."""

    def list_known(self) -> Iterable[str]:
        """Return the names to complete."""
        return ()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the known names, the folders and the files that begin with what has been typed."""
        names = [name for name in self.list_known() if name.startswith(incomplete)]
        return _complete(dict.fromkeys([*names, *_list_paths(incomplete, self._suffix)]))


class _Model(_Named):
    """A registered model, or a recipe file."""

    def list_known(self) -> list[str]:
        return registry.list_models()


class _Dataset(_Named):
    """A registered data set, or a folder."""

    def list_known(self) -> list[str]:
        from vsezoo.data.lookup import list_near_folders

        return [*registry.list_datasets(), *map(str, list_near_folders())]


class _CheckedDataset(_Dataset):
    def check(self, value: str) -> None:
        from vsezoo.data.lookup import require_data

        require_data(value)


class _Checkpoint(_Named):
    """A checkpoint: a folder, a reference to the Hub, or a registered name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value unchanged; with `vsezoo search --at`, a service has the checkpoint, and it is the query."""
        # Of an option that is not given, click 8.3 has an object that is true.
        asks_service = ctx is not None and isinstance(ctx.params.get("at"), str)
        return value if asks_service else super().convert(value, param, ctx)

    def check(self, value: str) -> None:
        from vsezoo.checkpoints.locate import require_existence

        require_existence(value)

    def list_known(self) -> list[str]:
        from vsezoo.checkpoints.locate import list_runs

        return [*map(str, list_runs()), *registry.list_names("checkpoints")]


class _Shown(_Checkpoint, _Model):
    """What `vsezoo show` shows: a model, a recipe file, a checkpoint."""

    check = _Named.check  # says what is near a misspelt name itself

    def list_known(self) -> list[str]:
        return [*_Model.list_known(self), *_Checkpoint.list_known(self)]


class _Collection(_Named):
    """Files of what is searched or embedded.

    Args:
        name: as the help of a type calls it.
        suffix: see `_Named`.
        remedy: what to name.
    """

    def __init__(self, name: str, suffix: str, remedy: str) -> None:
        super().__init__(name, suffix)
        self._remedy = remedy

    def check(self, value: str) -> None:
        from vsezoo.storage.plain_file import require_path

        require_path(Path(value), self._remedy)


class _Setting(click.ParamType[str]):
    """An assignment `NAME=VALUE`, of which the name is completed."""

    name = "setting"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the settings of the model on the command line, or of any model."""
        from vsezoo.recipe import PART_KINDS, TRAINING_FIELDS, TRAINING_PARTS

        names = ["embed_size", "pretrained", *PART_KINDS, *TRAINING_PARTS]
        names += [f"training.{field}" for field in TRAINING_FIELDS]
        # An option without its value, which is being typed, stops click before it assigns the arguments.
        model = next(filter(None, [ctx.params.get("model"), *ctx.args]), "")
        kind, dot, _ = incomplete.partition(".")
        if dot and kind in (*PART_KINDS, *TRAINING_PARTS):
            names += [f"{kind}.{option}" for option in _list_part_options(model, kind)]
        return _complete(f"{name}=" for name in sorted(names) if name.startswith(incomplete))


class PartName(_Named):
    """The name of a registered part, of which a misspelt one is found when the recipe is changed.

    Args:
        group: of the registry, such as `losses`.
    """

    def __init__(self, group: str) -> None:
        super().__init__("name")
        self._group = group

    def list_known(self) -> list[str]:
        """Return the names of the group."""
        return registry.list_names(self._group)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the registered names."""
        return _complete(name for name in self.list_known() if name.startswith(incomplete))


MODEL = _Model("model", suffix=".json")
SHOWN = _Shown("model", suffix=".json")
DATASET = _CheckedDataset("dataset")
UNCHECKED_DATASET = _Dataset("dataset")
"""For a command that checks something else before it."""
CHECKPOINT = _Checkpoint("checkpoint")
IMAGES = _Collection("images", ".npy", "Name a folder of pictures, a picture, or a .npy file of features.")
TEXTS = _Collection("sentences", ".txt", "Name a file of sentences.")
SETTING = _Setting()


def _list_part_options(model: str, kind: str) -> Iterable[str]:
    """Return the options of a part of a model, which its constructor declares; none of what cannot be loaded."""
    from vsezoo.parts import GIVEN, list_options, load_part, load_recipe  # imports torch

    try:
        recipe = load_recipe(model)
        part = recipe.to_json()[kind]
        return list_options(load_part(recipe, kind), part["options"], GIVEN[kind])
    except VsezooError:
        return ()


def _list_paths(incomplete: str, suffix: str) -> Sequence[str]:
    """Return the folders, with a slash at their end, and the files with the suffix, that begin with a text."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except (OSError, RuntimeError):  # the latter for the home of an unknown user
        return []
    shown = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    folders = {entry for entry in shown if entry.is_dir()}
    files = {entry for entry in shown if suffix and entry.name.endswith(suffix)}
    return [folder + slash + entry.name + "/" * (entry in folders) for entry in shown if entry in folders | files]


def _complete(texts: Iterable[str]) -> list[CompletionItem]:
    """Return texts as what the shell may complete."""
    from click.shell_completion import CompletionItem  # needed in a shell's own calls alone

    return list(map(CompletionItem, texts))

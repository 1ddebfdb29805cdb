"""Convert files of other codebases to checkpoint folders, and back.

Importers are registered in the group `vsezoo.importers` and chosen by the content of the file. Everything is read and
built before anything is written, and nothing is overwritten without `overwrite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.conversion.importer import Importer, Source
from vsezoo.conversion.recognition import find_importer, guard
from vsezoo.data.lookup import find_source
from vsezoo.errors import CheckpointError, StorageError, UsageError, report_system_errors, suggest_name
from vsezoo.hub.reference import parse_reference
from vsezoo.parts import accepted_kinds
from vsezoo.storage.atomic_file import flush, require_replaceable
from vsezoo.storage.atomic_folder import make_temporary
from vsezoo.storage.checkpoint_layout import CONFIG, UNKNOWN_DATA, is_foreign_folder

VOCAB, DATA = "vocab", "data"
"""Options of importers that have their own flag."""


@dataclass(frozen=True)
class Conversion:
    """The result of `convert`.

    Attributes:
        checkpoint: the checkpoint folder.
        config: its `config.json`, with its origin under `converted`.
    """

    checkpoint: Path
    config: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value printed by `vsezoo convert --json`."""
        return {
            "checkpoint": str(self.checkpoint),
            "model": self.config["recipe"]["name"],
            "data": self.config["data"],
            **self.config["converted"],
        }


@report_system_errors
def convert(
    path: str | Path,
    output: str | Path | None = None,
    *,
    format: str | None = None,
    vocab: str | Path | None = None,
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Convert files of another codebase to a checkpoint folder. Nothing in them is executed.

    Args:
        path: the file or folder of the weights; files that belong to it are looked for next to it. Or
            `hub:org/name[@revision]`.
        output: the checkpoint folder; None: `runs/NAME`, from the name of the file.
        format: name of the importer; None: the one that recognises the content.
        vocab: the vocabulary file, if the importer does not find it.
        data: the training data set, if the files do not name it or name another one.
        options: options of the importer, see `Importer.options`.
        overwrite: replace an existing checkpoint folder.

    Returns:
        the folder and its configuration.

    Raises:
        UsageError: for a path that does not exist or is already a vsezoo checkpoint, a file of several formats, an
            invalid option, or an output that exists.
        CheckpointError: for a file that no importer recognises, or that is damaged, incomplete or unsupported.
        StorageError: when the folder cannot be written.
    """
    _refuse_checkpoint(path)
    target = Path(output) if output is not None else _choose_output(path)
    _require_free(target, Path(path), overwrite)
    source = Source.from_reference(path, vocab)
    data = None if data is None else find_source(data).name
    entry, importer = find_importer(source, format)
    chosen = _choose_options(entry.label, importer, dict(options or {}), vocab, data)
    with guard(source, entry):
        imported = importer.read(source, chosen)
        model = imported.build(source)
        loss = imported.build_loss(source, model)
        known = {"name": UNKNOWN_DATA, "kind": accepted_kinds(model.recipe)[0], "image_shape": [], **imported.data}
        converted = {
            "format": entry.name,
            "distribution": entry.distribution,
            "version": entry.version,
            **({} if parse_reference(source.reference) is None else {"source": source.reference}),
            "files": source.digest(),
            # The folder may be shared: store only the name of a path.
            "options": {**chosen, VOCAB: Path(chosen[VOCAB]).name} if VOCAB in chosen else chosen,
            "notes": dict(imported.notes),
        }
        known = known if data is None else {**known, "name": data}
        save_checkpoint(target, model, known, {}, loss=loss, converted=converted)
    return Conversion(target, Checkpoint.open(target).config)


@report_system_errors
def export(
    reference: str | Path,
    format: str,
    output: str | Path | None = None,
    *,
    data: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Export a checkpoint to the format of another codebase.

    Args:
        reference: the checkpoint, as for `vsezoo.load`.
        format: name of the importer that writes it.
        output: the file of the weights, next to which others may be written; None: the usual name of the codebase, in
            the current folder.
        data: name of the training data in the files; None: the name in the checkpoint.
        overwrite: replace existing files.

    Returns:
        the files, the weights first.

    Raises:
        UsageError: for a format that cannot be written, a model that it does not support, or existing files.
        CheckpointError: for a checkpoint that cannot be read.
        StorageError: when a file cannot be written.
    """
    importer: Importer = registry.load("importers", format)()
    if parse_reference(reference) is None and Path(reference).is_file():
        problem = "is a file, but only a vsezoo checkpoint can be exported."
        raise UsageError(problem, file=reference, remedy=f"Convert it first: vsezoo convert {reference}")
    checkpoint = Checkpoint.open(reference)
    model = checkpoint.model()
    if data is None:
        known = str(checkpoint.config["data"].get("name"))
        data = "" if known == UNKNOWN_DATA else known
    target = Path(output) if output is not None else Path(importer.file_name)
    if target.is_dir():
        raise UsageError("is a folder, not a file.", file=target, remedy="Give the path of the output file.")
    with make_temporary(target) as temporary:
        try:
            written = importer.write(model, temporary / target.name, data)
        except StorageError as error:  # the path of the temporary file would only confuse
            raise StorageError(error.problem, file=target, remedy=error.remedy) from error
        files = [target.parent / file.name for file in written]
        for file in files:
            require_replaceable(file)
            if file.exists() and not overwrite:
                remedy = "Choose another --output, or replace it with --overwrite."
                raise UsageError("already exists.", file=file, remedy=remedy)
        for file, place in zip(written, files, strict=True):
            flush(file)
            file.replace(place)
    return files


def _refuse_checkpoint(path: str | Path) -> None:
    """Raise UsageError for a checkpoint of vsezoo, the folder of a run, or a file of a checkpoint."""
    if parse_reference(path) is not None:
        return  # checked after the download
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    if is_foreign_folder(folder):
        return
    try:
        checkpoint = Checkpoint.open(folder)
    except CheckpointError:
        return
    if not place.is_dir() and place.name not in (CONFIG, *checkpoint.config["files"]):
        return
    raise UsageError(
        "is already a checkpoint of vsezoo.",
        file=path,
        remedy=f"Use it directly: vsezoo eval {checkpoint.folder}. Or export it for another codebase: --to FORMAT",
    )


def _choose_output(path: str | Path) -> Path:
    """Return the default output folder of a conversion: `runs/model_best` for `model_best.pth.tar`."""
    on_hub = parse_reference(path)
    if on_hub is not None:
        return Path("runs") / on_hub.repository.rpartition("/")[2]
    name = Path(path).absolute().name
    return Path("runs") / (name.partition(".")[0] or name)


def _require_free(target: Path, source: Path, overwrite: bool) -> None:
    """Raise UsageError for an existing output that may not be replaced: only checkpoints without the source may."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError("is a file, not a folder.", file=target, remedy="Choose another --output.")
    if not overwrite:
        raise UsageError(
            "already exists.", file=target, remedy="Choose another --output, or replace it with --overwrite."
        )
    if not (target / CONFIG).is_file() or target.resolve() in (source.resolve(), *source.resolve().parents):
        problem = "is not replaced: it is not a checkpoint, or it contains the input file."
        raise UsageError(problem, file=target, remedy="Choose another --output.")


def _choose_options(
    name: str, importer: Importer, options: dict[str, Any], vocab: str | Path | None, data: str | None
) -> dict[str, Any]:
    """Return the options of the importer; raise UsageError for unknown ones."""
    if vocab is not None:
        options[VOCAB] = vocab
    if data is not None and DATA in importer.options:
        options[DATA] = data
    for option in options:
        if option not in importer.options:
            known = "; ".join(f"{option}: {line}" for option, line in importer.options.items()) or "none"
            raise UsageError(
                f"The format {name!r} has no option {option!r}.",
                remedy=suggest_name(option, importer.options, f"Its options: {known}."),
            )
    if VOCAB in options:  # relative to the working folder, not to the folder of the checkpoint
        options[VOCAB] = str(Path(options[VOCAB]).absolute())
    return options

"""From the files of another codebase to a checkpoint folder, and back.

The importers are registered in the group `vsezoo.importers`; which one a file is for is told by its content. All is
read and built before anything is written, and nothing is written over unless that is asked for.
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
from vsezoo.errors import CheckpointError, StorageError, UsageError, suggest_name
from vsezoo.hub.reference import parse_reference
from vsezoo.parts import accepted_kinds
from vsezoo.storage.checkpoint_layout import CONFIG, UNKNOWN_DATA
from vsezoo.storage.folders import flush, make_temporary

VOCAB, DATA = "vocab", "data"
"""Options of importers that have a flag of their own."""


@dataclass(frozen=True)
class Conversion:
    """What `convert` has made.

    Attributes:
        checkpoint: the folder.
        config: its `config.json`, where `converted` says what it was made of.
    """

    checkpoint: Path
    config: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return what `vsezoo convert --json` prints."""
        return {
            "checkpoint": str(self.checkpoint),
            "model": self.config["recipe"]["name"],
            "data": self.config["data"],
            **self.config["converted"],
        }


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
    """Make a checkpoint folder of the files of another codebase. Nothing in them is executed.

    Args:
        path: of the file, or of the folder, of the weights; other files that belong to it are looked for beside it. Or
            `hub:org/name[@revision]`.
        output: the checkpoint folder; None: `runs/NAME`, from the name of the file.
        format: the importer that reads it; None: the one that recognises its content.
        vocab: the file of the vocabulary, where the importer does not find it.
        data: the data set that the model was trained on, where the files do not tell it or tell something else.
        options: what else the importer is told, by its `options`.
        overwrite: replace a checkpoint folder that is there.

    Returns:
        the folder and its configuration.

    Raises:
        UsageError: for a path that is not there or a vsezoo checkpoint already, a file of several formats, an
            impossible option, or an output that is taken.
        CheckpointError: for a file that no importer recognises, or that is damaged, incomplete, or cannot be expressed.
        StorageError: when the folder cannot be written.
    """
    _refuse_checkpoint(path)
    target = Path(output) if output is not None else _choose_output(path)
    _require_free(target, Path(path), overwrite)
    source = Source.from_reference(path, vocab)
    data = None if data is None else find_source(data).name
    entry, importer = find_importer(source, format)
    told = _choose_options(entry.label, importer, dict(options or {}), vocab, data)
    with guard(source, entry):
        imported = importer.read(source, told)
        model = imported.build(source)
        loss = imported.build_loss(source, model)
        known = {"name": UNKNOWN_DATA, "kind": accepted_kinds(model.recipe)[0], "image_shape": [], **imported.data}
        converted = {
            "format": entry.name,
            "distribution": entry.distribution,
            "version": entry.version,
            **({} if parse_reference(source.reference) is None else {"source": source.reference}),
            "files": source.digest(),
            # The folder may be shared: of a path, the name alone is anyone's business.
            "options": {**told, VOCAB: Path(told[VOCAB]).name} if VOCAB in told else told,
            "notes": dict(imported.notes),
        }
        known = known if data is None else {**known, "name": data}
        save_checkpoint(target, model, known, {}, loss=loss, converted=converted)
    return Conversion(target, Checkpoint.open(target).config)


def export(
    reference: str | Path,
    format: str,
    output: str | Path | None = None,
    *,
    data: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a checkpoint as another codebase reads it.

    Args:
        reference: the checkpoint, as `vsezoo.load` takes it.
        format: the importer that writes it.
        output: the file of the weights, beside which others may be written; None: as the codebase calls it, in the
            present folder.
        data: what the files call the training data, as far as they do; None: what the checkpoint calls it.
        overwrite: replace files that are there.

    Returns:
        the files, that of the weights first.

    Raises:
        UsageError: for a format that cannot be written, a model that it cannot express, or files that are there.
        CheckpointError: for a checkpoint that cannot be read.
        StorageError: when a file cannot be written.
    """
    importer: Importer = registry.load("importers", format)()
    if parse_reference(reference) is None and Path(reference).is_file():
        problem = "is a file, but what is written for another codebase is a vsezoo checkpoint."
        raise UsageError(problem, file=reference, remedy=f"Make one of it first: vsezoo convert {reference}")
    checkpoint = Checkpoint.open(reference)
    model = checkpoint.model()
    if data is None:
        known = str(checkpoint.config["data"].get("name"))
        data = "" if known == UNKNOWN_DATA else known
    target = Path(output) if output is not None else Path(importer.file_name)
    if target.is_dir():
        raise UsageError("is a folder, not a file.", file=target, remedy="Give the path of the file to write.")
    with make_temporary(target) as temporary:
        try:
            written = importer.write(model, temporary / target.name, data)
        except StorageError as error:  # of a file in the temporary folder, which is not the user's business
            raise StorageError(error.problem, file=target, remedy=error.remedy) from error
        files = [target.parent / file.name for file in written]
        for file in files:
            if file.exists() and not overwrite:
                remedy = "Choose another --output, or replace it with --overwrite."
                raise UsageError("is there already.", file=file, remedy=remedy)
        for file, place in zip(written, files, strict=True):
            flush(file)
            file.replace(place)
    return files


def _refuse_checkpoint(path: str | Path) -> None:
    """Refuse a checkpoint of vsezoo, the folder of a run, and a file of a checkpoint."""
    if parse_reference(path) is not None:
        return  # whoever fetches it looks
    place = Path(path)
    try:
        checkpoint = Checkpoint.open(place if place.is_dir() else place.parent)
    except CheckpointError:
        return
    if not place.is_dir() and place.name not in (CONFIG, *checkpoint.config["files"]):
        return
    raise UsageError(
        "is a checkpoint of vsezoo already.",
        file=path,
        remedy=f"Use it as it is: vsezoo eval {checkpoint.folder}. Or write it for another codebase: --to FORMAT",
    )


def _choose_output(path: str | Path) -> Path:
    """Return the folder of a conversion for which none is named: `runs/model_best` for `model_best.pth.tar`."""
    on_hub = parse_reference(path)
    if on_hub is not None:
        return Path("runs") / on_hub.repository.rpartition("/")[2]
    name = Path(path).absolute().name
    return Path("runs") / (name.partition(".")[0] or name)


def _require_free(target: Path, source: Path, overwrite: bool) -> None:
    """Refuse to write over what is there, and over anything but a checkpoint that does not hold the source."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError("is a file, not a folder.", file=target, remedy="Choose another --output.")
    if not overwrite:
        raise UsageError(
            "is there already.", file=target, remedy="Choose another --output, or replace it with --overwrite."
        )
    if not (target / CONFIG).is_file() or target.resolve() in (source.resolve(), *source.resolve().parents):
        problem = "is not replaced: it is no checkpoint, or it holds the file that is to be converted."
        raise UsageError(problem, file=target, remedy="Choose another --output.")


def _choose_options(
    name: str, importer: Importer, options: dict[str, Any], vocab: str | Path | None, data: str | None
) -> dict[str, Any]:
    """Return what the importer is told; refuse what it does not take."""
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
    if VOCAB in options:  # from the working folder, not from that of the checkpoint
        options[VOCAB] = str(Path(options[VOCAB]).absolute())
    return options

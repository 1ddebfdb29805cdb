"""Which importer a file is for: told by its content, or by name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from vsezoo import registry
from vsezoo.conversion.description import describe, describe_form, is_vocabulary
from vsezoo.conversion.files import open_file, show
from vsezoo.conversion.importer import NOUN, Importer, Source
from vsezoo.conversion.torch_files import LIMIT
from vsezoo.errors import CheckpointError, PluginError, UsageError, VsezooError
from vsezoo.registry import Entry


def list_formats() -> dict[str, Importer | PluginError]:
    """Return the importers by the names of their formats; for one that cannot be loaded, why."""
    formats: dict[str, Importer | PluginError] = {}
    for entry in registry.list_entries("importers"):
        try:
            formats[entry.label] = _make(entry)
        except PluginError as error:
            formats[entry.label] = error
    return formats


def find_importer(source: Source, format: str | None = None) -> tuple[Entry, Importer]:
    """Return the importer of this name, or the one that recognises a file, and its entry in the registry.

    Raises:
        UnknownNameError: for a name that is not registered.
        PluginError: for a name whose importer cannot be loaded.
        UsageError: for a file that several recognise.
        CheckpointError: for a file that none recognises, or that this one does not.
    """
    entries = registry.list_entries("importers") if format is None else [registry.find("importers", format)]
    found: dict[type[Importer], tuple[Entry, Importer]] = {}  # an alias is the same importer
    refusal: CheckpointError | None = None
    for entry in entries:
        try:
            importer = _make(entry)
            with guard(source, entry):
                if importer.recognise(source):
                    found.setdefault(type(importer), (entry, importer))
        except PluginError:
            if format is not None:
                raise
            continue  # it is listed as FAILED, and may not stop the others
        except CheckpointError as error:
            refusal = refusal or error
    if len(found) > 1:
        names = [entry.label for entry, _ in found.values()]
        raise UsageError(
            f"may be of several formats: {', '.join(names)}.",
            file=source.reference,
            remedy=f"Say which: {' or '.join(f'--from {name}' for name in names)}.",
        )
    if not found:
        raise _describe_unknown(source, format, refusal)
    return next(iter(found.values()))


def _make(entry: Entry) -> Importer:
    try:
        importer: Importer = entry.load()()
    except VsezooError:
        raise
    except Exception as error:
        raise PluginError(
            f"The importer {entry.name!r} of {entry.distribution} {entry.version} cannot be made: "
            f"{type(error).__name__}: {show(error)}.",
            remedy=f"Upgrade or uninstall {entry.distribution}.",
        ) from error
    return importer


def _describe_unknown(source: Source, format: str | None, refusal: CheckpointError | None) -> CheckpointError:
    wanted = "of no known format" if format is None else f"not of the format {format!r}"
    try:
        form = None if source.is_folder else describe_form(source)
        if form is not None:
            problem, remedy = form
        elif refusal is not None:
            raise refusal
        elif is_vocabulary(source):
            problem = "is a vocabulary, not a checkpoint."
            remedy = f"Give the checkpoint, and this beside it: vsezoo convert CHECKPOINT --vocab {source.path}"
        else:
            problem, remedy = f"is {wanted}: it is {describe(source)}.", ""
    except CheckpointError as error:  # what is wrong with it is more than what it is not, if it is what it was read as
        if source.is_folder or source.format != "pickle" or _is_marked(source):
            return refusal or error
        problem, remedy = f"is {wanted}: none begins like it, and it cannot be read as a pickle.", ""
    return CheckpointError(problem, file=source.reference, remedy=remedy or _list_known())


def _is_marked(source: Source) -> bool:
    """Tell whether a file begins as a pickle does since protocol 2, or ends as each does.

    Raises:
        CheckpointError: for a file that cannot be read.
    """
    with open_file(source.path, NOUN, LIMIT) as stream:
        start = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        return start == pickle.PROTO or stream.read(1) == pickle.STOP


def _list_known() -> str:
    lines = [
        f"  {name}: {f'FAILED: {registry.explain(known)}' if isinstance(known, PluginError) else known.summary}"
        for name, known in list_formats().items()
    ]
    return "\n".join(["The formats that are known:", *lines]) if lines else "No installed distribution has an importer."


@contextmanager
def guard(source: Source, entry: Entry) -> Iterator[None]:
    """Turn whatever an importer raises over the files of a stranger into one message.

    Raises:
        CheckpointError: for any exception that is not a user's mistake already.
    """
    try:
        yield
    except VsezooError:
        raise
    except Exception as error:
        if os.environ.get("VSEZOO_RAISE_PLUGIN_ERRORS") == "1":
            raise
        raise CheckpointError(
            f"is not as the importer {entry.label!r} of {entry.distribution} {entry.version} expects it: "
            f"{type(error).__name__}: {show(error)}.",
            file=source.reference,
            remedy="Set VSEZOO_RAISE_PLUGIN_ERRORS=1 to see where, if you can mend the importer or the file.",
        ) from error

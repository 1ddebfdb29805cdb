"""Choose the importer of a file by its content or by name."""

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
    """Return the importers by format name, or the error for those that cannot be loaded."""
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
        CheckpointError: for a file that no importer, or not this one, recognises.
    """
    entries = registry.list_entries("importers") if format is None else [registry.find("importers", format)]
    found: dict[type[Importer], tuple[Entry, Importer]] = {}  # an alias of the same importer
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
            continue  # listed as FAILED; it must not stop the others
        except CheckpointError as error:
            refusal = refusal or error
    if len(found) > 1:
        names = [entry.label for entry, _ in found.values()]
        raise UsageError(
            f"may be of several formats: {', '.join(names)}.",
            file=source.reference,
            remedy=f"Choose one: {' or '.join(f'--from {name}' for name in names)}.",
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
            f"The importer {entry.name!r} of {entry.distribution} {entry.version} cannot be created: "
            f"{type(error).__name__}: {show(error)}.",
            remedy=f"Upgrade or uninstall {entry.distribution}.",
        ) from error
    return importer


def _describe_unknown(source: Source, format: str | None, refusal: CheckpointError | None) -> CheckpointError:
    wanted = "not of a known format" if format is None else f"not of the format {format!r}"
    try:
        form = None if source.is_folder else describe_form(source)
        if form is not None:
            problem, remedy = form
        elif refusal is not None:
            raise refusal
        elif is_vocabulary(source):
            problem = "is a vocabulary, not a checkpoint."
            remedy = f"Give the checkpoint with this vocabulary: vsezoo convert CHECKPOINT --vocab {source.path}"
        else:
            problem, remedy = f"is {wanted}: it is {describe(source)}.", ""
    except CheckpointError as error:  # if the format is right, the damage is more informative than the unknown format
        if source.is_folder or source.format != "pickle" or _is_marked(source):
            return refusal or error
        problem, remedy = f"is {wanted}: it matches no signature and cannot be read as a pickle.", ""
    return CheckpointError(problem, file=source.reference, remedy=remedy or _list_known())


def _is_marked(source: Source) -> bool:
    """Return whether a file begins like pickles since protocol 2, or ends like any pickle.

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
    return "\n".join(["Known formats:", *lines]) if lines else "No installed distribution has an importer."


@contextmanager
def guard(source: Source, entry: Entry) -> Iterator[None]:
    """Turn any exception of an importer into one message.

    Raises:
        CheckpointError: for any exception that is not a VsezooError.
    """
    try:
        yield
    except VsezooError:
        raise
    except Exception as error:
        if os.environ.get("VSEZOO_RAISE_PLUGIN_ERRORS") == "1":
            raise
        raise CheckpointError(
            f"was not expected by the importer {entry.label!r} of {entry.distribution} {entry.version}: "
            f"{type(error).__name__}: {show(error)}.",
            file=source.reference,
            remedy="Set VSEZOO_RAISE_PLUGIN_ERRORS=1 to see the traceback, if you can fix the importer or the file.",
        ) from error

"""Which distribution an object in use comes from: messages about a part name it, and exceptions in it get a note.

A part knows neither its registered name nor its distribution. They are looked up only when something is wrong with it,
and without importing anything.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from vsezoo.errors import PluginError
from vsezoo.registry import list_entries
from vsezoo.registry.entry import SESSION, Entry, session_objects
from vsezoo.registry.global_state import watch
from vsezoo.registry.kinds import KINDS, split_value


def find_entry(thing: object, name: str = "") -> Entry | None:
    """Return the entry of a registered object, or of the registered class of an object; None if there is none.

    Args:
        thing: the object.
        name: the name that is preferred, of several that the object has.
    """
    entries = [entry for entry, found in _list_loaded() if found is thing or found is type(thing)]
    return next((entry for entry in entries if name in (entry.name, entry.qualified)), next(iter(entries), None))


def describe(thing: object, name: str = "") -> str:
    """Return what an object is for a message, such as `similarity 'mine' of my-package 1.0`; see `find_entry`."""
    entry = find_entry(thing, name)
    if entry is None:
        named = thing if isinstance(thing, type) or hasattr(thing, "__qualname__") else type(thing)
        return f"{named.__module__}.{named.__qualname__}"
    return f"{KINDS[entry.kind].noun} {entry.name!r}{describe_origin(thing)}"


def describe_origin(thing: object) -> str:
    """Return ` of DISTRIBUTION VERSION`; empty for vsezoo's own objects and for those that are not registered."""
    entry = find_entry(thing)
    if entry is None or entry.own:
        return ""
    return " of this session" if entry.distribution == SESSION else f" of {entry.distribution} {entry.version}"


@contextmanager
def guard(*things: object, when: str = "was used") -> Iterator[None]:
    """Name and take back what objects of plugins change that is not theirs, such as torch's default dtype.

    Args:
        things: registered objects, or instances of registered classes.
        when: completes "changed … when it …".
    """
    owners = [text for thing in things if (text := _name_plugin(thing if isinstance(thing, type) else type(thing)))]
    if not owners:
        yield
        return
    with watch(" or the ".join(owners), when, draws=True) as changes:
        yield
    changes.warn()


@functools.cache  # the entries of all kinds are looked through
def _name_plugin(found: type) -> str:
    return describe(found) if describe_origin(found) else ""


def require_scores(similarity: object, scores: Any, images: int, captions: int) -> None:
    """Refuse what a similarity returned if it is not a floating-point tensor `(images, captions)`.

    Raises:
        PluginError: names the similarity and its distribution.
    """
    if not hasattr(scores, "is_floating_point"):  # not a tensor; this module does not load torch
        returned = f"a {type(scores).__name__}"
    elif scores.shape != (images, captions):
        returned = f"scores of shape {tuple(scores.shape)}"
    elif not scores.is_floating_point():
        returned = f"scores of type {scores.dtype} instead of floating-point numbers"
    else:
        return
    raise PluginError(
        f"The {describe(similarity)} returned {returned}; expected a tensor of shape ({images}, {captions}): images in "
        "rows, captions in columns.",
        remedy=f"Correct its forward. {point_to_checks(similarity)}".rstrip(),
    )


def point_to_checks(thing: object) -> str:
    """Return a sentence on how the author of an object can check it; empty for vsezoo's own."""
    entry = find_entry(thing)
    if entry is None or entry.own:
        return ""
    return f"vsezoo.testing.check({entry.kind!r}, {entry.name!r}) tests what vsezoo expects of it."


def note_owner(error: BaseException) -> None:
    """Add a note to an exception that was raised in a registered object of another distribution: which one it is."""
    plugins = [found for entry, found in _list_loaded() if not entry.own]
    for frame in reversed(list(_list_frames(error.__traceback__))):
        bound = [frame.f_locals[name] for name in ("self", "cls") if name in frame.f_locals]
        for found in plugins:
            code = getattr(found, "__code__", None)
            if code is frame.f_code or any(found is thing or found is type(thing) for thing in bound):
                error.add_note(f"Raised in the {describe(found)}. {point_to_checks(found)}")
                return


def _list_frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    """Yield the frames of a traceback, as `traceback.walk_tb`, whose module takes a millisecond to import."""
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _list_loaded() -> Iterator[tuple[Entry, Any]]:
    """Yield the entries whose module has been imported, and their objects."""
    for kind in KINDS:
        for entry in list_entries(kind):
            if entry.distribution == SESSION:
                yield entry, session_objects[kind, entry.name]
                continue
            module, attributes = split_value(entry.value)
            found = functools.reduce(
                lambda thing, name: getattr(thing, name, None), attributes, sys.modules.get(module)
            )
            if found is not None:
                yield entry, found

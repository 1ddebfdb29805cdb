"""Find the unreadable pictures of a split before training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from multiprocessing.pool import ThreadPool
from os import cpu_count

import PIL

from vsezoo.data.pictures.picture_file import AccessError, Place
from vsezoo.errors import DataError
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.waiting import report_done


def find_unreadable(places: Mapping[str, Place], split: str) -> dict[str, str]:
    """Decode all pictures (JPEG files at an eighth of their size), and return the errors of those that fail.

    The result is cached as long as no file changes in size or time. A picture that cannot be opened or read is tried
    again each time, because permissions affect neither.

    Args:
        places: pictures by id.
        split: name for progress messages on standard error.

    Returns:
        the reasons by id.
    """
    try:
        identities = {file: identify(file) for file in {place.file for place in places.values()}}
    except OSError:  # a file has disappeared, which the check reports
        return _explain(_check(places, split))
    key = [(name, *identities[place.file], place.offset, place.size) for name, place in places.items()]
    bad, refused = remember("pictures", [PIL.__version__, key], lambda: _sort(_check(places, split)))
    reasons = bad | _explain(_check({name: places[name] for name in refused}, split))
    return {name: reasons[name] for name in places if name in reasons}


def _check(places: Mapping[str, Place], split: str) -> dict[str, DataError]:
    # Threads are enough: decoders release Python's lock. Pillow's warnings are either errors here or harmless.
    with ThreadPool(cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = report_done(pool.imap(_try, places.values()), len(places), f"pictures of {split} checked")
        return {name: error for name, error in zip(places, errors, strict=True) if error}


def _try(place: Place) -> DataError | None:
    try:
        place.read(short_side=1)
    except DataError as error:
        return error
    return None


def _sort(errors: Mapping[str, DataError]) -> tuple[dict[str, str], list[str]]:
    """Return the errors of bad pictures, and the ids of those that could not be accessed."""
    bad = {name: error for name, error in errors.items() if not isinstance(error, AccessError)}
    return _explain(bad), [name for name in errors if name not in bad]


def _explain(errors: Mapping[str, DataError]) -> dict[str, str]:
    return {name: error.problem.rstrip(".") for name, error in errors.items()}

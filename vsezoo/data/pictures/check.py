"""Which pictures of a split cannot be read, found out before a training instead of in the middle of it."""

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
    """Decode all pictures, those of JPEG at an eighth of their size, and say what is wrong with those that fail.

    The answer is kept in the cache folder for as long as no file has another size or time. What cannot be opened or
    read is tried each time anew: the right to read it changes neither.

    Args:
        places: the pictures by their names.
        split: what they are called on standard error, where a long check says how far it is.

    Returns:
        the reasons by the names.
    """
    try:
        identities = {file: identify(file) for file in {place.file for place in places.values()}}
    except OSError:  # a file is gone since it was found, which the check itself tells
        return _explain(_check(places, split))
    key = [(name, *identities[place.file], place.offset, place.size) for name, place in places.items()]
    bad, refused = remember("pictures", [PIL.__version__, key], lambda: _sort(_check(places, split)))
    reasons = bad | _explain(_check({name: places[name] for name in refused}, split))
    return {name: reasons[name] for name in places if name in reasons}


def _check(places: Mapping[str, Place], split: str) -> dict[str, DataError]:
    # Threads are enough: decoders leave Python's lock. What Pillow warns of is an error here, or does no harm.
    with ThreadPool(cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = report_done(pool.imap(_try, places.values()), len(places), f"pictures of {split} are checked")
        return {name: error for name, error in zip(places, errors, strict=True) if error}


def _try(place: Place) -> DataError | None:
    try:
        place.read(short_side=1)
    except DataError as error:
        return error
    return None


def _sort(errors: Mapping[str, DataError]) -> tuple[dict[str, str], list[str]]:
    """Return why pictures are bad, and the names of those of which nobody knows."""
    bad = {name: error for name, error in errors.items() if not isinstance(error, AccessError)}
    return _explain(bad), [name for name in errors if name not in bad]


def _explain(errors: Mapping[str, DataError]) -> dict[str, str]:
    return {name: error.problem.rstrip(".") for name, error in errors.items()}

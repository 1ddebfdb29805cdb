"""Which pictures of a split cannot be read, found out before a training instead of in the middle of it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from multiprocessing.pool import ThreadPool
from os import cpu_count

import PIL

from vsezoo.data.cache import identify, remember
from vsezoo.data.picture_file import Place
from vsezoo.data.waiting import report_done
from vsezoo.errors import DataError


def find_unreadable(places: Mapping[str, Place], split: str) -> dict[str, str]:
    """Decode all pictures, those of JPEG at an eighth of their size, and say what is wrong with those that fail.

    The answer is kept in the cache folder for as long as no file has another size or time.

    Args:
        places: the pictures by their names.
        split: what they are called on standard error, where a long check says how far it is.

    Returns:
        the reasons by the names.
    """
    try:
        key = [PIL.__version__, sorted(map(identify, {place.file for place in places.values()})), list(places.items())]
    except OSError:  # a file is gone since it was found, which the check itself tells
        return _check(places, split)
    found: dict[str, str] = remember("pictures", key, functools.partial(_check, places, split))
    return found


def _check(places: Mapping[str, Place], split: str) -> dict[str, str]:
    # Threads are enough: decoders leave Python's lock. What Pillow warns of is an error here, or does no harm.
    with ThreadPool(cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reasons = report_done(pool.imap(_try, places.values()), len(places), f"pictures of {split} are checked")
        return {name: reason for name, reason in zip(places, reasons, strict=True) if reason}


def _try(place: Place) -> str:
    try:
        place.read(short_side=1)
    except DataError as error:
        return error.problem.rstrip(".")
    return ""

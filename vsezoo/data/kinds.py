"""The kinds of images in files and for models, and the errors when they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from vsezoo.errors import DataError

FORMS = {
    "vector": "features of one vector for each image, (images, F)",
    "regions": "features of several regions for each image, (images, regions, F)",
    "picture": "pictures",
}
"""Descriptions of the kinds of images in messages."""


@contextmanager
def name_source(source: str) -> Iterator[None]:
    """Add the source to a message about images that does not name it; an empty source is unknown."""
    try:
        yield
    except DataError as error:
        if error.file is not None or not source:
            raise
        raise DataError(error.problem, file=source, remedy=error.remedy) from None


def require_kind(file: str, kind: str, kinds: Sequence[str]) -> None:
    """Refuse a file of images of a kind that a model does not take.

    Raises:
        DataError: for another kind, with a remedy.
    """
    if kind not in kinds:
        raise DataError(
            f"this model takes {' or '.join(FORMS[kind] for kind in kinds)}, not {FORMS[kind]}.",
            file=file,
            remedy="Extract features with `vsezoo features`, with the settings of the training data; or make a "
            "checkpoint that takes pictures: `vsezoo attach-backbone CHECKPOINT --output FOLDER`."
            if kind == "picture"
            else "Name an image of a data set, or a file of images that the model takes.",
        )


@runtime_checkable
class ShowsPictures(Protocol):
    """A data set of features that also has the pictures."""

    def picture(self, index: int) -> Any:
        """Return the picture of an image, a `PIL.Image.Image`; None if there is none."""

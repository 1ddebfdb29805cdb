"""Image encoders that contain other registered encoders, such as a backbone with a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vsezoo.interfaces import ImageEncoder
from vsezoo.recipe import Part


class CompositeImageEncoder(ImageEncoder):
    """An image encoder with inner image encoders whose options are also its own.

    Any image encoder may define these members; the base class is not required.
    """

    part_options: ClassVar[tuple[str, ...]] = ()
    """Options that name an inner image encoder, such as a head; a checkpoint records its distribution."""

    @classmethod
    def more_options(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return further options, with defaults, that depend on the given ones.

        The constructor gets them as keywords. By default, none.
        """
        return {}

    @classmethod
    def replace_part(cls, part: Part) -> dict[str, Any]:
        """Return the options that it inherits when a user replaces another encoder of a recipe by it.

        By default, none.
        """
        return {}

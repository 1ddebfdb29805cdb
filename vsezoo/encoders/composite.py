"""Image encoders that are made of further registered ones, such as a backbone with a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vsezoo.interfaces import ImageEncoder
from vsezoo.recipe import Part


class CompositeImageEncoder(ImageEncoder):
    """Has further image encoders inside, whose options are options of its own.

    vsezoo asks each image encoder that defines one of these members for it; the base class is not needed.
    """

    part_options: ClassVar[tuple[str, ...]] = ()
    """Options that name a further image encoder, such as a head; a checkpoint records the distribution of that one."""

    @classmethod
    def more_options(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return options, and their defaults, that there are beside the constructor's own because of the given ones.

        The constructor gets them as keywords. By default there are none.
        """
        return {}

    @classmethod
    def replace_part(cls, part: Part) -> dict[str, Any]:
        """Return the options that it takes over where a user puts it in place of another encoder of a recipe.

        By default, none.
        """
        return {}

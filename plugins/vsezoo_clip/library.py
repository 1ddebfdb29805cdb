"""What transformers says and raises: less of the one, one message of the other. It is imported only when it is needed.

The import takes seconds. A search with a CLIP or a SigLIP whose pictures are embedded needs only the text tower, which
is in `text_network.py`, and none of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import ERROR
from typing import Any

from vsezoo.errors import RecipeError

NEEDED = "Name pretrained weights: --pretrained REFERENCE, a folder or hub:org/name."
OF_WEIGHTS = "Get the settings of the image processor that were published with these weights."


@contextmanager
def quiet() -> Iterator[None]:
    """Have transformers print nothing but errors."""
    from transformers.utils import logging

    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def require_config(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the configuration of a network, an option that pretrained weights fill in.

    Raises:
        RecipeError: if it is empty: there were none.
    """
    if not config:
        raise RecipeError("a dual encoder cannot be built without pretrained weights.", remedy=NEEDED)
    return config

"""Encoders with external weights: a checkpoint need not contain them, because they can be read again elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from vsezoo.errors import CheckpointError

PRETRAINED = "pretrained"
"""The source of weights that come from a library or the Hub by name, not from a file or folder of the user."""


class ExternalWeights:
    """Mixin for encoders: `class MyEncoder(ExternalWeights, ImageEncoder)`.

    While `skips_external_weights` returns True, checkpoints and training states contain everything but these weights.
    Loading builds the encoder, reads the weights again, and compares them with the digest in the checkpoint.
    """

    external: ClassVar[str] = ""
    """Prefix of the names of these weights, such as `backbone.`."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Treat `leaves_out_external`, the name before 0.2, as `skips_external_weights` in classes that define it."""
        super().__init_subclass__(**options)
        for name, other in (("skips_external_weights", EARLIER), (EARLIER, "skips_external_weights")):
            if name in vars(cls) and other not in vars(cls):
                setattr(cls, other, vars(cls)[name])

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options for a checkpoint, without paths of this machine."""
        return dict(options)

    def skips_external_weights(self) -> bool:
        """Return whether a checkpoint may omit the external weights, because they are those that can be read again."""
        return False

    def describe(self) -> dict[str, Any]:
        """Return JSON values for the checkpoint in addition to the options, such as digests of external weights."""
        return {}

    def list_folders(self) -> list[Path]:
        """Return the folders of this machine that external weights were read from."""
        return []

    def restore_external(self, described: Mapping[str, Any], folders: Sequence[Path]) -> None:
        """Read the external weights again. Encoders whose source is not `Recipe.pretrained` must define it.

        Args:
            described: what `describe` returned when they were left out.
            folders: where files of weights may be.

        Raises:
            CheckpointError: if the weights cannot be found or their SHA-256 differs.
        """
        raise CheckpointError("its checkpoint does not name the source of its weights.")


EARLIER = "leaves_out_external"
PORTABLE = "portable_options"  # which encoders with a file of another kind have, too
MEMBERS = (EARLIER, "skips_external_weights", PORTABLE, "describe", "list_folders", "restore_external")


def find_external(encoder: nn.Module) -> ExternalWeights | None:
    """Return the interface to the external weights of an encoder; None if it has none.

    Before 0.2 every encoder had these members. Encoders of plugins that define some of them without the mixin are
    treated as if they had it.
    """
    if isinstance(encoder, ExternalWeights):
        return encoder
    return _Unmixed(encoder) if any(hasattr(encoder, name) for name in MEMBERS if name != PORTABLE) else None


def knows_source(encoder: nn.Module) -> bool:
    """Return whether an encoder can read its weights again itself, by `restore_external`."""
    return getattr(type(encoder), "restore_external", None) not in (None, ExternalWeights.restore_external)


def make_portable(encoder: type[nn.Module], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an encoder of this class without paths of this machine."""
    found: dict[str, Any] = getattr(encoder, "portable_options", dict)(options)
    return found


class _Unmixed(ExternalWeights):
    """The members that an encoder defines, and defaults for the rest."""

    def __init__(self, encoder: nn.Module) -> None:
        for name in ("external", *MEMBERS[1:]):
            earlier = getattr(encoder, EARLIER, None) if name == "skips_external_weights" else None
            defined = getattr(encoder, name, earlier)
            if defined is not None:
                vars(self)[name] = defined

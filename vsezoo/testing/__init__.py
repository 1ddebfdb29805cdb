"""The conformance kit: checks that a part, recipe, data set, importer or command keeps what the core relies on.

    from vsezoo import testing

    testing.check(MyLoss)                                # raises ConformanceError, which lists what fails
    testing.check("models", "my-model", slow=True)       # by registered name

    @pytest.mark.parametrize("check", testing.list_checks(MyLoss))
    def test_my_loss(check):                             # one test for each check
        check()

It needs no test framework. Checks run on the CPU, on synthetic data, and leave the caller's random generators
and the registry as they were.
"""

from __future__ import annotations

from typing import Any

from vsezoo.testing.commands import CommandKit
from vsezoo.testing.datasets import DatasetKit
from vsezoo.testing.image_encoders import ImageEncoderKit
from vsezoo.testing.importers import ImporterKit
from vsezoo.testing.indexes import IndexKit
from vsezoo.testing.kit import Check, ConformanceError, Failure, Kit, make_checks
from vsezoo.testing.layouts import LayoutKit
from vsezoo.testing.losses import LossKit
from vsezoo.testing.optimization import OptimizerKit, ScheduleKit
from vsezoo.testing.recipes import RecipeKit
from vsezoo.testing.similarities import SimilarityKit
from vsezoo.testing.subject import find_subject
from vsezoo.testing.text_encoders import TextEncoderKit

__all__ = [
    "Check",
    "ConformanceError",
    "Failure",
    "check",
    "check_command",
    "check_dataset",
    "check_image_encoder",
    "check_importer",
    "check_index",
    "check_layout",
    "check_loss",
    "check_optimizer",
    "check_recipe",
    "check_schedule",
    "check_similarity",
    "check_text_encoder",
    "list_checks",
]

KITS: dict[str, type[Kit]] = {
    "models": RecipeKit,
    "image_encoders": ImageEncoderKit,
    "text_encoders": TextEncoderKit,
    "similarities": SimilarityKit,
    "losses": LossKit,
    "optimizers": OptimizerKit,
    "schedules": ScheduleKit,
    "datasets": DatasetKit,
    "layouts": LayoutKit,
    "indexes": IndexKit,
    "importers": ImporterKit,
    "commands": CommandKit,
}
"""The kit of each kind."""


def list_checks(thing: Any, name: Any = None, /, **settings: Any) -> list[Check]:
    """Return the checks of an object, each a function without arguments that raises a ConformanceError.

    Args:
        thing: a class of parts, a recipe, a data set, an open split, a command; or the kind of `name`, one of
            `vsezoo.registry.KINDS`.
        name: a registered name of this kind, or an object of it.
        **settings: for every kind `leave_out`, names of checks to skip; the others are the attributes of
            the kind's kit: `options`, `embed_size` and `data` for a part, `settings`, `data` and `slow` for a recipe,
            `options` for a data set, `folder` for a layout, `recall` for an index, `source` and `options` for an
            importer, `arguments` for a command.

    Raises:
        UsageError: for an object of no kind, or an unknown name in `leave_out`.
        UnknownNameError, ConflictError, PluginError: see `vsezoo.registry.load`.
    """
    subject = find_subject(thing, name)
    return KITS[subject.kind](subject, **settings).list_checks()


def check(thing: Any, name: Any = None, /, **settings: Any) -> None:
    """Run all checks of an object; the arguments are those of `list_checks`.

    Raises:
        ConformanceError: if one fails; it lists every failure: what was expected, what was found, and how to fix it.
    """
    make_checks(list_checks(thing, name, **settings))


def check_image_encoder(encoder: Any, /, **settings: Any) -> None:
    """Check an image encoder, a class or a registered name; see `check`."""
    check("image_encoders", encoder, **settings)


def check_text_encoder(encoder: Any, /, **settings: Any) -> None:
    """Check a text encoder, a class or a registered name; see `check`."""
    check("text_encoders", encoder, **settings)


def check_similarity(similarity: Any, /, **settings: Any) -> None:
    """Check a similarity, a class or a registered name; see `check`."""
    check("similarities", similarity, **settings)


def check_loss(loss: Any, /, **settings: Any) -> None:
    """Check a loss, a class or a registered name; see `check`."""
    check("losses", loss, **settings)


def check_optimizer(optimizer: Any, /, **settings: Any) -> None:
    """Check an optimiser, a function or a registered name; see `check`."""
    check("optimizers", optimizer, **settings)


def check_schedule(schedule: Any, /, **settings: Any) -> None:
    """Check a schedule, a function or a registered name; see `check`."""
    check("schedules", schedule, **settings)


def check_dataset(data: Any, /, **settings: Any) -> None:
    """Check a data set, a registered name, or an open split; see `check`."""
    check("datasets", data, **settings)


def check_index(index: Any, /, **settings: Any) -> None:
    """Check a search index, a class or a registered name; see `check`."""
    check("indexes", index, **settings)


def check_layout(layout: Any, /, **settings: Any) -> None:
    """Check a layout of pictures, a function or a registered name; see `check`.

    `folder` is an example of it; without one, only the answer to other folders is checked.
    """
    check("layouts", layout, **settings)


def check_recipe(recipe: Any, /, **settings: Any) -> None:
    """Check a recipe or a registered model; see `check`."""
    check("models", recipe, **settings)


def check_importer(importer: Any, /, **settings: Any) -> None:
    """Check an importer, a class or a registered name; see `check`."""
    check("importers", importer, **settings)


def check_command(command: Any, /, **settings: Any) -> None:
    """Check a command or a registered name; see `check`."""
    check("commands", command, **settings)

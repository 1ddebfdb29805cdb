"""The file `state.json` of a run: its form, and how it is read. Imports no torch: listings of runs are quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError
from vsezoo.storage.atomic_folder import find_folder
from vsezoo.storage.forms import (
    DIGEST,
    Anything,
    Fields,
    Flag,
    Form,
    FormError,
    Integer,
    Mapped,
    Maybe,
    Number,
    Text,
)
from vsezoo.storage.json_file import read_object
from vsezoo.training.layout import LAST, STATE

TENSORS = "state.safetensors"
STATE_VERSION = 1
START_AGAIN = "Start a new run with another --output."
TWISTER_WORDS = 624


class PythonRandom(Form):
    """The output of `random.getstate` as JSON: version, the words of the Mersenne Twister with a position, a float."""

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        if not (isinstance(value, list) and len(value) == 3 and value[0] == 3 and Maybe(Number()).fits(value[2])):
            return False
        words = value[1]
        return (
            isinstance(words, list)
            and len(words) == TWISTER_WORDS + 1
            and all(type(word) is int and 0 <= word < 2**32 for word in words)
            and words[-1] <= TWISTER_WORDS
        )

    def __str__(self) -> str:
        return "a state of Python's random generator"


PLACE = Fields(
    {"epoch": Integer()},
    {
        "batch": Integer(),
        "step": Integer(),
        "best_score": Maybe(Number()),
        "best_epoch": Integer(),
        "best_step": Integer(),
        "without_gain": Integer(),
        "records_on_plateau": Integer(),
        "complete": Flag(),
    },
)
RUN = Fields(
    {"recipe": Mapped(Anything())},
    {
        "data": Text(),
        "data_root": Maybe(Text()),
        "full_dev": Flag(),
        "use_restval": Flag(),
        "on_bad_image": Text("error|skip", "'error' or 'skip'"),
        "init": Maybe(Text()),
        "captions_sha256": Text(),
        "log_size": Integer(),
        "world_size": Maybe(Integer(1)),
    },
    others=True,
)
ENTRIES = Fields(
    {
        "state_version": Integer(),
        "place": PLACE,
        "python_random": PythonRandom(),
        "run": RUN,
        "files": Fields({TENSORS: DIGEST}),
    },
    {"encoders": Mapped(Anything()), "left_out": Anything(), "pretrained": Anything()},
)


def has_state(output: Path) -> bool:
    """Return whether a run has saved a state here."""
    return (find_folder(output / LAST) / STATE).is_file()


def read_state_file(file: Path) -> dict[str, Any]:
    """Read `state.json`. Those of earlier versions have no digest of their entries.

    Raises:
        CheckpointError: for a file that is damaged or has another version.
    """
    value = read_object(file, remedy=START_AGAIN)
    version = value.get("state_version")
    if version != STATE_VERSION:
        raise CheckpointError(
            f"has the state version {version}; this vsezoo resumes from {STATE_VERSION}.",
            file=file,
            remedy=f"Resume with the version of vsezoo that wrote it. {START_AGAIN}",
        )
    try:
        ENTRIES.check(value, "")
    except FormError as error:
        raise CheckpointError(f"is damaged: {error}.", file=file, remedy=START_AGAIN) from error
    return value


def read_step(output: Path) -> int | None:
    """Return the number of steps at the time of the saved state; None without a state."""
    if not has_state(output):
        return None
    step: int = read_state_file(find_folder(output / LAST) / STATE)["place"].get("step", 0)
    return step

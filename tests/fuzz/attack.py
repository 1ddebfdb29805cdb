"""One attack on a reader: alter a file, read the folder, say what came of it; no tests in here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from random import Random

from checkpoint_folders import record_digests
from fuzz.mutation import SPECIAL, mutate_bytes, mutate_json, replace_by_special
from fuzz.readers import Reader, copy_folder

from vsezoo.errors import VsezooError

KINDS = ("bytes", "values", "special")
"""How a file is altered: bytes at random, values on purpose with digests that agree, something else in its place."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attack.

    Attributes:
        file: what was altered.
        kind: one of `KINDS`.
        result: "refused", "same", "altered" (a sound folder that says something else) or "traceback".
        text: of the error.
    """

    file: str
    kind: str
    result: str
    text: str = ""


def attack(reader: Reader, original: Path, expected: object, target: Path, random: Random) -> Outcome:
    """Alter a file of a copy of a folder, and read the copy."""
    folder = copy_folder(original, target)
    name, kind = random.choice(reader.files), random.choice(KINDS)
    file = folder / name
    if kind == "values" and not name.endswith(".json"):
        kind = "bytes"
    if kind == "special":
        replace_by_special(file, random.choice(SPECIAL))
    else:
        file.write_bytes((mutate_bytes if kind == "bytes" else mutate_json)(file.read_bytes(), random))
        if kind == "values" and name in ("metrics.json", "vocab.json"):
            record_digests(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = reader.read(folder)
    except VsezooError as error:
        return Outcome(name, kind, "refused", str(error))
    except Exception as error:
        return Outcome(name, kind, "traceback", f"{type(error).__name__}: {error}")
    return Outcome(name, kind, "same" if found == expected else "altered")

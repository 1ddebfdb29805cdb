"""What a search chooses settings from: ranges of numbers, and lists of values. Imports no optuna."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vsezoo.errors import UsageError

_NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?|[-+]?\.\d+(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"(?P<log>log\s+)?(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?:\s+step\s+(?P<step>{_NUMBER}))?")
FORM = "Write LOW..HIGH, `log LOW..HIGH` or `LOW..HIGH step STEP`, such as 0.05..0.5 or log 1e-5..1e-2."


@dataclass(frozen=True)
class Range:
    """Numbers between two, both included.

    Attributes:
        low: least; whole numbers if both ends are.
        high: greatest.
        log: whether equal ratios are equally likely, not equal differences.
        step: distance of the numbers; None: any.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


Choice = Range | Sequence[Any]


@dataclass(frozen=True)
class Search:
    """A search for the best settings by the dev split.

    Attributes:
        trials: how many settings are tried.
        space: what each setting is chosen from, by dotted name.
        prune: whether trials that are worse than the median of the others so far are ended early.
        seed: of the choices; `training.seed` is a setting like any other.
    """

    trials: int
    space: Mapping[str, Choice]
    prune: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for a search that could choose nothing."""
        if type(self.trials) is not int or self.trials < 1:
            raise UsageError(f"{self.trials!r} is not a number of trials.", remedy="Try at least one, such as 20.")
        if not self.space:
            raise UsageError("The search has no setting to choose.", remedy="Example: --set loss.margin=0.05..0.5")


def read_choice(name: str, value: Any) -> Choice:
    """Return the range or the values that a setting is chosen from.

    Raises:
        UsageError: for anything else, or an impossible range.
    """
    if isinstance(value, list) and value:
        return value
    found = RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise UsageError(f"{name} is neither a list of values nor a range: {value!r}.", remedy=FORM)
    low, high = _read_number(found["low"]), _read_number(found["high"])
    step = None if found["step"] is None else _read_number(found["step"])
    log = found["log"] is not None
    if not low < high or (log and low <= 0) or (step is not None and (log or not 0 < step <= high - low)):
        raise UsageError(f"{name} has an impossible range: {value!r}.", remedy=FORM)
    return Range(low, high, log, step)


def is_range(value: Any) -> bool:
    """Return whether a value of `--set` is a range."""
    return isinstance(value, str) and RANGE.fullmatch(value.strip()) is not None


def _read_number(text: str) -> float:
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)

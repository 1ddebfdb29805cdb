"""State of the whole process that a plugin must leave alone: a change is named in a warning and taken back.

torch and numpy are looked at only if they have been imported.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from vsezoo.errors import VsezooWarning


class _Item(NamedTuple):
    """A value of the process.

    Attributes:
        noun: what it is.
        module: the module whose import it needs.
        read: returns it; the argument is the module.
        write: sets it.
        default: its value before the module is imported; None: not known.
    """

    noun: str
    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    default: Callable[[Any], Any] = lambda module: None


def _write_deterministic(torch: Any, value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _write_cudnn(torch: Any, value: tuple[bool, bool]) -> None:
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = value


SETTINGS = (
    _Item(
        "the default dtype",
        "torch",
        lambda torch: torch.get_default_dtype(),
        lambda torch, value: torch.set_default_dtype(value),
        lambda torch: torch.float32,
    ),
    _Item(
        "the default device",
        "torch",
        lambda torch: torch.get_default_device(),
        lambda torch, value: torch.set_default_device(value),
    ),
    _Item(
        "whether torch computes deterministically",
        "torch",
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _write_deterministic,
        lambda torch: (False, False),
    ),
    _Item(
        "the settings of cuDNN",
        "torch",
        lambda torch: (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        _write_cudnn,
        lambda torch: (False, False),
    ),
    _Item(
        "the precision of matrix products",
        "torch",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value),
        lambda torch: "highest",
    ),
    _Item(
        "the number of threads",
        "torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, value: torch.set_num_threads(value),
    ),
    _Item(
        "whether gradients are computed",
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, value: torch.set_grad_enabled(value),
        lambda torch: True,
    ),
)
RANDOM = (
    _Item("Python's random numbers", "random", lambda it: it.getstate(), lambda it, value: it.setstate(value)),
    _Item(
        "NumPy's random numbers",
        "numpy.random",
        lambda it: (*it.get_state()[:1], it.get_state()[1].tobytes(), *it.get_state()[2:]),
        lambda it, value: it.set_state((value[0], sys.modules["numpy"].frombuffer(value[1], "uint32"), *value[2:])),
    ),
    _Item(
        "torch's random numbers",
        "torch",
        lambda it: it.get_rng_state().numpy().tobytes(),
        lambda it, value: it.set_rng_state(it.frombuffer(bytearray(value), dtype=it.uint8)),
    ),
)


class Changes(list[str]):
    """What was changed and taken back, as the sentence of a warning."""

    def warn(self) -> None:
        """Print the warning, once for each text."""
        for text in self:
            _warn(text)


@contextmanager
def watch(owner: str, when: str, *, draws: bool = False) -> Iterator[Changes]:
    """Take back what a plugin changes inside. The result has the warning, which is due afterwards.

    Args:
        owner: the part and its distribution.
        when: completes "changed … when it …".
        draws: whether it may draw random numbers.
    """
    items, changes = SETTINGS if draws else (*SETTINGS, *RANDOM), Changes()
    before = {item.noun: _read(item) for item in items}
    try:
        yield changes
    finally:
        nouns = [item.noun for item in items if _restore(item, before[item.noun])]
        if nouns:
            changes.append(f"The {owner} changed {' and '.join(nouns)} when it {when}. This was taken back.")


def _restore(item: _Item, before: Any) -> bool:
    """Return whether a value has changed, which is undone."""
    module = sys.modules.get(item.module)
    wanted = item.default(module) if before is None and module is not None else before
    if wanted is None or module is None or _read(item) == wanted:
        return False
    item.write(module, wanted)
    return True


def _read(item: _Item) -> Any:
    """Return a value; None if its module is not imported, or not yet as a whole."""
    module = sys.modules.get(item.module)
    try:
        return None if module is None else item.read(module)
    except AttributeError:
        return None


@functools.cache
def _warn(text: str) -> None:
    warnings.warn(text, VsezooWarning, stacklevel=2)

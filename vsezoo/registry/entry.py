"""A registered name and the import of its object: a plugin that fails to import affects nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from typing import Any, NamedTuple

from vsezoo.errors import PluginError, VsezooError
from vsezoo.registry.audit.api import API_VERSION, require_version
from vsezoo.registry.global_state import Changes, watch
from vsezoo.registry.kinds import KINDS, OWN, import_object, require_type, split_value
from vsezoo.registry.names import normalize

SESSION = "session"
"""Stands for the distribution of objects registered by `register`."""

DIFFERENT_BUILDS = (
    "torch and torchvision do not fit each other, such as a build for CPUs and one for CUDA: install both, of the same "
    "release, from the same index."
)

session_objects: dict[tuple[str, str], Any] = {}
"""The objects registered by `register`, by kind and name."""

_loading: ContextVar[tuple[str, ...]] = ContextVar("loading", default=())


class Entry(NamedTuple):
    """A registered name.

    Attributes:
        kind: one of `KINDS`.
        name: the registered name.
        value: where the object is, `module:attribute`.
        distribution: the distribution that registers it.
        version: version of the distribution.
        api_version: the version of the plugin API that the distribution was written for.
        conflict: whether the bare name does not mean this object, because others register it too.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    api_version: int = API_VERSION
    conflict: bool = False

    @property
    def qualified(self) -> str:
        """The name with its distribution, `distribution:name`."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """The shortest form that `find` accepts: the name, or the qualified name if there is a conflict."""
        return self.qualified if self.conflict else self.name

    @property
    def own(self) -> bool:
        """Whether vsezoo itself registers it."""
        return normalize(self.distribution) == OWN

    def load(self) -> Any:
        """Import and return the object.

        Raises:
            PluginError: when it cannot be imported or is not a valid object of its kind (`explain` gives the reason),
                or when its distribution was written for an unknown version of the plugin API.
        """
        if self.distribution == SESSION:
            return session_objects[self.kind, self.name]
        require_version(self.distribution, self.version, self.api_version)
        try:
            # Standard output is reserved for results, such as the JSON of a listing.
            with redirect_stdout(sys.stderr), _forbid_circles(f"{self.kind} {self.qualified}"), self._watch() as noted:
                found = import_object(self.value)
                require_type(self.kind, found)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit and panics of compiled extensions are not subclasses of Exception
            if os.environ.get("VSEZOO_RAISE_PLUGIN_ERRORS") == "1":
                raise
            raise PluginError(
                f"The {KINDS[self.kind].noun} {self.name!r} of {self.distribution} {self.version} cannot be loaded "
                f"from {self.value}: {describe_error(error)}",
                remedy=self._find_remedy(error),
            ) from error
        noted.warn()
        return found

    def _watch(self) -> AbstractContextManager[Changes]:
        """Take back what an import changes that is not the plugin's; our own modules change nothing."""
        if self.own:
            return nullcontext(Changes())
        return watch(f"{KINDS[self.kind].noun} {self.name!r} of {self.distribution} {self.version}", "was imported")

    def _find_remedy(self, error: BaseException) -> str:
        causes = (cause for cause in _list_causes(error) if type(cause) is RuntimeError)  # others may have no text
        if any("operator torchvision::" in str(cause) for cause in causes):
            return DIFFERENT_BUILDS
        if self.own:
            return f"The installation of {OWN} is damaged: reinstall it."
        without = "ignore all plugins with `vsezoo --no-plugins`"
        module, _ = split_value(self.value)
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and absent == module.split(".")[0]:
            return (
                f"The files of {self.distribution} are missing although it is listed as installed: "
                f"reinstall or uninstall {self.distribution}, or {without}."
            )
        if absent:
            return (
                f"Install the package with the module {absent}, upgrade or uninstall {self.distribution}, or {without}."
            )
        return f"Upgrade or uninstall {self.distribution}, or {without}."


def explain(error: PluginError) -> str:
    """Return why loading failed, on one line."""
    return describe_error(error.__cause__ or error)


def describe_error(error: BaseException) -> str:
    """Return the type of an exception and the first line of its text; for an error of vsezoo, only the problem."""
    if isinstance(error, VsezooError):
        return error.problem
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error).strip()
    except Exception:  # the text of the exception is computed by code of the plugin
        text = "(its text cannot be computed)"
    return f"{name}: {text.splitlines()[0]}" if text else name


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _forbid_circles(step: str) -> Iterator[None]:
    """Raise RecursionError if loading an object loads the same object."""
    chain = (*_loading.get(), step)
    if step in chain[:-1]:
        raise RecursionError(f"it refers to itself: {' -> '.join(chain[chain.index(step) :])}")
    token = _loading.set(chain)
    try:
        yield
    finally:
        _loading.reset(token)

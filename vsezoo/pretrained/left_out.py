"""The encoders whose external weights a checkpoint omits, and the sources of these weights.

In `config.json` it is a list of encoders, each with a source of its own. If encoders share the pretrained weights of
the recipe, it is an object by the name of the source: `{"hub:org/name@COMMIT": {"sha256": "…", "parts":
["image_encoder", "text_encoder"]}}`, in which encoders with a source of their own are listed under an empty name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SharedSource:
    """Pretrained weights that encoders share.

    Attributes:
        sha256: as `Weights.sha256`.
        parts: the encoders.
    """

    sha256: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """The left-out weights.

    Attributes:
        own: encoders with a source of their own.
        shared: shared weights by the name of their source.
    """

    own: tuple[str, ...] = ()
    shared: Mapping[str, SharedSource] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All encoders."""
        return (*self.own, *(part for source in self.shared.values() for part in source.parts))

    def keep(self, wanted: Callable[[str], bool]) -> LeftOut:
        """Return only the encoders with these names."""

        def choose(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(filter(wanted, names))

        shared = {name: SharedSource(source.sha256, choose(source.parts)) for name, source in self.shared.items()}
        return LeftOut(choose(self.own), {name: source for name, source in shared.items() if source.parts})

    def to_json(self) -> list[str] | dict[str, Any]:
        """Return the entry of `config.json`."""
        if not self.shared:
            return list(self.own)
        shared = {name: {"sha256": source.sha256, "parts": list(source.parts)} for name, source in self.shared.items()}
        return {**shared, **({"": {"parts": list(self.own)}} if self.own else {})}

    @classmethod
    def from_json(cls, value: Any) -> LeftOut:
        """Read the output of `to_json`.

        Raises:
            ValueError: for anything else.
        """
        if isinstance(value, list):
            return cls(_read_names(value))
        if not isinstance(value, dict) or not all(isinstance(source, dict) for source in value.values()):
            raise ValueError("neither a list nor an object of sources")
        shared = {}
        for name, source in value.items():
            if name and not isinstance(source.get("sha256"), str):
                raise ValueError(f"the source {name!r} has no sha256")
            shared[name] = SharedSource(source.get("sha256", ""), _read_names(source.get("parts")))
        own = shared.pop("", SharedSource("", ())).parts
        return cls(own, shared)


def _read_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("expected a list of encoders")
    return tuple(value)

"""Evaluation reports: metrics with labels that make them comparable, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import CheckpointError, require_package
from vsezoo.evaluation.metrics import LABELS, DirectionMetrics, LanguageMetrics, Metrics, Ties

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Metrics with their labels.

    Attributes:
        metrics: the metrics.
        data: name of the data set.
        split: `dev`, `test`, …
        protocol: `full` or `fold5`.
        checkpoints: one for each member of the ensemble, each with `reference`, `model` and `sha256`.
        images: number of distinct images that were ranked.
        captions: number of captions that were ranked.
        skipped: number of unreadable images of the split that were left out.
        languages: the figures of each language, if the captions are in several and the protocol is `full`.
        account: the account of the data folder, see `PairDataset.account`; empty if unknown.
    """

    metrics: Metrics
    data: str
    split: str
    protocol: str
    checkpoints: Sequence[Mapping[str, Any]]
    images: int
    captions: int
    skipped: int = 0
    languages: Mapping[str, LanguageMetrics] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ensemble(self) -> bool:
        """Whether the similarities of several checkpoints were averaged."""
        return len(self.checkpoints) > 1

    def __repr__(self) -> str:
        """Return the labels and recalls in one line."""
        models = " + ".join(str(member.get("model", "")) for member in self.checkpoints)
        ways = ", ".join(
            f"{way} R@1/5/10 {'/'.join(f'{recall:.1f}' for recall in figures.recalls)}"
            for way, figures in (("i2t", self.metrics.i2t), ("t2i", self.metrics.t2i))
        )
        where = f"{self.data}, {self.split}, {self.protocol}"
        return f"<Evaluation {models} on {where}: {ways}, rsum {self.metrics.rsum:.1f}>"

    def to_frame(self) -> pandas.DataFrame:
        """Return a table with a row for each direction: what was evaluated, and the figures.

        Tables of several evaluations have the same columns, so that `pandas.concat` joins them.

        Raises:
            MissingPackageError: without pandas.
        """
        pd = require_package("pandas", "to_frame")
        labels = {
            "model": " + ".join(str(member.get("model", "")) for member in self.checkpoints),
            "data": self.data,
            "split": self.split,
            "protocol": self.protocol,
        }
        ways = {"i2t": self.metrics.i2t, "t2i": self.metrics.t2i}
        rows = [{**labels, "direction": way, **figures.to_json()} for way, figures in ways.items()]
        frame: pandas.DataFrame = pd.DataFrame(rows)
        return frame

    def to_json(self) -> dict[str, Any]:
        """Return the content of `eval --json` and `metrics.json`."""
        return {
            "data": self.data,
            "split": self.split,
            "protocol": self.protocol,
            "checkpoints": [dict(checkpoint) for checkpoint in self.checkpoints],
            "ensemble": self.ensemble,
            "images": self.images,
            "captions": self.captions,
            **({"skipped": self.skipped} if self.skipped else {}),
            **({"account": dict(self.account)} if self.account else {}),
            **self.metrics.to_json(),
            **({"languages": {name: one.to_json() for name, one in self.languages.items()}} if self.languages else {}),
        }

    @classmethod
    def from_json(cls, value: Any, file: str | Path | None = None) -> Evaluation:
        """Read the output of `to_json`. Other keys are ignored, and derived values are computed again.

        Args:
            value: the JSON value; untrusted.
            file: the file that contains it, for the error.

        Raises:
            CheckpointError: for a key that is absent or a value of the wrong type.
        """

        def read(kind: type[Any], *path: str) -> Any:
            return _read(value, kind, path, file)

        def read_metrics(*place: str) -> Metrics:
            i2t, t2i = (
                DirectionMetrics(*(read(float, *place, way, name) for name in LABELS)) for way in ("i2t", "t2i")
            )
            ties = (read(kind, *place, "ties", name) for name, kind in (("rule", str), ("i2t", int), ("t2i", int)))
            return Metrics(i2t, t2i, Ties(*ties))

        def read_language(name: str) -> LanguageMetrics:
            images, captions = (read(int, "languages", name, count) for count in ("images", "captions"))
            return LanguageMetrics(images, captions, read_metrics("languages", name))

        named = read(dict, "languages") if isinstance(value, Mapping) and "languages" in value else {}
        return cls(
            read_metrics(),
            data=read(str, "data"),
            split=read(str, "split"),
            protocol=read(str, "protocol"),
            checkpoints=read(list, "checkpoints"),
            images=read(int, "images"),
            captions=read(int, "captions"),
            skipped=read(int, "skipped") if isinstance(value, Mapping) and "skipped" in value else 0,
            languages={name: read_language(name) for name in named},
        )


def _read(value: Any, kind: type[Any], path: Sequence[str], file: str | Path | None) -> Any:
    """Return the value at a path of keys; metrics must be finite and counts not negative."""
    remedy = "Evaluate the checkpoint again."
    for depth, key in enumerate(path, start=1):
        if not isinstance(value, Mapping) or key not in value:
            problem = f"The stored evaluation lacks {'.'.join(path[:depth])!r}."
            raise CheckpointError(problem, file=file, remedy=remedy)
        value = value[key]
    if kind is float and type(value) is int:
        value = float(value)
    sound = (
        type(value) is kind
        and (kind is not float or isfinite(value))
        and (kind is not int or value >= 0)
        and (kind is not list or all(isinstance(item, Mapping) for item in value))
    )
    if not sound:
        problem = f"The stored evaluation has an invalid value of {'.'.join(path)!r}."
        raise CheckpointError(problem, file=file, remedy=remedy)
    return value

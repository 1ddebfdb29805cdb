"""Broken data sets, recipes, commands and importers, each made from a sound one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from museum import exhibit, put_on_show

from vsezoo import registry
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions, SplitFiles
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.recipe import Override, Part, Recipe, Training
from vsezoo.testing.samples import SamplePairs
from vsezoo.testing.subject import Subject
from vsezoo.text import Vocabulary, WordTokenizer

HEAVY = "numpy"
"""A module that no listing may import."""


class Pairs(PairDataset):
    """Four images of three numbers, with two captions each."""

    name, kind, image_shape = "museum", "vector", (3,)

    def __init__(self, split: str) -> None:
        self.split = split
        self.captions = [f"{word} {split}" for word in ("one", "two", "three", "four") for _ in range(2)]
        self.image_ids: Sequence[str] = ["a", "b", "c", "d"]
        self.image_of = np.repeat(np.arange(4), 2)
        self.features = np.random.default_rng(len(split)).normal(size=(4, 3)).astype(np.float32)

    def images(self, indices: Any) -> Any:
        return self.features[np.asarray(indices)]


class Museum(DataSource):
    """A source of pairs that may be changed."""

    name, summary, origin, splits, kinds = "museum", "Four images.", "", ("train", "dev"), ("vector",)

    def __init__(self, make: Callable[[str], PairDataset] = Pairs) -> None:
        self.make = make

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        if split not in self.splits or "vector" not in kinds:
            raise DataError("is not there.")
        return self.make(split)


class OpensAnything(Museum):
    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        return self.make(split)


class ForgetsSplits(Museum):
    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        return ["dev"]


class ReadsAbsentFiles(Museum):
    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        yield Path("absent.npy")


class OtherCaptions(Museum):
    def locate_split(self, split: str, options: OpenOptions = DEFAULT_OPTIONS) -> SplitFiles:
        return SplitFiles(captions=Path(__file__))


class NoSummary(Museum):
    summary = ""


class OtherName(Pairs):
    name = "gallery"


class TwiceTheSameId(Pairs):
    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.image_ids = ["a", "b", "b", "d"]


class NarrowIndex(Pairs):
    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.image_of = self.image_of.astype(np.int32)


class OtherCaptionsFirst(Pairs):
    @property
    def all_captions(self) -> list[str]:
        return ["another", *self.captions]


class Scattered(Pairs):
    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.image_of = np.tile(np.arange(4), 2)


class SortedImages(Pairs):
    def images(self, indices: Any) -> Any:
        return super().images(np.sort(indices))


class DoubleImages(Pairs):
    def images(self, indices: Any) -> Any:
        return super().images(indices).astype(np.float64)


class ForgivingIndex(Pairs):
    def images(self, indices: Any) -> Any:
        return super().images(np.minimum(indices, 3))


class HoldsLambda(Pairs):
    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.clean = lambda caption: caption.strip()


class SameEverywhere(Pairs):
    """All splits are one."""

    def __init__(self, split: str) -> None:
        super().__init__("train")
        self.split = split


for source, *fails in (
    (Museum(),),
    (OpensAnything(), "refusal"),
    (NoSummary(), "construction"),
    (ForgetsSplits(), "files"),
    (ReadsAbsentFiles(), "files"),
    (OtherCaptions(), "files"),
    (Museum(OtherName), "construction"),
    (Museum(TwiceTheSameId), "counts"),
    (Museum(NarrowIndex), "counts"),
    (Museum(OtherCaptionsFirst), "counts"),
    (Museum(Scattered), "neighbours"),
    (Museum(SortedImages), "images"),
    (Museum(DoubleImages), "images"),
    (Museum(ForgivingIndex), "range"),
    (Museum(HoldsLambda), "workers"),
    (Museum(SameEverywhere), "splits"),
):
    put_on_show(f"{type(source).__name__}-{source.make.__name__}", Subject("datasets", "museum", source), *fails)


def find_heavy(kind: str, name: str) -> Subject:
    """Return what is registered under this name, as if it came from a module that imports torch."""
    entry = registry.find(kind, name)
    return Subject(kind, name, entry.load(), entry._replace(value=f"{HEAVY}:thing"))


put_on_show("heavy", find_heavy("datasets", "shapes"), "light")
put_on_show("heavy", find_heavy("commands", "show"), "light")

SOUND = Recipe(
    name="sound",
    summary="Small, and nothing is wrong.",
    image_encoder=Part("precomp"),
    text_encoder=Part("bow", {"vocab_threshold": 1}),
    similarity=Part("cosine"),
    loss=Part("hinge"),
    embed_size=8,
    training=Training(learning_rate=0.01),
    overrides={"museum": Override({"training.num_epochs": 2}, "It is small.")},
)
LIKE_SOUND: dict[str, Any] = {"data": SamplePairs()}
UNKNOWN = Override({"training.epochs": 2}, "There is no such setting.")

for recipe, *fails in (
    (SOUND,),
    (replace(SOUND, name="unknown-option", loss=Part("hinge", {"marge": 1.0})), "construction"),
    (replace(SOUND, name="no-summary", summary=None), "json", "checkpoint"),  # type: ignore[arg-type]
    (replace(SOUND, name="unknown-setting", overrides={"coco": UNKNOWN}), "overrides"),
    (replace(SOUND, name="no-reason", overrides={"coco": Override({}, " ")}), "overrides"),
    (replace(SOUND, name="reads-numbers", image_encoder=Part("ReadsNumbers")), "count"),
    (replace(SOUND, name="stands-still", training=Training(learning_rate=1e-30)), "training"),
    (replace(SOUND, name="forgets", image_encoder=Part("ForgottenMean")), "checkpoint"),
):
    put_on_show(recipe.name, Subject("models", "under-test", recipe), *fails, **LIKE_SOUND)
put_on_show("heavy", find_heavy("models", "vsepp"), "light", **LIKE_SOUND, settings={"embed_size": 4})
put_on_show(
    "counts-images",
    Subject("models", "under-test", replace(SOUND, loss=Part("CountsImages"))),
    "processes",
    **LIKE_SOUND,
    slow=True,
)


@exhibit(arguments=[])
@click.command("sound")
@click.option("--json", "as_json", is_flag=True)
def sound(as_json: bool) -> None:
    """Tell nothing."""
    click.echo(json.dumps([]) if as_json else "nothing")


@exhibit("help")
@click.command("silent")
def silent() -> None:
    click.echo("nothing")


@exhibit("json", arguments=[])
@click.command("chatty")
@click.option("--json", "as_json", is_flag=True)
def chatty(as_json: bool) -> None:
    """Tell too much."""
    click.echo("Reading ...")
    click.echo(json.dumps([]))


put_on_show("other-name", Subject("commands", "show", sound, registry.find("commands", "show")), "construction")


class SoundImporter(Importer):
    """Nothing is wrong: arrays by the names of the tensors, and words as JSON."""

    name, summary = "museum", "What the museum writes."

    def recognise(self, source: Source) -> bool:
        return not source.is_folder and source.format == "npz" and "museum" in source.content

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        arrays = dict(source.content)
        words = json.loads(arrays.pop("museum").tobytes())
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Imported(self.make_recipe(tensors), WordTokenizer(1, Vocabulary(words)), tensors)

    def make_recipe(self, tensors: Mapping[str, torch.Tensor]) -> Recipe:
        return SOUND.replace({"image_encoder.img_dim": tensors["image_encoder.fc.weight"].shape[1]})

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        words = np.frombuffer(json.dumps(model.tokenizer.vocabulary.words).encode(), dtype=np.uint8)  # type: ignore[attr-defined]
        arrays = {name: self.store(tensor) for name, tensor in model.state_dict().items()}
        path = path.with_suffix(".npz")
        np.savez(path, museum=words, **arrays)
        return [path]

    def store(self, tensor: torch.Tensor) -> np.ndarray:
        return tensor.numpy()


class WantsVocabulary(SoundImporter):
    """The constructor wants something."""

    def __init__(self, vocabulary: str) -> None:
        self.vocabulary = vocabulary


class KnowsAll(SoundImporter):
    """Says yes to every file."""

    def recognise(self, source: Source) -> bool:
        return True


class Stumbles(SoundImporter):
    """Raises what nobody expects of a file of another codebase."""

    def recognise(self, source: Source) -> bool:
        return bool(not source.is_folder and source.format == "npz" and source.content["museum"].size)


class RecipeWithTuple(SoundImporter):
    """The recipe cannot be stored as it is."""

    def make_recipe(self, tensors: Mapping[str, torch.Tensor]) -> Recipe:
        return replace(super().make_recipe(tensors), summary=None)  # type: ignore[arg-type]


class HalvesWeights(SoundImporter):
    """What it writes is another model."""

    def store(self, tensor: torch.Tensor) -> np.ndarray:
        return super().store(tensor) / 2


for importer, *fails in (
    (SoundImporter,),
    (WantsVocabulary, "construction"),
    (KnowsAll, "recognition"),
    (Stumbles, "recognition"),
    (RecipeWithTuple, "reading"),
    (HalvesWeights, "writing"),
):
    put_on_show(importer.__name__, Subject("importers", "museum", importer), *fails, source="model.npz")

"""Checks of data sets: the registered source, and the pairs that it opens."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vsezoo.data.caption_file import read_captions
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions
from vsezoo.errors import DataError, VsezooError
from vsezoo.inputs import KINDS, PairDataset
from vsezoo.testing.imports import require_light
from vsezoo.testing.kit import Kit, promise, require

LOOKED_AT = 8
"""Images to read from each split: a data set may be large."""


@dataclass
class DatasetKit(Kit):
    """The checks of a data set: all its splits in all their forms, or one open split.

    Attributes:
        options: how splits are opened; `root` is where the data are.
    """

    options: OpenOptions = DEFAULT_OPTIONS

    @property
    def source(self) -> DataSource | None:
        """The registered source; None if an open split is checked."""
        return self.subject.thing if isinstance(self.subject.thing, DataSource) else None

    @functools.cached_property
    def opened(self) -> list[PairDataset]:
        """Every split in each of its forms."""
        if self.source is None:
            return [self.subject.thing]
        return [pairs for split in self.source.splits for pairs in self._open(split)]

    def _open(self, split: str) -> Iterator[PairDataset]:
        assert self.source is not None
        problem: DataError | None = None
        found = False
        for kind in self.source.kinds:
            try:
                pairs = self.source.open(split, (kind,), self.options)
            except DataError as error:  # a split may lack a form that another has
                problem = error
                continue
            found = True
            require(
                isinstance(pairs, PairDataset), f"open({split!r}) returns {type(pairs).__name__}, not a PairDataset"
            )
            stated = (pairs.name, pairs.split, pairs.kind)
            require(
                stated == (self.source.name, split, kind),
                f"open({split!r}, {kind!r}) has name, split and kind {stated}",
            )
            yield pairs
        require(found, f"no form of the split {split!r} can be opened: {problem}")

    @promise(
        "construction",
        "Set the attributes of the class; give the pairs the name of the source and the requested split and kind.",
    )
    def check_construction(self) -> None:
        """It has a name, a summary, an origin, splits and kinds, and each split opens as declared."""
        if self.source is not None:
            for name in ("name", "summary", "origin"):
                value = getattr(self.source, name, None)
                require(isinstance(value, str) and (value != "" or name == "origin"), f"{name} is {value!r}")
            for name in ("splits", "kinds"):
                value = getattr(self.source, name, None)
                require(isinstance(value, tuple) and len(value) > 0, f"{name} is {value!r}, not a tuple of names")
            require(
                set(self.source.kinds) <= set(KINDS), f"kinds are {self.source.kinds}; known are {', '.join(KINDS)}"
            )
        for pairs in self.opened:
            require(pairs.kind in KINDS, f"the kind of {_name(pairs)} is {pairs.kind!r}; known are {', '.join(KINDS)}")

    @promise(
        "refusal",
        "Raise DataError(problem, remedy=...), not KeyError or the like.",
        applies=lambda kit: kit.source is not None,
    )
    def check_refusal(self) -> None:
        """A split or a kind of images that it does not have is a DataError, which names those it has."""
        assert self.source is not None
        kinds = self.source.kinds
        absent = tuple(kind for kind in KINDS if kind not in kinds)
        for split, wanted in (("no-such-split", kinds), *(((self.source.splits[0], absent),) if absent else ())):
            try:
                self.source.open(split, wanted, self.options)
            except DataError:
                continue
            require(False, f"open({split!r}, {wanted}) does not raise a DataError")

    @promise(
        "light",
        "Import the class of the pairs inside open.",
        applies=lambda kit: kit.subject.module is not None,
    )
    def check_light(self) -> None:
        """The module of the source imports neither torch nor numpy: data sets are listed quickly."""
        require_light(self.subject)

    @promise(
        "counts",
        "Make image_of with np.repeat(np.arange(images), captions_of_each), which is int64.",
    )
    def check_counts(self) -> None:
        """image_of has an entry for each caption, image ids are unique, and each image has captions (str)."""
        for pairs in self.opened:
            where, index = _name(pairs), pairs.image_of
            require(
                isinstance(index, np.ndarray), f"image_of of {where} is of type {type(index).__name__}, not an array"
            )
            require(index.dtype == np.int64, f"image_of of {where} has dtype {index.dtype}, not int64")
            counts = f"{len(pairs.captions)} captions and image_of of shape {index.shape}"
            require(index.shape == (len(pairs.captions),) and len(index) > 0, f"{where} has {counts}")
            used = np.unique(index)
            every = np.array_equal(used, np.arange(len(pairs.image_ids)))
            require(every, f"{where} has {len(pairs.image_ids)} image_ids, but captions of {len(used)} images")
            for name in ("captions", "image_ids"):
                odd = next((value for value in getattr(pairs, name) if not isinstance(value, str)), None)
                require(odd is None, f"{name} of {where} has {odd!r}, which is not a str")
            begins = list(pairs.all_captions[: len(pairs.captions)]) == list(pairs.captions)
            require(begins, f"all_captions of {where} do not begin with its captions")
            twice = len(pairs.image_ids) - len(set(pairs.image_ids))
            require(twice == 0, f"{where} has {twice} duplicate image_ids")

    @promise(
        "neighbours",
        "Sort the captions by their image.",
    )
    def check_neighbours(self) -> None:
        """Captions of one image are adjacent."""
        for pairs in self.opened:
            starts = np.flatnonzero(np.diff(pairs.image_of, prepend=-1))
            images, runs = np.unique(pairs.image_of[starts], return_counts=True)
            apart = images[runs > 1]
            require(not len(apart), f"{_name(pairs)} has captions of other images between those of image {apart[:1]}")

    @promise(
        "images",
        "Index with np.asarray(indices); restore the order if a file can only be read in sequence.",
    )
    def check_images(self) -> None:
        """Images have the declared form, follow the order of the indices, and are the same at each call.

        They are finite float32 or float16 features (len(indices), *image_shape), a list of sets of regions (R_i, F), or
        a list of RGB pictures.
        """
        for pairs in self.opened:
            where, indices = _name(pairs), _choose(pairs)
            forwards, backwards = pairs.images(indices), pairs.images(np.array(indices[::-1]))
            if pairs.kind == "picture":
                require(isinstance(forwards, list), f"{type(forwards).__name__} for pictures of {where}, not a list")
                odd = next((item for item in forwards if not _is_rgb(item)), None)
                require(odd is None, f"{where} has {odd!r}, which is not an RGB picture")
            elif isinstance(forwards, list) and pairs.kind == "regions":
                odd = next((item for item in forwards if not _is_set(item, pairs.image_shape)), None)
                found = odd.shape if isinstance(odd, np.ndarray) else type(odd).__name__
                form = f"finite float32 or float16 features (R, {pairs.image_shape[1]}), R being 1 to "
                require(odd is None, f"{where} has {found}; expected {form}{pairs.image_shape[0]}")
            else:
                require(isinstance(forwards, np.ndarray), f"{type(forwards).__name__} for {where}, not an array")
                shape = (len(indices), *pairs.image_shape)
                require(forwards.shape == shape, f"{where} has shape {forwards.shape}, not {shape}")
                require(
                    forwards.dtype in (np.float32, np.float16),
                    f"{where} has dtype {forwards.dtype}, not float32 or float16",
                )
                require(bool(np.isfinite(forwards).all()), f"{where} has NaN or infinite values")
            require(len(forwards) == len(indices), f"{len(forwards)} images of {where} for {len(indices)} indices")
            require(
                _same(forwards, backwards[::-1]), f"{where} gives other images in another order, or at a second call"
            )
            require(
                _same(pairs.images([indices[-1]] * 2), [forwards[-1]] * 2),
                f"{where} gives another image if an index is repeated",
            )

    @promise(
        "range",
        "Compare with len(image_ids) before reading.",
    )
    def check_range(self) -> None:
        """An index past the last image is an IndexError, not another image."""
        for pairs in self.opened:
            try:
                pairs.images([len(pairs.image_ids)])
            except (IndexError, VsezooError):
                continue
            require(
                False, f"{_name(pairs)} gives an image for index {len(pairs.image_ids)}, but has only as many images"
            )

    @promise(
        "workers",
        "Do not store open files, locks or lambdas: open files when they are read, or in __setstate__.",
    )
    def check_workers(self) -> None:
        """A split can be pickled for worker processes, and its copy gives the same images."""
        for pairs in self.opened:
            copy = pickle.loads(pickle.dumps(pairs))
            indices = _choose(pairs)
            require(list(copy.captions) == list(pairs.captions), f"the copy of {_name(pairs)} has other captions")
            require(_same(copy.images(indices), pairs.images(indices)), f"the copy of {_name(pairs)} has other images")

    @promise(
        "splits",
        "Check how the splits were made: images that were trained on are of no use for testing.",
        applies=lambda kit: kit.source is not None,
    )
    def check_splits(self) -> None:
        """No image of the training split, with the same id and captions, is in dev or test."""
        for first in self.opened:
            for second in self.opened:
                if first.split == "train" != second.split and first.kind == second.kind:
                    shared = sorted(_entries(first).keys() & _entries(second).keys())[:LOOKED_AT]
                    for entry in shared:
                        here, there = (pairs.images([_entries(pairs)[entry]]) for pairs in (first, second))
                        require(not _same(here, there), f"the image {entry[0]!r} is in train and in {second.split}")

    @promise(
        "files",
        "Yield existing files of the folder in list_files; in locate_split, name the files of the opened splits.",
        applies=lambda kit: kit.source is not None,
    )
    def check_files(self) -> None:
        """What it reports about its files is true: splits that open, a folder, files, and captions line by line."""
        assert self.source is not None
        splits, folder = self.source.list_splits(self.options), self.source.find_folder(self.options)
        unknown = [name for name in dict.fromkeys(pairs.split for pairs in self.opened) if name not in splits]
        require(not unknown, f"list_splits returns {splits}, without {', '.join(unknown)}")
        require(folder is None or folder.is_dir(), f"find_folder returns {folder}, which is not a folder")
        absent = next((path for path in self.source.list_files(self.options) if not path.is_file()), None)
        require(absent is None, f"list_files yields {absent}, which is not a file")
        for pairs in self.opened:
            files = self.source.locate_split(pairs.split, self.options)
            for path in (files.captions, files.features):
                require(path is None or path.is_file(), f"locate_split names {path}, which is not a file")
            if files.captions is not None:
                same = list(pairs.all_captions) == read_captions(files.captions)[: len(pairs.all_captions)]
                require(same, f"the lines of {files.captions} are not the captions of {_name(pairs)}")


def _name(pairs: PairDataset) -> str:
    return f"{pairs.split} ({pairs.kind})"


def _choose(pairs: PairDataset) -> list[int]:
    """Return a few indices, out of order."""
    count = len(pairs.image_ids)
    return list(map(int, np.random.default_rng(0).permutation(count)[:LOOKED_AT]))


def _entries(pairs: PairDataset) -> dict[tuple[str, tuple[str, ...]], int]:
    """Return the indices of images by id and captions."""
    captions: list[list[str]] = [[] for _ in pairs.image_ids]
    for caption, image in zip(pairs.captions, pairs.image_of.tolist(), strict=True):
        captions[image].append(caption)
    return {
        (name, tuple(texts)): index for index, (name, texts) in enumerate(zip(pairs.image_ids, captions, strict=True))
    }


def _is_set(item: Any, shape: tuple[int, ...]) -> bool:
    """Return whether an image is a set of at least one region, within the shape of the data set."""
    if not isinstance(item, np.ndarray) or item.ndim != 2 or item.dtype not in (np.float32, np.float16):
        return False
    return 0 < len(item) <= shape[0] and item.shape[1] == shape[1] and bool(np.isfinite(item).all())


def _is_rgb(item: Any) -> bool:
    return isinstance(item, Image.Image) and item.mode == "RGB"


def _same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(np.asarray(one), np.asarray(other)) for one, other in zip(first, second, strict=True)
    )

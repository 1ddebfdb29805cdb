"""From what a user names to a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.precomputed.feature_record import compare_extraction
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, UsageError
from vsezoo.interfaces import PairDataset
from vsezoo.parts import accepted_kinds
from vsezoo.search.collection import Collection, FeatureRows, Sentences, SplitImages, list_captions, name_split
from vsezoo.search.picture_folder import PictureFolder
from vsezoo.search.sentence_file import Sentence, read_sentences

Images = str | Path | PairDataset
"""A folder of pictures, a `.npy` file of features, or a split."""
Texts = str | Path | Sequence[str] | PairDataset
"""A file of sentences, sentences, or a split with its captions."""


def collect_images(source: Images, on_bad_image: str = "skip") -> Collection:
    """Return the collection that is meant by images.

    Raises:
        DataError: for what is not there, or holds no images.
        UsageError: for an unknown policy about bad images.
    """
    if isinstance(source, PairDataset):
        return SplitImages(source)
    skips = OpenOptions(on_bad_image=on_bad_image).on_bad_image == "skip"
    path = Path(source)
    if path.suffix == ".npy":
        return FeatureRows(path)
    if path.is_file():
        raise DataError(
            "is neither a folder of pictures nor a .npy file of features.",
            file=path,
            remedy=f"Name the folder that it is in: {path.parent}",
        )
    return PictureFolder(path, skips=skips)


def collect_texts(source: Texts) -> Collection:
    """Return the collection that is meant by texts.

    Raises:
        DataError: for a file that is not there, or holds no sentences.
        UsageError: for no sentences.
    """
    if isinstance(source, PairDataset):
        return Sentences(list_captions(source), name_split(source), skipped=source.skipped, data=source)
    if isinstance(source, str | Path):
        path = Path(source)
        return Sentences(read_sentences(path), str(path), str(path.absolute()))
    if not source or not all(isinstance(text, str) for text in source):
        raise UsageError("texts is no list of sentences.", remedy="Give strings, one at least, or a file of them.")
    return Sentences([Sentence(str(index), text) for index, text in enumerate(source)], "the sentences")


def open_split(
    checkpoint: Checkpoint,
    data: str | None,
    split: str,
    options: OpenOptions,
    warn: Callable[[str], object],
    note: Callable[[str], object] = lambda text: None,
) -> PairDataset:
    """Open a split whose images a model takes.

    Args:
        checkpoint: of the model; it names the data of the training.
        data: a registered data set or a folder; None: the one of the training.
        split: `train`, `dev`, `test`, …
        options: how to open it.
        warn: called with a message if the features were extracted differently from the training features.
        note: called with a line on what was found in the data folder; empty if nothing is known.

    Raises:
        DataError: when the data are absent, damaged, or of another kind.
        UsageError: when nothing is named and the data set of the training is not registered.
    """
    opened = open_data(data or checkpoint.training_data(), split, accepted_kinds(checkpoint.recipe), options)
    note(opened.account.get("summary", ""))
    if warning := compare_extraction(checkpoint.config["data"], opened):
        warn(warning)
    return opened

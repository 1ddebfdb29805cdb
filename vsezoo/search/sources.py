"""Open the collection that a user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.walk import ENDINGS, HEIC
from vsezoo.data.precomputed.feature_record import compare_extraction
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, UsageError
from vsezoo.evaluation.evaluate import find_measured_split
from vsezoo.inputs import PairDataset
from vsezoo.parts import accepted_kinds
from vsezoo.search.collection import Collection, FeatureRows, Sentences, SplitImages, list_captions, name_split
from vsezoo.search.picture_folder import NamedPictures, PictureFolder
from vsezoo.search.sentence_file import Sentence, read_sentences
from vsezoo.storage.plain_file import require_path

Images = str | Path | Sequence[str | Path] | PairDataset
"""A folder of pictures, a picture or several, a `.npy` file of features, or a split."""
Texts = str | Path | Sequence[str] | PairDataset
"""A file of sentences, sentences, or a split with its captions."""


def collect_images(source: Images, on_bad_image: str = "skip") -> Collection:
    """Return the collection of images.

    Raises:
        DataError: for a path that does not exist or contains no images.
        UsageError: for an unknown policy about bad images, or an empty list.
    """
    if isinstance(source, PairDataset):
        return SplitImages(source)
    skips = OpenOptions(on_bad_image=on_bad_image).on_bad_image == "skip"
    if not isinstance(source, str | Path):
        if not source:
            raise UsageError("images is an empty list.", remedy="Pass at least one picture file, or a folder.")
        return NamedPictures([str(file) for file in source], skips=skips)
    path = Path(source)
    if path.suffix == ".npy":
        require_path(path)
        return FeatureRows(path)
    if path.suffix.lower() in (*ENDINGS, *HEIC) and not path.is_dir():
        return NamedPictures([str(source)], skips=skips, ids=[path.name])  # as in a folder, wherever it is named from
    if path.is_file():
        raise DataError(
            "is neither a folder of pictures, nor a picture, nor a .npy file of features.",
            file=path,
            remedy="Name a folder of pictures, or a file with the suffix of a picture, such as .jpg or .png.",
        )
    return PictureFolder(path, skips=skips)


def collect_texts(source: Texts) -> Collection:
    """Return the collection of sentences.

    Raises:
        DataError: for a file that does not exist or contains no sentences.
        UsageError: for an empty list, or anything but a list of sentences.
    """
    if isinstance(source, PairDataset):
        return Sentences(list_captions(source), name_split(source), skipped=source.skipped, data=source)
    if isinstance(source, str | Path):
        path = Path(source)
        require_path(path)
        return Sentences(read_sentences(path), str(path), str(path.absolute()))
    if not source or not all(isinstance(text, str) for text in source):
        raise UsageError(
            "texts is not a list of sentences.", remedy="Pass at least one string, or a file of sentences."
        )
    return Sentences([Sentence(str(index), text) for index, text in enumerate(source)], "the sentences")


def open_split(
    checkpoint: Checkpoint,
    data: str | None,
    split: str | None,
    options: OpenOptions,
    warn: Callable[[str], object],
    note: Callable[[str], object] = lambda text: None,
) -> PairDataset:
    """Open a split whose images a model takes.

    Args:
        checkpoint: checkpoint of the model, which names the training data.
        data: a registered data set or a folder; None: the training data.
        split: `train`, `dev`, `test`, …; None: see `find_default_split`.
        options: how to open it.
        warn: called with a message if the features were extracted differently from the training features.
        note: called with a summary of the data folder; empty if nothing is known.

    Raises:
        DataError: when the data are absent, damaged, or of a kind that the model does not take.
        UsageError: when no data are named and the training data set is not registered.
    """
    chosen = split or find_default_split(checkpoint, data)
    if not split and chosen != "test":
        note(f"{checkpoint.reference}: the split {chosen}, on which the checkpoint was measured.")
    opened = open_data(data or checkpoint.training_data(), chosen, accepted_kinds(checkpoint.recipe), options)
    note(opened.account.get("summary", ""))
    if warning := compare_extraction(checkpoint.config["data"], opened):
        warn(warning)
    return opened


def find_default_split(checkpoint: Checkpoint, data: str | None) -> str:
    """Return the split to open if none is named: the one whose metrics the checkpoint stores, otherwise `test`.

    Args:
        checkpoint: checkpoint of the model.
        data: a registered data set or a folder; None: the training data, which may have no test split.
    """
    return (find_measured_split(checkpoint) if data is None else None) or "test"

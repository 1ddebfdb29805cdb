"""Evaluate models: encode a split once, rank it, and label the metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo.batch import Embeddings
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.precomputed.feature_record import compare_extraction
from vsezoo.data.sentinel import compare_with_training, describe_repeated
from vsezoo.data.source import OpenOptions
from vsezoo.errors import CheckpointError, DataError, UsageError, report_system_errors
from vsezoo.evaluation.collection import Collector, describe_data
from vsezoo.evaluation.encoded import EncodedSide, EncodedSplit
from vsezoo.evaluation.languages import LanguageCollector
from vsezoo.evaluation.predictions import Predictions, require_suffix, write_predictions
from vsezoo.evaluation.protocols import Collect, measure
from vsezoo.evaluation.report import Evaluation
from vsezoo.inputs import PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds
from vsezoo.storage.checkpoint_layout import MODEL
from vsezoo.storage.waiting import Advance
from vsezoo.text.known_words import check_known_words

UNFINISHED = (
    "The training run is not finished, or its data have no test split: dev is what the best checkpoint was chosen by. "
    "--split test measures the test split."
)


@report_system_errors
def evaluate(
    references: str | Path | Checkpoint | Sequence[str | Path | Checkpoint],
    data: str | Path | None = None,
    *,
    split: str | None = None,
    data_root: str | Path | None = None,
    protocol: str = "full",
    ties: str = "lower_index",
    full_dev: bool = False,
    on_bad_image: str = "error",
    device: str | torch.device = "cpu",
    advance: Advance | None = None,
    advance_scores: Advance | None = None,
    keep_scores: Path | None = None,
    predictions: Path | None = None,
    top: int = 10,
    examine: Callable[[PairDataset], Collect] | None = None,
    warn: Callable[[str], object] = warnings.warn,
    note: Callable[[str], object] = lambda text: None,
) -> Evaluation:
    """Evaluate a checkpoint, or several as an ensemble whose similarities are averaged.

    Args:
        references: one or several checkpoints, as `load` takes them. Hub references are resolved to commits once.
        data: a registered data set or a folder; None: the training data of the first checkpoint.
        split: None: the split of the first checkpoint's stored metrics, if `data` and the protocol are theirs;
            otherwise `test`, or `testall` for fold5.
        data_root: the folder that contains the data set's folder.
        protocol: `full`, or `fold5` for COCO 1K.
        ties: tie rule for equal scores: `lower_index`, `pessimistic` or `expected`.
        full_dev: use the whole dev split, not its first 1,000 images as the original codes do.
        on_bad_image: "error" stops at a picture that cannot be read, "skip" skips it and its captions.
        device: device for encoding and ranking.
        advance: progress callback for encoded images and captions.
        advance_scores: progress callback for scored pairs; called for expensive similarities, such as those over sets.
        keep_scores: a `.npy` file for all scores, images by captions, in which an interrupted evaluation continues; see
            `measure`.
        predictions: a file for the result of each query: `.jsonl`, `.parquet` or `.trec`.
        top: number of best candidates in it for each query.
        examine: called with the split; returns what is called with all that is ranked, as `measure` does.
        warn: called with a message if the features were extracted differently from the training features.
        note: called with a summary of the data folder; empty if nothing is known.

    Returns:
        the labelled metrics.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        HubError: if a checkpoint cannot be downloaded.
        DataError: for data that are absent or damaged, or of a kind that the model does not take.
    """
    if isinstance(references, str) or not isinstance(references, Iterable):
        references = [references]
    references = list(references)
    if not references:
        raise UsageError("There is no checkpoint to evaluate.")
    members = []
    labels: list[Mapping[str, Any]] = []
    recipes: list[Mapping[str, Any]] = []
    opened: dict[tuple[str, ...], PairDataset] = {}
    if predictions is not None:
        require_suffix(predictions)
    for checkpoint in map(Checkpoint.open, references):
        model = checkpoint.model(device)
        if data is None:
            data = checkpoint.training_data()
            if split is None and (split := find_measured_split(checkpoint, protocol)) == "dev":
                note(f"{checkpoint.reference}: measured on the split dev. {UNFINISHED}")
        split = split or choose_split(protocol)
        kinds = accepted_kinds(model.recipe)
        if kinds not in opened:
            root = None if data_root is None else Path(data_root)
            options = OpenOptions(root, full_dev, on_bad_image=on_bad_image)
            opened[kinds] = open_data(str(data), split, kinds, options)
            note(opened[kinds].account.get("summary", ""))
        if warning := compare_extraction(checkpoint.config["data"], opened[kinds]):
            warn(f"{checkpoint.reference}: {warning}")
        for warning in _look_at(checkpoint, model, opened[kinds]):
            warn(f"{checkpoint.reference}: {warning}")
        try:
            members.append(embed_pairs(model, opened[kinds], advance=advance))
        except DataError as error:
            if error.file is not None:
                raise
            problem = f"cannot be evaluated on {str(data)!r}: {error.problem}"
            raise DataError(problem, file=checkpoint.reference, remedy=error.remedy) from None
        digest = checkpoint.config["files"][MODEL]["sha256"]
        recipes.append(model.recipe.to_json())
        labels.append({"reference": checkpoint.reference, "model": model.recipe.name, "sha256": digest})
    data_ranked = next(iter(opened.values()))
    collector = None if predictions is None else Collector(data_ranked, top, ties)
    collects = [*([collector.add] if collector else []), *([examine(data_ranked)] if examine else [])]
    evaluation = label(
        members,
        data_ranked,
        labels,
        protocol=protocol,
        ties=ties,
        advance=advance_scores,
        keep=keep_scores,
        collect=(lambda *ranked: [collect(*ranked) for collect in collects]) if collects else None,
    )
    if predictions is not None and collector is not None:
        about = {"evaluation": evaluation.to_json(), **describe_data(data_ranked), "recipes": recipes, "top": top}
        write_predictions(predictions, Predictions(about, collector.queries))
    return replace(evaluation, account=data_ranked.account)


def _look_at(checkpoint: Checkpoint, model: JointEmbedding, data: PairDataset) -> Iterator[str]:
    """Yield warnings about data that a model does not suit, or that are not what they were."""
    if not compare_extraction(checkpoint.config["data"], data):  # which would say the same
        yield from compare_with_training(checkpoint.config["data"], data)
    yield from filter(None, (describe_repeated(data), check_known_words(model.tokenizer, data.captions, "captions")))


def find_measured_split(checkpoint: Checkpoint, protocol: str = "full") -> str | None:
    """Return the split of a checkpoint's stored metrics, if they belong to its training data and this protocol."""
    try:
        figures = checkpoint.evaluation()
        held = None if figures is None else Evaluation.from_json(figures)
    except CheckpointError:  # they are about to be measured again
        return None
    known = held is not None and (held.data, held.protocol) == (checkpoint.config["data"].get("name"), protocol)
    return held.split if held is not None and known else None


def choose_split(protocol: str) -> str:
    """Return the split that a protocol is reported on."""
    return "testall" if protocol == "fold5" else "test"


def embed_pairs(
    model: JointEmbedding,
    data: PairDataset,
    captions: Sequence[np.ndarray] | None = None,
    *,
    batch_size: int = 256,
    advance: Advance | None = None,
) -> EncodedSplit:
    """Encode each distinct image and each caption of a split once, with items if the similarity compares sets.

    Args:
        model: the model, in eval mode.
        data: the split.
        captions: its captions as ids, if already known.
        batch_size: images or captions in a batch.
        advance: progress callback `(done, total)`.
    """
    if captions is None:
        captions = model.tokenizer.encode(data.captions)
    images, total = len(data.image_ids), len(data.image_ids) + len(captions)
    if not images or not captions:
        raise DataError(f"the split {data.split} of {data.name} is empty.")

    def embed_images() -> Iterator[tuple[np.ndarray, Embeddings]]:
        for start in range(0, images, batch_size):
            indices = np.arange(start, min(start + batch_size, images))
            yield indices, model.embed_images(data.images(indices), batch_size)
            if advance:
                advance(int(indices[-1]) + 1, total)

    encoded = EncodedSide.pack(embed_images())
    texts = EncodedSide.pack(model.embed_by_length(captions))
    if advance:
        advance(total, total)
    return EncodedSplit(encoded, texts, model.similarity, model)


def label(
    members: Sequence[EncodedSplit],
    data: PairDataset,
    checkpoints: Sequence[Mapping[str, Any]],
    *,
    protocol: str = "full",
    ties: str = "lower_index",
    advance: Advance | None = None,
    keep: Path | None = None,
    collect: Collect | None = None,
) -> Evaluation:
    """Evaluate a split and label the metrics."""
    has_several = len({*data.languages} - {""}) > 1
    of_languages = LanguageCollector(data.languages, data.image_of, ties) if has_several else None
    collects = [*([of_languages.add] if of_languages else []), *([collect] if collect else [])]
    with torch.inference_mode():
        metrics = measure(
            members,
            data.image_of,
            protocol=protocol,
            ties=ties,
            advance=advance,
            keep=keep,
            collect=(lambda *ranked: [add(*ranked) for add in collects]) if collects else None,
        )
    return Evaluation(
        metrics,
        data=data.name,
        split=data.split,
        protocol=protocol,
        checkpoints=checkpoints,
        images=len(data.image_ids),
        captions=len(data.captions),
        skipped=len(data.skipped),
        languages=of_languages.figures if of_languages else {},
    )

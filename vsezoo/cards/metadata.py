"""Metadata that the Hub reads: the YAML front matter of the card, and `.eval_results`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]  # re-exported implicitly

from vsezoo.storage.checkpoint_layout import UNKNOWN_DATA

UNKNOWN_LICENSE = "unknown"
"""The Hub's identifier for weights without a licence; data sets often allow less than code."""
EVAL_RESULTS = ".eval_results/vsezoo.yaml"
TASK = "image-text-retrieval"
WAYS = {"i2t": "image to text", "t2i": "text to image"}


def describe_model(model: str, data: str, evaluation: Mapping[str, Any] | None, license: str) -> str:
    """Return the YAML front matter of a card, without its dashes.

    Args:
        model: name of the recipe.
        data: name of the training data.
        evaluation: the result of `Evaluation.to_json`; None: no `model-index`.
        license: one of the Hub's identifiers.
    """
    results = None
    if evaluation is not None:
        results = [
            EvalResult(
                task_type=TASK,
                task_name="Image-text retrieval",
                dataset_type=evaluation["data"],
                dataset_name=evaluation["data"],
                dataset_config=evaluation["protocol"],  # the client groups results by it, not by their arguments
                dataset_split=evaluation["split"],
                dataset_args={"protocol": evaluation["protocol"]},
                metric_type=kind,
                metric_name=name,
                metric_value=value,
            )
            for kind, name, value in _list_figures(evaluation)
        ]
    card_data = ModelCardData(
        license=license,
        library_name="vsezoo",
        pipeline_tag="feature-extraction",
        tags=["visual-semantic-embedding", "image-text-retrieval", model],
        datasets=None if data == UNKNOWN_DATA else [data],
        metrics=["recall"],
        model_name=model if results else None,
        eval_results=results,
    )
    return str(card_data.to_yaml())


def write_eval_results(evaluation: Mapping[str, Any], source_url: str | None = None) -> bytes:
    """Return the figures in the format of `.eval_results/*.yaml`, each with its data set, split and protocol."""
    notes = f"split {evaluation['split']}, protocol {evaluation['protocol']}, ties {evaluation['ties']['rule']}"
    entries = [
        EvalResultEntry(
            dataset_id=evaluation["data"],
            task_id=kind,
            value=value,
            source_url=source_url,
            notes=f"{name}, {notes}",
        )
        for kind, name, value in _list_figures(evaluation)
    ]
    return str(yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)).encode()


def _list_figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield type, name and value of each figure; recalls are in percent."""
    for way, words in WAYS.items():
        for label in ("R@1", "R@5", "R@10"):
            yield f"{way}_recall_at_{label[2:]}", f"{words} {label}", round(float(evaluation[way][label]), 4)
        yield f"{way}_median_rank", f"{words} MedR", round(float(evaluation[way]["MedR"]), 4)
    yield "rsum", "rsum", round(float(evaluation["rsum"]), 4)

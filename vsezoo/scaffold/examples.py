"""The worked examples of `vsezoo new-plugin`, one for each kind. Only the standard library is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A worked example of one kind.

    Attributes:
        group: the kind, by its name in the registry.
        value: the value of the entry point, relative to the package.
        files: the modules with their contents.
        noun: used in the summary of the package.
    """

    group: str
    value: str
    files: dict[str, str]
    noun: str


EXAMPLES = {
    "image-encoder": Example(
        "image_encoders",
        "image_encoder:AttentionImageEncoder",
        {"image_encoder.py": "the image encoder: regions, averaged by attention"},
        "an image encoder",
    ),
    "text-encoder": Example(
        "text_encoders",
        "text_encoder:AveragingTextEncoder",
        {"text_encoder.py": "the text encoder: a deep average of words"},
        "a text encoder",
    ),
    "similarity": Example(
        "similarities",
        "similarity:BilinearSimilarity",
        {"similarity.py": "the similarity: an inner product with a learned matrix"},
        "a similarity",
    ),
    "loss": Example(
        "losses", "loss:SigmoidLoss", {"loss.py": "the loss: classifies each pair as match or mismatch"}, "a loss"
    ),
    "dataset": Example(
        "datasets",
        "dataset:source",
        {
            "dataset.py": "the data set, as listed by `vsezoo list-datasets`",
            "pairs.py": "its generated images and captions",
        },
        "a data set",
    ),
    "recipe": Example("models", "recipes:recipe", {}, "a model"),
    "importer": Example(
        "importers",
        "importer:ArchiveImporter",
        {"importer.py": "the importer of another codebase's files"},
        "an importer",
    ),
    "command": Example(
        "commands", "command:command", {"command.py": "the command: how similar sentences are"}, "a command"
    ),
}
"""The examples by the values of `--kind`. Every package also has a model."""

DEFAULT_KINDS = ("image-encoder",)

PARTS = {
    "image_encoder": ("image-encoder", "precomp", "attention over regions", "linear CNN features"),
    "text_encoder": ("text-encoder", "gru", "deep averages of words", "GRU sentences"),
    "similarity": ("similarity", "cosine", "a bilinear form", "cosine"),
    "loss": ("loss", "hinge", "the sigmoid loss", "the hardest negatives"),
}
"""For each part of the model: the kind, the built-in part used without an own one, and both in words."""

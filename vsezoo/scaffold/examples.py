"""What a package of `vsezoo new-plugin` has of each kind. Imports nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """What a package has of one kind.

    Attributes:
        group: the kind, as the registry calls it.
        value: what the entry point names, from the package on.
        files: the modules, and what each has.
        noun: in the summary of the package.
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
        {"similarity.py": "the similarity: an inner product under a matrix that is learnt"},
        "a similarity",
    ),
    "loss": Example(
        "losses", "loss:SigmoidLoss", {"loss.py": "the loss: each pair by itself, match or no match"}, "a loss"
    ),
    "dataset": Example(
        "datasets",
        "dataset:source",
        {
            "dataset.py": "the data set, as it is listed",
            "pairs.py": "its images and captions, which are generated",
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
        "commands", "command:command", {"command.py": "the command: how near sentences are to each other"}, "a command"
    ),
}
"""The kinds, by the values of `--kind`. Every package has a model."""

DEFAULT_KINDS = ("image-encoder",)

PARTS = {
    "image_encoder": ("image-encoder", "precomp", "attention over regions", "linear CNN features"),
    "text_encoder": ("text-encoder", "gru", "deep averages of words", "GRU sentences"),
    "similarity": ("similarity", "cosine", "a bilinear form", "cosine"),
    "loss": ("loss", "hinge", "the sigmoid loss", "the hardest negatives"),
}
"""Of each part of the model: its kind, what it is where the package has none of its own, and both in words."""

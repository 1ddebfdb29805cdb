"""SGRAF: similarity reasoning and filtration for image-text matching (Diao, Zhang, Ma, Lu; AAAI 2021).

The parent is SCAN, t2i. What is new is that a pair has not one number for each word, but a vector, and one more for
the pair of global nodes. `sgr` lets these alignments reason on a graph and reads off the global one; `saf` weighs them.
The published SGRAF is the mean of the similarities of the two: `vsezoo eval RUN_1 RUN_2 --ensemble`.

As the original code's README runs them, with hardest negatives and a bidirectional GRU, learning rate 2e-4:

    sgr    COCO: --num_epochs 20 --lr_update 10    F30K: --num_epochs 40 --lr_update 30
    saf    COCO: --num_epochs 20 --lr_update 10    F30K: --num_epochs 30 --lr_update 20

What the code has where one would expect otherwise, and we follow the code: batch norm with a channel for each position
of a region; batch norm of `saf` over one caption at a time; no norm between the steps of the graph.
"""

import dataclasses

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Similarity Reasoning and Filtration for Image-Text Matching",
    authors="Diao, Zhang, Ma, Lu",
    year=2021,
    venue="AAAI",
    url="https://arxiv.org/abs/2101.01368",
)

README = "Paranioar/SGRAF, README"
REGIONS = "36 regions, bottom-up attention"

COCO = {"training.num_epochs": 20, "schedule.every": 10}
COCO_REASON = "the settings of the original's README for COCO"

SHAPES = {
    "embed_size": 64,
    "text_encoder.word_dim": 100,
    "similarity.sim_dim": 64,
    "loss.warmup_epochs": 1,
    "loss.mask_same_image": True,
    "training.learning_rate": 2e-3,
    "training.num_epochs": 8,
    "schedule.every": 6,
    "training.val_step": 0,
}
SHAPES_REASON = "a small data set: narrow layers and a fast schedule train in a few minutes on two cores"


def _published(data: str, figures: tuple[float, ...], protocol: str = "full") -> PublishedResult:
    i2t, t2i = (figures[0], figures[1], figures[2]), (figures[3], figures[4], figures[5])
    return PublishedResult(data, i2t, t2i, README, features=REGIONS, protocol=protocol)


sgr = Recipe(
    name="sgr",
    summary="Alignments of words and regions reason on a graph (SGRAF).",
    image_encoder=Part("sgraf-regions"),
    text_encoder=Part("sgraf-gru", {"bidirectional": True}),
    similarity=Part("sgr"),
    loss=Part("hinge", {"max_violation": True}),
    training=TrainingSettings(num_epochs=40, val_step=1000, schedule=Part("step", {"every": 30})),
    overrides={
        "coco_precomp": Override(COCO, COCO_REASON),
        "shapes": Override(SHAPES, SHAPES_REASON),
    },
    paper=PAPER,
    published=(
        _published("f30k", (76.6, 93.7, 96.6, 56.1, 80.9, 87.0)),
        _published("coco", (77.3, 96.0, 98.6, 62.1, 89.6, 95.3), "fold5"),
        _published("coco", (57.3, 83.2, 90.6, 40.5, 69.6, 80.3)),
    ),
)

saf = dataclasses.replace(
    sgr.replace({"similarity": "saf", "training.num_epochs": 30, "schedule.every": 20}),
    name="saf",
    summary="Alignments of words and regions are weighed by an attention (SGRAF).",
    published=(
        _published("f30k", (75.6, 92.7, 96.9, 56.5, 82.0, 88.4)),
        _published("coco", (78.0, 95.9, 98.5, 62.2, 89.5, 95.4), "fold5"),
        _published("coco", (55.5, 83.8, 91.8, 40.1, 69.7, 80.4)),
    ),
)

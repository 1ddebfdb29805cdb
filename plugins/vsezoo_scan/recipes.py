"""SCAN: stacked cross attention for image-text matching (Lee, Chen, Hua, Hu, He; ECCV 2018).

The parent is VSE++: hardest negatives, Adam, a GRU over words. What is new is that an image is a set of regions and a
caption a set of words until they meet: `scan-t2i` lets each word attend to the regions and compares it with what it
attended to, `scan-i2t` lets each region attend to the words. The relevances of the words (or regions) are aggregated by
LogSumExp or their mean. The equations are in `attention.py`.

As the original code's README runs them, always with `--max_violation --bi_gru`:

    scan-t2i        --agg_func LogSumExp --lambda_lse 6 --lambda_softmax 9
    scan-t2i-avg    --agg_func Mean --lambda_softmax 9
    scan-i2t        --cross_attn i2t --agg_func LogSumExp --lambda_lse 5 --lambda_softmax 4     (COCO: --lambda_lse 20)
    scan-i2t-avg    --cross_attn i2t --agg_func Mean --lambda_softmax 4

F30K: 30 epochs, learning rate 2e-4, a tenth of it from epoch 15. COCO: 20 epochs, 5e-4, from epoch 10.

The published ensemble is the mean of the similarities of two models: `vsezoo eval RUN_1 RUN_2 --ensemble`.

What the code has where the paper writes otherwise, and we follow the code: a leaky ReLU of slope 0.1 in place of the
ReLU before the norm of the attention, and LogSumExp without a division by the number of words, so that longer captions
score higher.
"""

import dataclasses

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Stacked Cross Attention for Image-Text Matching",
    authors="Lee, Chen, Hua, Hu, He",
    year=2018,
    venue="ECCV",
    url="https://arxiv.org/abs/1803.08024",
)

INDEX = "Paranioar/Awesome_Matching_Pretraining_Transfering, performance.md"
REPRODUCTION = "WangFei-2019/Image-text-Retrieval, SIGIR 2022 reproducibility study"
REGIONS = "36 regions, bottom-up attention"

COCO = {"training.num_epochs": 20, "training.learning_rate": 5e-4, "schedule.every": 10}
COCO_REASON = "the settings of the original's README for COCO"

SHAPES = {
    "embed_size": 128,
    "text_encoder.word_dim": 100,
    "loss.warmup_epochs": 1,
    "loss.mask_same_image": True,
    "training.batch_size": 256,
    "training.learning_rate": 3e-3,
    "training.num_epochs": 8,
    "schedule.every": 6,
    "training.val_step": 0,
}
SHAPES_REASON = "a small data set: narrow layers and a fast schedule train in a few minutes on two cores"


def _published(data: str, figures: tuple[float, ...], source: str, protocol: str = "full") -> PublishedResult:
    i2t, t2i = (figures[0], figures[1], figures[2]), (figures[3], figures[4], figures[5])
    return PublishedResult(data, i2t, t2i, source, features=REGIONS, protocol=protocol)


scan_t2i = Recipe(
    name="scan-t2i",
    summary="Words attend to image regions; their relevances are aggregated by LogSumExp.",
    image_encoder=Part("scan-regions"),
    text_encoder=Part("scan-gru", {"bidirectional": True}),
    similarity=Part("cross-attention", {"direction": "t2i", "aggregation": "LogSumExp"}),
    loss=Part("hinge", {"max_violation": True}),
    training=TrainingSettings(),
    overrides={
        "coco_precomp": Override(COCO, COCO_REASON),
        "shapes": Override(SHAPES, SHAPES_REASON),
    },
    paper=PAPER,
    published=(_published("f30k", (61.1, 85.4, 91.5, 43.3, 71.9, 80.9), REPRODUCTION),),
)

scan_t2i_avg = dataclasses.replace(
    scan_t2i.replace({"similarity.aggregation": "Mean"}),
    name="scan-t2i-avg",
    summary="Words attend to image regions; the mean of their relevances.",
    published=(
        _published("f30k", (61.8, 87.5, 93.7, 45.8, 74.4, 83.0), INDEX),
        _published("coco", (70.9, 94.5, 97.8, 56.4, 87.0, 93.9), INDEX, "fold5"),
    ),
)

scan_i2t = dataclasses.replace(
    scan_t2i.replace(
        {"similarity.direction": "i2t", "similarity.softmax_scale": 4.0, "similarity.lse_scale": 5.0},
    ),
    name="scan-i2t",
    summary="Image regions attend to words; their relevances are aggregated by LogSumExp.",
    overrides={
        "coco_precomp": Override({**COCO, "similarity.lse_scale": 20.0}, COCO_REASON),
        "shapes": Override(SHAPES, SHAPES_REASON),
    },
    published=(
        _published("f30k", (67.7, 88.9, 94.0, 44.0, 74.2, 82.6), REPRODUCTION),
        _published("coco", (46.4, 77.4, 87.2, 34.4, 63.7, 75.7), INDEX),
    ),
)

scan_i2t_avg = dataclasses.replace(
    scan_i2t.replace({"similarity.aggregation": "Mean"}),
    name="scan-i2t-avg",
    summary="Image regions attend to words; the mean of their relevances.",
    overrides=scan_t2i.overrides,
    published=(
        _published("f30k", (67.9, 89.0, 94.4, 43.9, 74.2, 82.8), INDEX),
        _published("coco", (69.2, 93.2, 97.5, 54.4, 86.0, 93.6), INDEX, "fold5"),
    ),
)

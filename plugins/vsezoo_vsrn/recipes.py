"""VSRN: visual semantic reasoning for image-text matching (Li, Zhang, Li, Li, Fu; ICCV 2019).

Based on VSE++: `g(c)` the last state of a GRU for a caption, cosine similarity, hardest negatives. The image side is
new, see `encoder.py`: regions instead of one feature, related to each other and then read by a GRU. And the loss has a
second term: a decoder with attention generates the caption from the regions,

    L = L_matching + L_generation  (section 3.4),

where L_generation is the caption's negative log-likelihood, with weight 1 by default. The decoder is part of the loss
(`caption`), so that the model itself consists only of the two encoders.

As the original code's README runs it:

    coco_precomp    --max_violation
    f30k_precomp    --max_violation --lr_update 10 --max_len 60

The best checkpoint is chosen by R@1 + R@5 of both directions, also at validations inside an epoch. The published
"ensemble" is the mean of the similarities of two models trained with different seeds: `vsezoo eval RUN_1 RUN_2
--ensemble`.
"""

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Visual Semantic Reasoning for Image-Text Matching",
    authors="Li, Zhang, Li, Li, Fu",
    year=2019,
    venue="ICCV",
    url="https://arxiv.org/abs/1909.02701",
)

VSE_INFINITY = "VSE-infinity (CVPR 2021), its tables of earlier methods"
REPRODUCTION = "WangFei-2019/Image-text-Retrieval, SIGIR 2022 reproducibility study"
INDEX = "Paranioar/Awesome_Matching_Pretraining_Transfering, performance.md"
RERUN = "KunpengLi1994/VSRN issue 23, re-run by a user"

REGIONS = "36 regions, bottom-up attention"
ENSEMBLE = f"{REGIONS}; two models"

SHAPES = {
    "embed_size": 128,
    "text_encoder.word_dim": 100,
    "loss.hidden_size": 64,
    "loss.word_dim": 32,
    "loss.warmup_epochs": 1,
    "loss.mask_same_image": True,
    "training.batch_size": 256,
    "training.learning_rate": 3e-3,
    "training.num_epochs": 18,
    "schedule.every": 15,
    "training.val_step": 0,
}
SHAPES_REASON = (
    "a small data set: narrow layers and a fast schedule train in under two minutes on two cores; a large batch has "
    "an image's mirrored twin more often"
)

vsrn = Recipe(
    name="vsrn",
    summary="Image regions related by graph convolution and read by a GRU; also trained to generate the caption.",
    image_encoder=Part("vsrn"),
    text_encoder=Part("gru"),
    similarity=Part("cosine"),
    loss=Part("caption", {"max_violation": True}),
    embed_size=2048,
    training=TrainingSettings(criterion="r1+r5", select_mid_epoch=True),
    overrides={
        "f30k_precomp": Override(
            {
                "schedule.every": 10,
                "loss.max_len": 60,
                "image_encoder.first_norm": False,
                "image_encoder.final_batch_norm": True,
            },
            "the original code treats this data set so: no norm of regions before the first block, batch norm of the "
            "embedding, and an earlier drop of the learning rate",
        ),
        "f8k_regions": Override(
            {
                "embed_size": 256,
                "image_encoder.center": True,
                "image_encoder.update_bias": 3.0,
                "loss.hidden_size": 128,
                "loss.word_dim": 100,
                "loss.warmup_epochs": 3,
                "loss.mask_same_image": True,
                "training.learning_rate": 1e-3,
                "schedule.every": 7,
                "training.num_epochs": 11,
                "training.val_step": 0,
            },
            "6,000 images with regions of a grid: narrow layers that train on a CPU, three epochs of the sum, since "
            "hardest negatives from the first step collapse, and a GRU that starts with a long memory, since the last "
            "regions of a grid are its lower right corner",
        ),
        "shapes": Override(SHAPES, SHAPES_REASON),
    },
    paper=PAPER,
    published=(
        PublishedResult("f30k", (70.4, 89.2, 93.7), (53.0, 77.9, 85.7), INDEX, features=REGIONS),
        PublishedResult("f30k", (71.3, 90.6, 96.0), (54.7, 81.8, 88.2), VSE_INFINITY, features=ENSEMBLE),
        PublishedResult("f30k", (67.7, 88.2, 93.8), (49.1, 75.8, 84.1), REPRODUCTION, features=REGIONS),
        PublishedResult("f30k", (65.3, 87.8, 92.5), (49.1, 75.8, 83.4), RERUN, features=REGIONS),
        PublishedResult("coco", (74.0, 94.3, 97.8), (60.8, 88.4, 94.1), INDEX, features=REGIONS, protocol="fold5"),
        PublishedResult("coco", (76.2, 94.8, 98.2), (62.8, 89.7, 95.1), INDEX, features=ENSEMBLE, protocol="fold5"),
        PublishedResult(
            "coco", (71.1, 94.1, 97.6), (58.5, 87.2, 93.5), REPRODUCTION, features=REGIONS, protocol="fold5"
        ),
        PublishedResult("coco", (53.0, 81.1, 89.4), (40.5, 70.6, 81.1), INDEX, features=ENSEMBLE),
        PublishedResult("coco", (48.0, 77.6, 87.3), (35.9, 66.4, 77.7), REPRODUCTION, features=REGIONS),
    ),
)

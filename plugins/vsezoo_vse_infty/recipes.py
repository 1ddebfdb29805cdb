"""VSE∞: learning the best pooling strategy for visual semantic embedding (Chen, Hu, Wu, Jiang, Wang; CVPR 2021).

The parent is VSE++: one vector for each side, compared by their cosine, and hardest negatives. What is new is how sets
become vectors. The regions of an image and the words of a caption are pooled by GPO, the generalized pooling operator:
each dimension is sorted, and learned weights, one for each place, add the sorted numbers up,

    v_d = Σ_k θ_k max_k(x_d),    θ = softmax(u · h_k / 0.1),

where h are the states of a small bidirectional GRU over the codes of the positions 1 to K. The weights depend on K
alone. Regions get a two-layer MLP in parallel to the linear layer. In training, a fifth of the regions is left out, and
a fifth of the words is masked, replaced or left out (size augmentation).

As the original code's scripts run it: AdamW, 25 epochs, learning rate 5e-4, a tenth of it from epoch 15, gradients
limited to 2, all negatives in the first epoch and the hardest from then on.

    vse-infty-bigru        36 regions; bidirectional GRU; weight decay 0.01
    vse-infty-bert         36 regions; BERT base at a tenth of the rate; weight decay 1e-4
    vse-infty-grid-bigru   pictures of 512 pixels, ResNet-152 (ImageNet) at a tenth of the rate; bidirectional GRU
    vse-infty-grid-bert    the same with BERT
    vse-infty-wsl-bert     pictures, ResNeXt-101 32x8d (WSL, Instagram) at a hundredth of the rate; BERT

A backbone is not trained in the first epoch, and in the second the weight of the loss rises from 0 to 1. Its batch norm
stays as it is. Cells of a grid go through the linear layer alone.

The published ensembles are means of the similarities of two models: `vsezoo eval RUN_1 RUN_2 --ensemble`.
"""

import dataclasses

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Learning the Best Pooling Strategy for Visual Semantic Embedding",
    authors="Chen, Hu, Wu, Jiang, Wang",
    year=2021,
    venue="CVPR",
    url="https://arxiv.org/abs/2011.04305",
)

SOURCE = "VSE-infinity (CVPR 2021), its own tables"
REGIONS = "36 regions, bottom-up attention"
WSL = "ResNeXt-101 32x8d (WSL), grid, fine-tuned"

SHAPES = {
    "embed_size": 128,
    "text_encoder.word_dim": 100,
    "loss.mask_same_image": True,
    "training.batch_size": 256,
    "training.learning_rate": 3e-3,
    "training.num_epochs": 8,
    "schedule.every": 6,
}
SHAPES_REASON = "a small data set: narrow layers and a fast schedule train in a few minutes on two cores"


def _published(
    data: str, i2t: tuple[float, ...], t2i: tuple[float, ...], protocol: str = "full", features: str = REGIONS
) -> PublishedResult:
    return PublishedResult(
        data, (i2t[0], i2t[1], i2t[2]), (t2i[0], t2i[1], t2i[2]), SOURCE, features=features, protocol=protocol
    )


vse_infty_bigru = Recipe(
    name="vse-infty-bigru",
    summary="Regions and the states of a bidirectional GRU, each pooled by learned weights (GPO).",
    image_encoder=Part("vse-infty-regions"),
    text_encoder=Part("vse-infty-gru"),
    similarity=Part("cosine"),
    loss=Part("hinge", {"max_violation": True, "warmup_epochs": 1}),
    training=TrainingSettings(
        5e-4,
        num_epochs=25,
        val_step=0,
        last_batch="full",
        optimizer=Part("adamw", {"weight_decay": 0.01, "decay_biases": True}),
    ),
    overrides={"shapes": Override(SHAPES, SHAPES_REASON)},
    paper=PAPER,
    published=(
        _published("f30k", (76.5, 94.2, 97.7), (56.4, 83.4, 89.9)),
        _published("coco", (78.5, 96.0, 98.7), (61.7, 90.3, 95.6), "fold5"),
        _published("coco", (56.6, 83.6, 91.4), (39.3, 69.9, 81.1)),
    ),
)

BERT = Part("vse-infty-hf", {"model": "bert-base-uncased"})
LIGHT_DECAY = {"optimizer.weight_decay": 1e-4}

vse_infty_bert = dataclasses.replace(
    vse_infty_bigru.replace(LIGHT_DECAY),
    name="vse-infty-bert",
    summary="Regions and the last hidden states of BERT, each pooled by learned weights (GPO).",
    text_encoder=BERT,
    overrides={},
    published=(
        _published("f30k", (81.7, 95.4, 97.6), (61.4, 85.9, 91.5)),
        _published("coco", (79.7, 96.4, 98.9), (64.8, 91.4, 96.3), "fold5"),
        _published("coco", (58.3, 85.3, 92.3), (42.4, 72.7, 83.2)),
    ),
)

GRID = {
    "head": "vse-infty-regions",
    "mlp": False,
    "vary_augmentation": True,
    "features": "grid",
    "normalize_features": False,
    "image_size": 512,
    "crop_pct": 1.0,
    "crop_mode": "squash",
    "least_crop": 0.6,
    "interpolation": "bilinear",
    "finetune": True,
    "finetune_epoch": 1,
}

vse_infty_grid_bigru = dataclasses.replace(
    vse_infty_bigru.replace({**LIGHT_DECAY, "training.last_batch": "keep", "training.ramp_epoch": 1}),
    name="vse-infty-grid-bigru",
    summary="The cells of a fine-tuned ResNet-152 and a bidirectional GRU, each pooled by GPO.",
    image_encoder=Part("timm", {"model": "resnet152.tv_in1k", "learning_rate_scale": 0.1, **GRID}),
    overrides={},
    published=(
        PublishedResult(
            "coco",
            (76.5, None, None),
            (62.9, None, None),
            SOURCE,
            features="ResNet-152, grid, fine-tuned",
            protocol="fold5",
        ),
    ),
)

vse_infty_grid_bert = dataclasses.replace(
    vse_infty_grid_bigru,
    name="vse-infty-grid-bert",
    summary="The cells of a fine-tuned ResNet-152 and BERT, each pooled by GPO.",
    text_encoder=BERT,
    published=(),
)

vse_infty_wsl_bert = dataclasses.replace(
    vse_infty_grid_bert,
    name="vse-infty-wsl-bert",
    summary="The cells of a fine-tuned ResNeXt-101 (WSL) and BERT, each pooled by GPO.",
    image_encoder=Part("timm", {"model": "resnext101_32x8d.fb_wsl_ig1b_ft_in1k", "learning_rate_scale": 0.01, **GRID}),
    published=(
        _published("coco", (85.6, 98.0, 99.4), (73.1, 94.3, 97.7), "fold5", WSL),
        _published("coco", (68.1, 90.2, 95.2), (52.7, 80.2, 88.3), features=WSL),
    ),
)

"""CHAN: fine-grained image-text matching by cross-modal hard aligning (Pan, Wu, Zhang; CVPR 2023).

The parent is SCAN, t2i: a word meets the regions of an image. In place of an attention, the region that fits it best
counts alone, which makes of a similarity of sets one product and a maximum. Training is that of VSE∞: AdamW, 25 epochs,
learning rate 5e-4, a tenth of it from epoch 15, all negatives in the first epoch and the hardest from then on, size
augmentation (the original's `--drop`); a margin of 0.05, batches of 384.

The published figures begin with GloVe vectors of words, which vsezoo does not read: they are not to be expected here.
The variant with BERT is not there.
"""

from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, TrainingSettings

PAPER = Paper(
    title="Fine-grained Image-text Matching by Cross-modal Hard Aligning Network",
    authors="Pan, Wu, Zhang",
    year=2023,
    venue="CVPR",
)

SOURCE = "ppanzx/CHAN, README"
FEATURES = "36 regions, bottom-up attention; words by GloVe"

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

chan = Recipe(
    name="chan",
    summary="Each word counts by the image region that fits it best; regions attend to each other first.",
    image_encoder=Part("chan-regions"),
    text_encoder=Part("chan-gru"),
    similarity=Part("hard-alignment"),
    loss=Part("hinge", {"max_violation": True, "warmup_epochs": 1, "margin": 0.05}),
    training=TrainingSettings(
        5e-4,
        num_epochs=25,
        batch_size=384,
        val_step=0,
        last_batch="full",
        optimizer=Part("adamw", {"weight_decay": 0.01, "decay_biases": True}),
    ),
    overrides={"shapes": Override(SHAPES, SHAPES_REASON)},
    paper=PAPER,
    published=(
        PublishedResult("f30k", (79.7, 94.5, None), (60.2, 85.3, None), SOURCE, features=FEATURES),
        PublishedResult("coco", (60.2, 85.9, None), (41.7, 71.5, None), SOURCE, features=FEATURES),
    ),
)

"""PCME++: improved probabilistic image-text representations (Chun; ICLR 2024).

An image or a caption is a normal distribution: a mean μ of unit length, and a variance σ² for each dimension. Two of
them are compared by the closed-form sampled distance, the expected squared distance of samples,

    d(Z_v, Z_t) = ||μ_v - μ_t||² + Σ σ²_v + Σ σ²_t,

and the logit of a match is `b - a d` with learned a and b. The loss is the binary cross-entropy of all pairs of a
batch, with soft labels: pairs that score as high as the match are pseudo-positives, and some pictures are mixed with
others, whose captions then have a share of them. A regulariser keeps the variances from vanishing. `Σ σ²` is the
uncertainty of an input: how much the model cannot say about it.

The parents are VSE∞, whose pooling (GPO) and size augmentation it has on both sides, and PCME, which compares samples.

    pcmepp            CLIP ViT-B/32, all its tokens, fine-tuned: the paper's model
    pcmepp-regions    36 regions and a bidirectional GRU, with the same heads and loss; not in the paper

As the original code's configuration runs it: AdamP, 25 epochs, learning rate 5e-4, a tenth of it from epoch 15; a tenth
of the rate for the text side of CLIP and a hundredth for its image side, times 0.7 for each block further from the end;
the image side is not trained in the first two epochs, and in the third the weight of the loss rises from 0 to 1. The
original also averages the weights of the last nine epochs, which training here does not.
"""

from vsezoo.recipe import Override, Paper, Part, Recipe, TrainingSettings

PAPER = Paper(
    title="Improved Probabilistic Image-Text Representations",
    authors="Chun",
    year=2024,
    venue="ICLR",
    url="https://arxiv.org/abs/2305.18171",
)

OPTIMIZER = Part("adamp", {"weight_decay": 1e-4})

pcmepp = Recipe(
    name="pcmepp",
    summary="Normal distributions of images and captions by CLIP ViT-B/32, compared by their closed-form distance.",
    image_encoder=Part("pcmepp-clip"),
    text_encoder=Part("pcmepp-clip"),
    similarity=Part("csd"),
    loss=Part("pcmepp"),
    pretrained="hub:openai/clip-vit-base-patch32",
    training=TrainingSettings(5e-4, num_epochs=25, val_step=0, ramp_epoch=2, optimizer=OPTIMIZER),
    paper=PAPER,
)

pcmepp_regions = Recipe(
    name="pcmepp-regions",
    summary="Normal distributions by regions and a bidirectional GRU, compared by their closed-form distance.",
    image_encoder=Part("pcmepp-regions"),
    text_encoder=Part("pcmepp-gru"),
    similarity=Part("csd"),
    loss=Part("pcmepp"),
    training=TrainingSettings(5e-4, num_epochs=25, val_step=0, optimizer=OPTIMIZER),
    overrides={
        "shapes": Override(
            {
                "embed_size": 128,
                "text_encoder.word_dim": 100,
                "image_encoder.log_variance_bias": -7.0,
                "text_encoder.log_variance_bias": -7.0,
                "training.batch_size": 256,
                "training.learning_rate": 3e-3,
                "training.num_epochs": 20,
                "schedule.every": 16,
            },
            "a small data set: narrow layers and a fast schedule; with variances that began at e^-4, two epochs taught "
            "nothing",
        ),
    },
    paper=PAPER,
)

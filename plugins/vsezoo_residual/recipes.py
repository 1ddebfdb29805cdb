"""Light models of frozen features, for few images and little time. Not from one paper.

Both sides end in a linear layer with a small parallel perceptron, under dropout; the loss is InfoNCE over large
batches, in which other captions of the same image are not negatives; and the checkpoint has the averaged weights of the
last epochs, while the rate falls along a cosine.

    vse-bow     captions are sums of word vectors; nothing is pretrained but the features of the images
    vse-minilm  captions are states of a pretrained transformer for sentences, all-MiniLM-L6-v2, computed once
"""

import dataclasses

from vsezoo.recipe import Override, Part, Recipe, TrainingSettings

SHAPES_REASON = "a small data set: a narrow embedding, and a batch of a size that leaves steps enough"

bow = Recipe(
    name="vse-bow",
    summary="Sums of word vectors and image features through residual heads, InfoNCE, averaged weights.",
    image_encoder=Part("residual", {"hidden_size": 1024, "input_dropout": 0.3, "dropout": 0.4}),
    text_encoder=Part(
        "residual-bow",
        {
            "vocab_threshold": 3,
            "word_dim": 512,
            "hidden_size": 1024,
            "input_dropout": 0.4,
            "dropout": 0.4,
            "word_dropout": 0.25,
        },
    ),
    similarity=Part("cosine"),
    loss=Part("infonce", {"temperature": 0.05, "mask_same_image": True}),
    embed_size=1024,
    training=TrainingSettings(
        learning_rate=1e-3,
        num_epochs=16,
        batch_size=512,
        grad_clip=0.0,
        val_step=0,
        average=0.995,
        optimizer=Part("adamw", {"weight_decay": 1e-4}),
        schedule=Part("cosine", {"warmup_epochs": 1.0}),
    ),
    overrides={"shapes": Override({"embed_size": 128, "training.batch_size": 128}, SHAPES_REASON)},
)

minilm = dataclasses.replace(
    bow,
    name="vse-minilm",
    summary="Frozen all-MiniLM-L6-v2 and image features through residual heads, InfoNCE, averaged weights.",
    image_encoder=Part("residual", {"input_dropout": 0.35, "dropout": 0.5}),
    text_encoder=Part(
        "residual-hf",
        {
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "layers": [0, -3, -1],
            "input_dropout": 0.35,
            "dropout": 0.5,
        },
    ),
    embed_size=512,
    training=dataclasses.replace(bow.training, num_epochs=12, cache_frozen=True),
)

"""CLIP (Radford et al. 2021) and its relatives, with the weights that their authors published.

The image encoder is a vision transformer (ALIGN: a convolutional network), the text encoder a transformer. The vector
of each is projected to the joint embedding and scaled to unit length; the score is the cosine times a learned scale.
Both towers were trained on pairs from the web with a softmax over the batch, or as SigLIP with a sigmoid for each pair.

Here they are used as they are, or trained further on one's own captions: `--set text_encoder.finetune=true`,
`--set image_encoder.finetune=true`. The settings of the training run are not those of a paper.
"""

from __future__ import annotations

from dataclasses import replace

from vsezoo.recipe import Paper, Part, PublishedResult, Recipe, TrainingSettings

SOURCE = "open_clip, docs/openclip_retrieval_results.csv: zero-shot, OpenAI's ViT-B/32"


def make_recipe(name: str, summary: str, encoder: str = "clip", pretrained: str = "") -> Recipe:
    """Return the recipe of a pretrained dual encoder.

    Args:
        name: of the model.
        summary: one line about it.
        encoder: the registered name of both encoders.
        pretrained: the weights.
    """
    return Recipe(
        name=name,
        summary=summary,
        image_encoder=Part(encoder),
        text_encoder=Part(encoder),
        similarity=Part("scaled-cosine"),
        loss=Part("infonce", {"temperature": 1.0}),  # the similarity has the scale
        embed_size=None,
        training=TrainingSettings(
            learning_rate=1e-5,
            batch_size=128,
            num_epochs=10,
            optimizer=Part("adamw", {"weight_decay": 0.1}),
            schedule=Part("cosine", {"warmup_epochs": 1.0}),
        ),
        pretrained=pretrained,
    )


clip = replace(
    make_recipe(
        "clip",
        "A pretrained dual encoder, CLIP of ViT-B/32 unless another is named; both towers frozen.",
        pretrained="hub:openai/clip-vit-base-patch32",
    ),
    published=(
        PublishedResult("f30k", (78.9, 94.9, 98.2), (58.8, 83.6, 90.0), SOURCE),
        PublishedResult("coco", (50.1, 75.0, 83.5), (30.4, 55.9, 66.9), SOURCE),
    ),
    paper=Paper(
        "Learning Transferable Visual Models From Natural Language Supervision",
        "Alec Radford et al.",
        2021,
        "ICML",
        "https://arxiv.org/abs/2103.00020",
    ),
)

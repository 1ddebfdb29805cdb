"""CLIP (Radford et al. 2021) and its relatives, with the weights that their authors published.

The image encoder is a vision transformer (ALIGN: a convolutional network), the text encoder a transformer. The vector
of each is projected to the joint embedding and scaled to unit length; the score is the cosine times a learned scale.
Both towers were trained on pairs from the web with a softmax over the batch, or as SigLIP with a sigmoid for each pair.

    clip         used as it is, or trained further on one's own captions: both towers by `finetune`, low-rank adapters
                 of them by `adapter_rank`, or a layer behind them by `head`
    vse-on-clip  frozen towers, whose outputs are computed once, and a head of its own behind each

The settings of the training runs are not those of a paper.
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

HEAD = {"head": "mlp", "head_dropout": 0.1}

vse_on_clip = Recipe(
    name="vse-on-clip",
    summary="Heads for one's own captions behind the frozen towers of a pretrained dual encoder, CLIP of ViT-B/32.",
    image_encoder=Part("clip", HEAD),
    text_encoder=Part("clip", HEAD),
    similarity=Part("cosine"),
    loss=Part("infonce", {"temperature": 0.05, "learn_temperature": True, "mask_same_image": True}),
    embed_size=512,
    training=TrainingSettings(
        learning_rate=1e-3,
        batch_size=256,
        num_epochs=10,
        val_step=0,
        cache_frozen=True,
        optimizer=Part("adamw", {"weight_decay": 0.01}),
        schedule=Part("cosine", {"warmup_epochs": 1.0}),
    ),
    pretrained=clip.pretrained,
)

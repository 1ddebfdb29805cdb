"""CLIP (Radford et al. 2021) and its relatives, with the weights that their authors published.

The image encoder is a vision transformer (ALIGN: a convolutional network), the text encoder a transformer. The vector
of each is projected to the joint embedding and scaled to unit length; the score is the cosine times a learned scale.
Both towers were trained on pairs from the web with a softmax over the batch, or as SigLIP with a sigmoid for each pair.

    clip         used as it is, or trained further on one's own captions: both towers by `finetune`, low-rank adapters
                 of them by `adapter_rank`, or a layer behind them by `head`
    blip-2       BLIP-2 (Li et al. 2023), whose images are 32 vectors each, compared by the largest of their cosines
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

blip_2 = replace(
    make_recipe(
        "blip-2",
        "A pretrained BLIP-2, its image-text contrast: an image is a set of query vectors; both towers frozen.",
        encoder="blip-2",
        pretrained="hub:Salesforce/blip2-itm-vit-g",
    ),
    similarity=Part("max-query"),
    loss=Part("infonce", {"temperature": 0.07, "learn_temperature": True}),
    paper=Paper(
        "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language Models",
        "Junnan Li et al.",
        2023,
        "ICML",
        "https://arxiv.org/abs/2301.12597",
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

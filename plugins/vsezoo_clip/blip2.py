"""BLIP-2's image-text contrast (Li et al. 2023, section 3.1): images are sets of query vectors.

Both towers are the same transformer, the Q-Former. For an image it starts from learned queries, which look at the
states of a vision transformer by cross-attention; for a caption, from words. They share the attention of each layer,
but neither cross-attention nor the layers behind it, so each tower has those that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.errors import RecipeError
from vsezoo.interfaces import ImageEncoder, Tokens, Weights
from vsezoo.recipe.options import AtLeast, OneOf
from vsezoo_clip.cleaning import CLEANERS
from vsezoo_clip.configurations import describe_networks, measure_width
from vsezoo_clip.families import BLIP2, find_family
from vsezoo_clip.frozen import FrozenTextTower, FrozenTower
from vsezoo_clip.library import require_config
from vsezoo_clip.processor import BACKENDS, ProcessorTransform, find_settings
from vsezoo_clip.tokenizer import DualTokenizer
from vsezoo_clip.towers import LibraryTower, build_network, has_matching

OF_IMAGES = ("crossattention", "intermediate_query", "output_query")
OF_TEXTS = ("intermediate", "output")
"""Modules of a layer of the Q-Former that only one of the towers uses."""


class QueryTower(LibraryTower):
    """Maps pixels to Q vectors for each image `(B, Q, D)`, not scaled.

    Args:
        vision: the configuration of the vision transformer, as JSON values.
        qformer: that of the Q-Former.
        queries: Q.
        width: D, the width of the joint embedding.
    """

    prefixes = ("vision_model.", "query_tokens", "qformer.", "vision_projection.")

    def __init__(self, vision: Mapping[str, Any], qformer: Mapping[str, Any], queries: int, width: int) -> None:
        super().__init__()
        self.family = BLIP2
        self.vision_model = build_network(BLIP2.image, vision)
        self.query_tokens = nn.Parameter(torch.zeros(1, queries, qformer["hidden_size"]))
        self.qformer = _build_qformer(qformer, OF_TEXTS)
        self.vision_projection = nn.Linear(qformer["hidden_size"], width)

    def needs(self, name: str) -> bool:
        """Return whether a tensor with one of the prefixes belongs to this tower."""
        return super().needs(name) and not _is_of(name, OF_TEXTS)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the vectors of pixels `(B, 3, S, S)`."""
        states = self.vision_model(pixel_values=pixel_values, return_dict=True).last_hidden_state
        queries = self.query_tokens.expand(len(states), -1, -1)
        found = self.qformer(query_embeds=queries, encoder_hidden_states=states, return_dict=True)
        projected: Tensor = self.vision_projection(found.last_hidden_state)
        return projected


class WordTower(LibraryTower):
    """Maps ids to vectors `(B, D)`, not scaled.

    Args:
        qformer: the configuration of the Q-Former, as JSON values.
        width: D, the width of the joint embedding.
        matching: whether the classifier of matching pairs is kept.
    """

    prefixes = ("embeddings.", "qformer.", "text_projection.")

    def __init__(self, qformer: Mapping[str, Any], width: int, matching: bool) -> None:
        super().__init__()
        from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

        self.family = BLIP2
        self.qformer = _build_qformer(qformer, OF_IMAGES)
        self.rows, self.unknown = qformer["vocab_size"], qformer["pad_token_id"]
        self.embeddings = Blip2TextEmbeddings(self.qformer.config)  # type: ignore[no-untyped-call]
        self.text_projection = nn.Linear(qformer["hidden_size"], width)
        if matching:
            self.keep_matching(BLIP2.text, qformer["hidden_size"])

    def needs(self, name: str) -> bool:
        """Return whether a tensor with one of the prefixes belongs to this tower."""
        return super().needs(name) and not _is_of(name, OF_IMAGES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the vectors of ids `(B, L)`, of which some are padding."""
        # `<image>`, which stands for an image in the captions of transformers, has an id and no embedding.
        known = input_ids.where(input_ids < self.rows, self.unknown)
        words = self.embeddings(input_ids=known)
        found = self.qformer(query_embeds=words, query_length=0, attention_mask=attention_mask, return_dict=True)
        projected: Tensor = self.text_projection(found.last_hidden_state[:, 0])
        return projected


class QueryImageEncoder(FrozenTower, ImageEncoder):
    """`f_q(i) = W h_q(i)`, each of unit L2 norm, for Q learned queries; the one vector of an image is their mean.

    The options `network`, `qformer`, `queries`, `width` and `processor` are those of the pretrained weights.

    Args:
        embed_size: D, the width of the joint embedding.
        network: the configuration of the vision transformer, as transformers has it.
        qformer: that of the Q-Former.
        queries: Q.
        width: the width of the projection.
        processor: the settings of the image processor, as transformers has them.
        backend: implementation of the image processor; their pixels differ by a grey level or two.
        **of_tower: the options of `TowerOptions`.

    Raises:
        RecipeError: for options without pretrained weights.
    """

    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    gives = "sets"
    tower: QueryTower

    def __init__(
        self,
        *,
        embed_size: int,
        network: Mapping[str, Any] | None = None,
        qformer: Mapping[str, Any] | None = None,
        queries: Annotated[int, AtLeast(1)] = 32,
        width: Annotated[int, AtLeast(0)] = 0,
        processor: Mapping[str, Any] | None = None,
        backend: Annotated[str, OneOf(*BACKENDS)] = BACKENDS[0],
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.family, self.processor, self.backend = BLIP2, dict(processor or {}), backend
        tower = QueryTower(require_config(network), require_config(qformer), queries, width or embed_size)
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take the sizes and the image processor from a BLIP-2."""
        config = weights.config()
        if find_family(config) is not BLIP2:
            return dict(options)
        networks = describe_networks(config)
        known = {
            "network": networks["image"],
            "qformer": networks["text"],
            "queries": config.get("num_query_tokens", 32),
            "width": measure_width(config),
            "processor": find_settings(weights.folder, BLIP2.name),
        }
        return {**known, **options}

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return the image processor; in training, too, it draws nothing at random."""
        return ProcessorTransform(self.processor, self.backend)

    def extract(self, inputs: Tensor) -> Tensor:
        """Return the vectors `(B, Q, D)` of pixels `(B, 3, S, S)`."""
        return self.run_on_pixels(inputs)

    def finish(self, features: Tensor) -> Embeddings:
        """Return the joint embeddings of vectors `(B, Q, D)`."""
        vectors = self.project(features)
        mean = functional.normalize(vectors.mean(dim=1), dim=-1)
        return Embeddings(mean, vectors if self.keep_items else None)


class QueryTextEncoder(FrozenTextTower):
    """`g(c) = W h_1(c)`, then unit L2 norm: a set of one vector.

    The options `qformer` and `width` are those of the pretrained weights.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: that of the weights.
        qformer: the configuration of the Q-Former, as transformers has it.
        width: the width of the projection.
        max_len: ids that a caption may have, marks included; the rest is cut off. 0: as many as the model reads.
        clean: what is done to captions before they are cut into ids, see the text encoder `clip`.
        matching: keep the classifier of matching pairs of the weights, see the text encoder `clip`.
        **of_tower: the options of `TowerOptions`.

    Raises:
        RecipeError: for options without pretrained weights.
    """

    gives = "sets"
    tower: WordTower

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: DualTokenizer,
        qformer: Mapping[str, Any] | None = None,
        width: Annotated[int, AtLeast(0)] = 0,
        max_len: Annotated[int, AtLeast(0)] = 0,
        clean: Annotated[str, OneOf(*CLEANERS)] = "none",
        matching: bool = False,
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        tower = WordTower(require_config(qformer), width or embed_size, matching)
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take the sizes from a BLIP-2."""
        config = weights.config()
        if find_family(config) is not BLIP2:
            return dict(options)
        known = {"qformer": describe_networks(config)["text"], "width": measure_width(config)}
        return {**known, **({"matching": True} if has_matching(BLIP2, weights) else {}), **options}

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> DualTokenizer:
        """Read the tokenizer next to the weights.

        Raises:
            CheckpointError: for one that cannot be read, or does not belong to the weights.
        """
        return DualTokenizer.from_pretrained(
            weights.folder,
            BLIP2,
            options["qformer"],
            max_len=options.get("max_len", 0),
            clean=options.get("clean", "none"),
            rows=max(options["qformer"]["vocab_size"], (weights.config().get("image_token_index") or 0) + 1),
        )

    def extract(self, inputs: Tokens) -> Tensor:
        """Return the vectors `(B, D)` of ids `(B, L)`."""
        ids, held = self.tokenizer.pad(inputs)
        return self.run_tower(input_ids=ids, attention_mask=held.long())

    def finish(self, features: Tensor) -> Embeddings:
        """Return the joint embeddings of vectors `(B, D)`."""
        vectors = self.project(features)
        return Embeddings(vectors, vectors[:, None] if self.keep_items else None)


def _build_qformer(config: Mapping[str, Any], unused: tuple[str, ...]) -> nn.Module:
    """Return a Q-Former without the modules that a tower does not use."""
    if not config.get("use_qformer_text_input"):
        raise RecipeError("this BLIP-2 embeds no sentences (use_qformer_text_input is false in its qformer_config).")
    network = build_network(BLIP2.text, config)
    layers: Any = network.encoder.layer  # type: ignore[union-attr]
    for layer in layers:
        for name in unused:
            if hasattr(layer, name):
                delattr(layer, name)
    return network


def _is_of(name: str, modules: tuple[str, ...]) -> bool:
    """Return whether a tensor is of one of these modules of a layer of the Q-Former."""
    parts = name.split(".")  # qformer.encoder.layer.NUMBER.MODULE
    return parts[:3] == ["qformer", "encoder", "layer"] and parts[4] in modules

"""The text tower of a dual encoder of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens, Weights
from vsezoo.recipe.options import AtLeast, OneOf
from vsezoo_clip.cleaning import CLEANERS
from vsezoo_clip.configurations import describe_networks, measure_width
from vsezoo_clip.families import FAMILIES, find_family
from vsezoo_clip.frozen import FrozenTextTower
from vsezoo_clip.tokenizer import DualTokenizer
from vsezoo_clip.towers import Tower, has_matching


class DualTextEncoder(FrozenTextTower):
    """`g(c) = W pool(h(c))`, then unit L2 norm: CLIP (Radford et al. 2021, section 2.4) and its relatives.

    CLIP reads from left to right and is pooled at the end mark, so padding needs no mask. SigLIP is pooled at the last
    of 64 positions, mostly a padding one, so captions are padded to 64 ids with its own padding, and no mask is given.
    The others get a mask.

    The options `family`, `network` and `width` are those of the pretrained weights.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: that of the weights.
        family: the family of the dual encoder, by its `model_type` in transformers.
        network: the configuration of the network, as transformers has it.
        width: the width of the projection.
        max_len: ids that a caption may have, marks included; the rest is cut off. 0: as many as the model reads.
        clean: what is done to captions before they are cut into ids. "none": nothing, as in transformers;
            "lower": as the code of OpenAI's CLIP does, which resolves `&amp;`, curly quotes and mojibake (by ftfy), and
            lower-cases; "whitespace" and "canonicalize": as configurations of open_clip ask for.
        matching: keep the classifier of matching pairs of the weights, which embeddings do not depend on, so that
            `vsezoo convert --to` can write them again.
        **of_tower: the options of `TowerOptions`.

    Raises:
        RecipeError: for a configuration that is none of the family, or options without pretrained weights.
    """

    tower: Tower

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: DualTokenizer,
        family: Annotated[str, OneOf(*FAMILIES)] = "clip",
        network: Mapping[str, Any] | None = None,
        width: Annotated[int, AtLeast(0)] = 0,
        max_len: Annotated[int, AtLeast(0)] = 0,
        clean: Annotated[str, OneOf(*CLEANERS)] = "none",
        matching: bool = False,
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.family, self.tokenizer = FAMILIES[family], tokenizer
        if matching and not self.family.text.matching:
            raise RecipeError(f"{self.family.title} has no classifier of matching pairs; matching must be false.")
        tower = Tower(self.family, self.family.text, network or {}, width or embed_size, matching)
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take family, network and width from a dual encoder."""
        config = weights.config()
        if (family := find_family(config)) is None:
            return dict(options)
        known = {
            "family": config["model_type"],
            "network": describe_networks(config)["text"],
            "width": measure_width(config),
            **({"matching": True} if has_matching(family, weights) else {}),
        }
        return {**known, **options}

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> DualTokenizer:
        """Read the tokenizer next to the weights.

        Raises:
            CheckpointError: for one that cannot be read, or does not belong to the weights.
        """
        return DualTokenizer.from_pretrained(
            weights.folder,
            FAMILIES[options["family"]],
            options["network"],
            max_len=options.get("max_len", 0),
            clean=options.get("clean", "none"),
        )

    def extract(self, inputs: Tokens) -> Tensor:
        """Return the vectors `(B, D)` of ids `(B, L)`."""
        ids, held = self.tokenizer.pad(inputs)
        mask = held.long() if self.family.padding == "mask" else None
        return self.run_tower(input_ids=ids, attention_mask=mask)

"""The encoders of SGRAF (Diao et al. 2021, section 3.1): sets of unit L2 norm, and a global node of each set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.precomputed import FeatureImageEncoder, to_sets, to_tensor, unpack_sets
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.encoders.scaling import scale_items
from vsezoo.errors import DataError, RecipeError, TrainingError
from vsezoo.interfaces import PairDataset, Tokenizer, Tokens
from vsezoo.recipe.options import AtLeast, Below, OneOf
from vsezoo.text import RULES
from vsezoo_sgraf.nodes import GlobalNode


class SgrafImageEncoder(FeatureImageEncoder):
    """`v_r = l2n(W φ_r + b)`, and the global node of the regions.

    The node's batch norm has a channel for each position of a region, so that all images have the same number of them,
    in an order that means something.

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a region's feature.
        num_regions: R, regions of an image; 36 in the original.
        normalize_items: scale each region to unit L2 norm; False is the original's `--no_imgnorm`.
        dropout: in the global node, in training.
        node_norm: batch norm in the global node, as in the original; without it, any number of regions will do.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    without_gradient = ("node.weight.bias",)  # the softmax takes it out
    gives = "sets"

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 2048,
        num_regions: Annotated[int, AtLeast(1)] = 36,
        normalize_items: bool = True,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.4,
        node_norm: bool = True,
    ) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        self.normalize_items, self.num_regions = normalize_items, num_regions if node_norm else 0
        self.node = GlobalNode(embed_size, dropout, self.num_regions)

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Take the number of regions and the width of their features from the data."""
        resolved = super().resolve_options(options, data)
        regions = data.image_shape[0] if data.kind == "regions" else resolved.get("num_regions", 36)
        if resolved.get("num_regions", regions) != regions and resolved.get("node_norm", True):
            raise RecipeError(
                f"image_encoder.num_regions is {resolved['num_regions']}, but the images of {data.name} have {regions} "
                "regions.",
                remedy="Leave num_regions out: it is taken from the data.",
            )
        return {**resolved, "num_regions": regions}

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts features to a float32 tensor; without batch norm, also to sets."""
        return to_tensor if self.num_regions else to_sets

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return global nodes `(B, D)` and regions `(B, R, D)` of features `(B, R, F)`.

        Raises:
            DataError: for features of another shape, or another number of regions.
            TrainingError: in training, for a batch of one pair, of which batch norm has no statistics.
        """
        features, lengths = unpack_sets(images)
        regions = self.project(features, ("images", "regions"))
        if self.num_regions and regions.shape[1] != self.num_regions:
            raise DataError(
                f"the images have {regions.shape[1]} regions, but this model takes {self.num_regions}: its batch norm "
                "has a channel for each position.",
                remedy=f"Use features of {self.num_regions} regions, or train with image_encoder.node_norm=false.",
            )
        if self.training and self.num_regions and len(regions) == 1:
            raise TrainingError(
                "image_encoder.node_norm cannot train on a batch of one pair.",
                remedy="Drop the last batch with --set training.last_batch=drop, or choose another batch size.",
            )
        output = Embeddings(regions[:, 0], regions, lengths)
        items = (scale_items(output) if self.normalize_items else output).regions
        return Embeddings(self.node(items, None if lengths is None else output.mask), items, lengths)


class SgrafTextEncoder(GRUTextEncoder):
    """The states of a GRU after each word, both directions averaged, with unit L2 norm; and the global node of them.

    Args:
        embed_size: D, the width of the joint embedding and of the state.
        tokenizer: gives the number of words.
        word_dim: the width of a word embedding.
        num_layers: layers of the recurrent network.
        bidirectional: read the caption backwards as well.
        normalize_items: scale each word to unit L2 norm; False is the original's `--no_txtnorm`.
        word_dropout: of the numbers of word embeddings, in training.
        dropout: in the global node, in training.
        words: how captions are cut into words, see `vsezoo.text`.
        subwords: with words=subwords, a tokenizer.json.
        vocab_threshold: how often a word must occur in the train and dev captions to be in the vocabulary.
    """

    without_gradient = ("node.weight.bias",)  # the softmax takes it out

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: int = 300,
        num_layers: int = 1,
        bidirectional: bool = False,
        normalize_items: bool = True,
        word_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.4,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.4,
        words: Annotated[str, OneOf(*RULES)] = "nltk",
        subwords: str = "",
        vocab_threshold: int = 4,
    ) -> None:
        super().__init__(
            embed_size=embed_size,
            tokenizer=tokenizer,
            word_dim=word_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            words=words,
            subwords=subwords,
            vocab_threshold=vocab_threshold,
        )
        self.normalize_items = normalize_items
        self.word_dropout = nn.Dropout(word_dropout)
        self.node = GlobalNode(embed_size, dropout)

    def embed_words(self, ids: Tensor) -> Tensor:
        """Return the word embeddings `(B, L, word_dim)`, some of their numbers zero in training."""
        embedded: Tensor = self.word_dropout(super().embed_words(ids))
        return embedded

    def forward(self, tokens: Tokens) -> Embeddings:
        """Return global nodes `(B, D)` and words `(B, L, D)`."""
        items, lengths = self.read_items(tokens)
        output = Embeddings(items[:, 0], items.float(), lengths)
        output = scale_items(output) if self.normalize_items else output
        return Embeddings(self.node(output.regions, output.mask), output.items, lengths)

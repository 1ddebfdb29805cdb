"""Image encoder, text encoder, similarity and loss: what the author of a model's part must read.

Register a subclass through an entry point, such as one of the group `vsezoo.losses`; a data set in `vsezoo.datasets`.

Sizes in the docstrings: B captions in a batch, L tokens in the longest of them, D the width of the joint
embedding, R regions of an image, F the width of a feature, N images and M captions of a collection.

Parts exchange tensors as `Tokens` (`ids (B, L)`, `lengths (B,)`), `Batch` (`images`, `tokens`, `image_index` and
`caption_index (B,)`) and `Embeddings` (`embeddings (B, D)`, `items (B, K, D')`, `lengths (B,)`), of `vsezoo.batch`.
Data sets and tokenizers, which are loaded without torch, are in `vsezoo.inputs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vsezoo.batch import Batch as Batch
from vsezoo.batch import Embeddings as Embeddings
from vsezoo.batch import ImageOutput as ImageOutput
from vsezoo.batch import LossOutput as LossOutput
from vsezoo.batch import RegionSets as RegionSets
from vsezoo.batch import Tokens as Tokens
from vsezoo.batch import score_sides
from vsezoo.inputs import KINDS as KINDS
from vsezoo.inputs import PairDataset as PairDataset
from vsezoo.inputs import Tokenizer as Tokenizer
from vsezoo.recipe.signatures import ChecksOptions
from vsezoo.registry.owners import require_scores


@runtime_checkable
class Weights(Protocol):
    """Pretrained weights of another codebase, opened once and shared by the parts of a model: `Recipe.pretrained`.

    Attributes:
        name: the reference that opened them; on the Hub with its commit, of a folder the last part of its path.
        folder: the folder of the files, such as `tokenizer.json`.
    """

    name: str
    folder: Path

    @property
    def sha256(self) -> str:
        """The digest of the file of the tensors; for several files, that of their digests."""

    def config(self) -> Mapping[str, Any]:
        """Return `config.json`; empty if there is none."""

    def tensors(self, prefix: str = "") -> Mapping[str, Tensor]:
        """Return the tensors with a name prefix, by their names without it."""


class ModelPart(ChecksOptions, nn.Module, ABC):
    """What image encoders, text encoders, similarities and losses share: pretrained weights, rates, epochs."""

    without_gradient: ClassVar[tuple[str, ...]] = ()
    """Name prefixes of trainable parameters that may receive no gradient; `vsezoo.testing` asks for it."""

    uncertain: bool = False
    """Encoders: a vector has one number more than embed_size, its uncertainty, at the end. Similarities: wanted."""

    replayable: bool = False
    """Whether a training step may be recorded once for each shape of a batch and replayed on a GPU (CUDA graphs). True
    promises that `forward` in training depends on tensors, shapes, and attributes that are plain values and change in
    `start_epoch` only; reads no value of a tensor (`item`, `if tensor`, a boolean index), draws no random numbers,
    changes no buffer, and takes `tokens.lengths` on the device. It counts for the class that says it, not for others
    derived from it."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Prefixes of tensor names in checkpoints of earlier versions, and the current prefixes."""

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        """Return the width of the joint embedding of a part with these options; None (default): any."""
        return None

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Fill in the options that pretrained weights decide, such as the sizes in `weights.config()`."""
        return dict(options)

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Load pretrained weights into a new model; a checkpoint contains its own, unless they are left out.

        Args:
            weights: pretrained weights of the recipe; None if it has none. A part with its own source defines this
                method without the argument. By default, nothing is loaded.
        """

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return factors of `training.learning_rate` by prefixes of parameter names, such as `{"cnn.": 0.1}`.

        The longest matching prefix applies. Without a match, as by default, the factor is 1.
        """
        return {}

    def start_epoch(self, epoch: int) -> None:
        """Called when an epoch, counted from 0, starts or is continued. By default, nothing.

        It may change `requires_grad` of parameters; initially it must be True for all parameters that are ever trained.
        """


class Encoder(ModelPart):
    """What image and text encoders share.

    An encoder whose checkpoints need not hold its pretrained weights, because they can be read again elsewhere, is also
    a `vsezoo.pretrained.external.ExternalWeights`.
    """

    gives: Literal["vectors", "sets", ""] = "vectors"
    """What `forward` returns. "vectors": a tensor `(B, D)`. "sets": `Embeddings(vectors, items, lengths)`, the items
    `(B, K, D')` being regions or words, padded at the end, of which input b has `lengths[b]`. Empty: not declared."""

    keep_items: bool = False
    """Set by vsezoo if sets are needed; if not set, an encoder may skip the computation of items."""


class ImageEncoder(Encoder):
    """Maps images to joint embeddings. The constructor takes `embed_size` and the encoder's options as keywords."""

    kinds: ClassVar[tuple[str, ...]]
    """The forms of image that it takes, the preferred one first."""

    gives: Literal["vectors", "sets", ""] = ""

    region_order: ClassVar[str] = "ordered"
    """"invariant" promises the same embedding for the regions of an image in any order; "ordered" promises nothing."""

    @classmethod
    def accepted_kinds(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the forms of image that an encoder with these options takes; by default `kinds`."""
        return cls.kinds

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Fill in the options that the data decide, such as the width of a feature; refuse others by a RecipeError."""
        return dict(options)

    def fit(self, data: PairDataset) -> None:
        """Fit to the training images before training, for example to their mean. By default, nothing."""

    @abstractmethod
    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts the result of `PairDataset.images` to `forward`'s input `(B, ...)`.

        It must not refer to the encoder: worker processes get a copy. `RegionSets`: see `encoders.precomputed.to_sets`.
        """

    @abstractmethod
    def forward(self, images: Any) -> Tensor | Embeddings:
        """Return the joint embeddings, see `gives`."""


class TextEncoder(Encoder):
    """Maps captions to joint embeddings. The constructor takes `embed_size`, `tokenizer` and its options by keyword.

    Attributes:
        batch_size: number of captions that are encoded at a time without gradients; twice as many if the encoder
            shares beginnings.
    """

    tokenizer: Tokenizer
    batch_size: ClassVar[int] = 128

    @property
    def shares_beginnings(self) -> bool:
        """Whether it reads once, now, what captions have in common at the start; a batch may mix lengths then."""
        return False

    @classmethod
    @abstractmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> Tokenizer:
        """Return the tokenizer that an encoder with these options uses, not yet fitted."""

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> Tokenizer:
        """Return the tokenizer that an encoder with these pretrained weights uses. By default, `make_tokenizer`'s."""
        return cls.make_tokenizer(options)

    @classmethod
    @abstractmethod
    def read_tokenizer(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer from a checkpoint folder."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return the joint embeddings, see `gives`."""


class Similarity(ModelPart):
    """Scores every image against every caption; higher is better.

    In eval mode the score of a pair must depend on that pair only, and not on padding: ranks are computed in blocks.
    """

    inputs: ClassVar[Literal["vectors", "sets"]] = "vectors"
    """What `forward` gets: "vectors", tensors `(N, D)` and `(M, D)`, or "sets", `Embeddings` with items."""

    metric: ClassVar[Literal["inner_product", ""]] = ""
    """"inner_product": it is that of the vectors, which an approximate index may rely on."""

    tile: ClassVar[int] = 0
    """Pairs that `forward` gets at a time in eval mode, to bound memory; 0: 2**24 of vectors, 2**12 of sets."""

    def compare(self, images: Tensor | Embeddings, texts: Tensor | Embeddings) -> Tensor:
        """Return the scores `(N, M)`, of sets or vectors as `inputs` says: vsezoo calls this, and this `forward`."""
        scores = score_sides(self, images, texts)
        require_scores(self, scores, len(images), len(texts))
        return scores

    @abstractmethod
    def forward(self, images: Any, texts: Any) -> Tensor:
        """Return the scores `(N, M)` of N images and M texts, see `inputs`."""


class Loss(ModelPart):
    """What training minimises: a sum over the batch, as in the papers.

    The constructor takes options as keywords, and `embed_size` or `tokenizer` if it names them. Parameters are trained
    and stored like those of the model. Of several processes, each computes it for the whole batch but `batch.images`.
    """

    needs: ClassVar[Literal["vectors", "extras", "image_sets", "sets"]] = "vectors"
    """What `forward` gets in addition to the scores: "vectors", tensors `(B, D)`; "extras", `Embeddings` without items;
    "image_sets", `Embeddings` with items of the images; "sets", of both sides."""

    needs_regions: ClassVar[bool] = False  # True: `needs = "image_sets"`

    additive: ClassVar[bool] = True
    """Whether it is a sum over the batch, in which pairs that have nothing to do with each other add up."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "needs_regions" in vars(cls) and "needs" not in vars(cls):
            cls.needs = "image_sets" if cls.needs_regions else "vectors"
        cls.needs_regions = cls.needs in ("image_sets", "sets")

    def plateau(self, scores: Tensor, images: Any, texts: Any, batch: Batch, output: LossOutput) -> Tensor:
        """Return what the loss would be if all scores were equal, as they are when embeddings have collapsed.

        By default the loss of zeros; a loss with costly parts takes them from `output`, what `forward` has returned.
        """
        collapsed: LossOutput = self(torch.zeros_like(scores), images, texts, batch)
        return collapsed.total

    @abstractmethod
    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss.

        Args:
            scores: `(B, B)`, images in rows, captions in columns, matching pairs on the diagonal.
            images: see `needs`.
            texts: see `needs`.
            batch: the pairs; `batch.image_index` identifies captions of the same image.
        """

"""The loss of VSRN: captions are found again, and written."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from vsezoo.batch import Embeddings
from vsezoo.captioning.decoder import CaptionDecoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, LossOutput, Tokenizer, Tokens
from vsezoo.losses import HingeLoss
from vsezoo.recipe.options import AtLeast, Below
from vsezoo.text import END, SPECIAL_WORDS, Vocabulary


class CaptionLoss(HingeLoss):
    """The hinge triplet loss plus the loss of writing each caption from its image (VSRN, Li et al. 2019).

    The second one is the negative log-probability of the words of the caption after `<start>`, of `<end>`, and of one
    `<pad>` after it, added up over the words and averaged over the captions, each word predicted from the true ones
    before it and from the regions that the image encoder returns. It trains the image encoder, too.

    The original gives the parameters of the decoder to its optimiser twice, which then moves them twice in a step and
    counts them twice in the norm that it clips. The training loop here takes each once.

    Args:
        embed_size: the width of the joint embedding.
        tokenizer: of the text encoder; its vocabulary is what captions are written in.
        caption_weight: weight of the loss of writing.
        region_dim: width of a region, or 0: that of the joint embedding.
        hidden_size: width of the decoder's states.
        word_dim: width of the decoder's own word embedding.
        dropout: dropout of the decoder's inputs.
        max_len: ids in a caption at most, `<start>` and `<end>` included; longer ones are cut and ended.
        **of_hinge: the options of `HingeLoss`.

    Raises:
        RecipeError: for an impossible value, or a text encoder whose tokenizer knows no `<start>` and `<end>`.
    """

    needs = "image_sets"
    additive = False  # the loss of writing is averaged over the captions

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        caption_weight: Annotated[float, AtLeast(0)] = 1.0,
        region_dim: Annotated[int, AtLeast(0)] = 0,
        hidden_size: Annotated[int, AtLeast(1)] = 512,
        word_dim: Annotated[int, AtLeast(1)] = 300,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        max_len: Annotated[int, AtLeast(3)] = 60,
        **of_hinge: Any,
    ) -> None:
        super().__init__(**of_hinge)
        self.vocabulary = find_vocabulary(tokenizer)
        self.caption_weight, self.max_len = caption_weight, max_len
        self.region_dim = region_dim or embed_size
        self.decoder = CaptionDecoder(
            len(self.vocabulary),
            region_dim=self.region_dim,
            hidden_size=hidden_size,
            word_dim=word_dim,
            dropout=dropout,
        )

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss, and as parts that add up to it `i2t`, `t2i` and the weighted `caption`.

        Raises:
            RecipeError: when the image encoder returns no regions, or regions of another width.
        """
        retrieval = super().forward(scores, images, texts, batch)
        words, targets = make_targets(batch.tokens, self.max_len)
        regions, lengths = self.take_regions(images)
        logits = self.decoder(regions, words, lengths)
        caption = self.caption_weight / len(scores) * functional.cross_entropy(logits, targets, reduction="sum")
        return LossOutput(retrieval.total + caption, {**retrieval.parts, "caption": caption.detach()})

    def plateau(self, scores: Tensor, images: Any, texts: Any, batch: Batch, output: LossOutput) -> Tensor:
        """Return the loss if all scores were equal; what the captions add has been computed already."""
        retrieval = super().forward(scores.new_zeros(scores.shape), images, texts, batch)
        return retrieval.total + output.parts["caption"]

    def take_regions(self, images: Tensor | Embeddings) -> tuple[Tensor, Tensor | None]:
        """Return the regions `(B, R, D')` of what an image encoder returned, and how many each image has, `(B,)`.

        None stands for R regions of every image.

        Raises:
            RecipeError: when there are none, or their width is not `region_dim`.
        """
        output = Embeddings.of(images)
        if output.items is None:
            raise RecipeError(
                "The loss 'caption' writes captions from regions, and the image encoder returns none.",
                remedy="Use an image encoder that returns regions, such as vsrn or regions, or the loss hinge.",
            )
        if output.items.shape[-1] != self.region_dim:
            width = output.items.shape[-1]
            raise RecipeError(
                f"The loss 'caption' takes regions of width {self.region_dim}, and the image encoder returns regions "
                f"of shape {tuple(output.items.shape)}.",
                remedy=f"Say how wide they are: --set loss.region_dim={width}",
            )
        return output.items, output.lengths


def find_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Return the vocabulary of a tokenizer whose captions are `<start>` words `<end>`.

    Raises:
        RecipeError: for any other tokenizer.
    """
    vocabulary = getattr(tokenizer, "vocabulary", None)
    if not isinstance(vocabulary, Vocabulary) or vocabulary.words[: len(SPECIAL_WORDS)] != SPECIAL_WORDS:
        raise RecipeError(
            "The loss 'caption' needs a vocabulary with <start> and <end>, which the tokenizer of the text encoder "
            "does not have.",
            remedy="Use a text encoder with the words of VSE++ (gru with words=nltk), or another loss: --loss hinge",
        )
    return vocabulary


def make_targets(tokens: Tokens, max_len: int) -> tuple[PackedSequence, Tensor]:
    """Return the words that the decoder reads, and the word that it is to predict after each of them.

    It reads `<start>` words `<end>` and predicts words `<end> <pad>`, in `max_len - 1` steps at most: a caption of
    `max_len` ids has no step left for `<pad>`.

    Args:
        tokens: ids `(B, L)`.
        max_len: a longer caption is cut to this many ids, the last of which becomes `<end>`.

    Returns:
        the words, packed, of T in all, and ids `(T,)` in the same order.
    """
    ids = functional.pad(tokens.ids[:, :max_len], (0, 1))  # <pad> after the longest caption, too
    ids[:, max_len - 1 : -1][tokens.lengths > max_len] = END  # of no width where no caption is that long
    steps = tokens.lengths.clamp(max=max_len - 1)
    words, targets = (
        pack_padded_sequence(part, steps, batch_first=True, enforce_sorted=False) for part in (ids[:, :-1], ids[:, 1:])
    )
    return words, targets.data

"""The loss of VSRN: image-text matching and caption generation."""

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
    """The hinge triplet loss plus a caption generation loss (VSRN, Li et al. 2019).

    The second term is the negative log-probability of the words of the caption after `<start>`, of `<end>`, and of one
    `<pad>` after it, summed over the words and averaged over the captions. Each word is predicted from the true words
    before it and from the regions that the image encoder returns, so the term also trains the image encoder.

    The original passes the parameters of the decoder to its optimiser twice, which then updates them twice in a step
    and counts them twice in the norm that it clips. The training loop here uses each parameter once.

    Args:
        embed_size: width of the joint embedding.
        tokenizer: tokenizer of the text encoder; captions are written with its vocabulary.
        caption_weight: weight of the caption term.
        region_dim: width of a region; 0: width of the joint embedding.
        hidden_size: width of the decoder's states.
        word_dim: width of the decoder's own word embedding.
        dropout: dropout on the decoder's inputs.
        max_len: most ids in a caption, including `<start>` and `<end>`; longer captions are truncated.
        **of_hinge: the options of `HingeLoss`.

    Raises:
        RecipeError: for an invalid value, or a tokenizer without `<start>` and `<end>`.
    """

    needs = "image_sets"
    additive = False  # the caption term is averaged over the captions

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
        """Return the loss and its terms `i2t`, `t2i` and the weighted `caption`.

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
        """Return the loss if all scores were equal; the caption term has been computed already."""
        retrieval = super().forward(scores.new_zeros(scores.shape), images, texts, batch)
        return retrieval.total + output.parts["caption"]

    def take_regions(self, images: Tensor | Embeddings) -> tuple[Tensor, Tensor | None]:
        """Return the regions `(B, R, D')` in the output of an image encoder, and the number of each image, `(B,)`.

        None means R regions for every image.

        Raises:
            RecipeError: when there are none, or their width is not `region_dim`.
        """
        output = Embeddings.of(images)
        if output.items is None:
            raise RecipeError(
                "The loss 'caption' needs regions, but the image encoder returns none.",
                remedy="Use an image encoder that returns regions, such as vsrn or regions, or the loss hinge.",
            )
        if output.items.shape[-1] != self.region_dim:
            width = output.items.shape[-1]
            raise RecipeError(
                f"The loss 'caption' expects regions of width {self.region_dim}, but the image encoder returns regions "
                f"of shape {tuple(output.items.shape)}.",
                remedy=f"Set their width: --set loss.region_dim={width}",
            )
        return output.items, output.lengths


def find_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Return the vocabulary of a tokenizer that encodes captions as `<start>` words `<end>`.

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
    """Return the words that the decoder reads, and the word to predict after each of them.

    It reads `<start>` words `<end>` and predicts words `<end> <pad>`, in at most `max_len - 1` steps: a caption of
    `max_len` ids has no step left for `<pad>`.

    Args:
        tokens: ids `(B, L)`.
        max_len: longer captions are truncated to this many ids, the last of which becomes `<end>`.

    Returns:
        the words, packed, T in total, and ids `(T,)` in the same order.
    """
    ids = functional.pad(tokens.ids[:, :max_len], (0, 1))  # also <pad> after the longest caption
    ids[:, max_len - 1 : -1][tokens.lengths > max_len] = END  # empty if no caption is that long
    steps = tokens.lengths.clamp(max=max_len - 1)
    words, targets = (
        pack_padded_sequence(part, steps, batch_first=True, enforce_sorted=False) for part in (ids[:, :-1], ids[:, 1:])
    )
    return words, targets.data

"""Text encoders with a recurrent network over word embeddings: shared by `gru` and `lstm`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.recurrence import Sequences, average_directions, read_all, read_last
from vsezoo.encoders.words import WordTextEncoder, init_block
from vsezoo.interfaces import Tokenizer, Tokens
from vsezoo.recipe.options import OneOf


class RecurrentTextEncoder(WordTextEncoder):
    """`g(c) = ` the state after the last word, then unit L2 norm (Kiros et al. 2014; Faghri et al. 2018, section 3.1).

    As a set, a caption is the states after its words, averaged over both directions and not scaled.

    Args:
        embed_size: D, the width of the joint embedding and of the state.
        tokenizer: determines the number of words.
        word_dim: the width of a word embedding.
        num_layers: layers of the recurrent network.
        bidirectional: read the caption in both directions, and average the two last states.
        backward_reads: the last state of the backward direction. "caption": the state after the first word, when the
            whole caption has been read. "last_word": the state at the last word, when only that word has been read, as
            in gorjanradevski/vsepp_tensorflow.
        pool: how states become one vector. "last": the last state. "mean", "max", "gpo": the states after each word,
            pooled like regions, see `vsezoo.encoders.pooling`.
        init: initialisation. "uniform": word embeddings from U(-0.1, 0.1), the rest as in torch (VSE++). "orthogonal":
            square matrices orthogonal (one for each gate), others from U(-0.1, 0.1), biases zero (Kiros et al. 2014).
            "torch": everything as in torch, word embeddings from N(0, 1) (linxd5's VSE_Pytorch).
        **of_words: the other options of `WordTextEncoder`.

    Raises:
        RecipeError: for an invalid option.
    """

    network: ClassVar[type[nn.GRU] | type[nn.LSTM]]
    embed: nn.Embedding
    batch_size = 512  # more of them begin alike
    gives: Literal["vectors", "sets", ""] = "sets"

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: int = 300,
        num_layers: int = 1,
        bidirectional: bool = False,
        backward_reads: Annotated[str, OneOf("caption", "last_word")] = "caption",
        pool: Annotated[str, OneOf("last", *POOLINGS)] = "last",
        **of_words: Any,
    ) -> None:
        super().__init__(tokenizer=tokenizer, **of_words)
        self.backward_reads = backward_reads
        self.embed = nn.Embedding(len(tokenizer), word_dim)
        self.init_embedding()
        self.rnn = self.network(word_dim, embed_size, num_layers, batch_first=True, bidirectional=bidirectional)
        if self.init == "orthogonal":
            self._init_recurrence()
        self.pooling = None if pool == "last" else POOLINGS[pool]()

    @torch.no_grad()
    def _init_recurrence(self) -> None:
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in torch.split(parameter, self.rnn.hidden_size):
                    init_block(gate)

    @property
    def shares_beginnings(self) -> bool:
        """Whether captions are read from the start alone, once for the last state, by `vsezoo.encoders.recurrence`."""
        on_cpu = next(self.rnn.parameters()).device.type == "cpu"
        return on_cpu and self.has_fixed_shapes and self.rnn.num_layers == 1

    def embed_words(self, ids: Tensor) -> Tensor:
        """Return the input of the network for words `(B, L)`: their embeddings `(B, L, word_dim)`.

        In evaluation, that of a word is the same wherever it stands: it may be computed once for a batch.
        """
        embedded: Tensor = self.embed(ids)
        return embedded

    def arrange(self, tokens: Tokens) -> Sequences:
        """Return captions as sequences of embeddings: on the CPU, each word is embedded once if it can be."""
        if self.training:  # a subclass may embed a word in several ways, as dropout does
            apart = type(self).embed_words is not RecurrentTextEncoder.embed_words
        else:  # gradients are then those of each word where it stands, for explanations
            apart = torch.is_grad_enabled()
        if apart or tokens.ids.device.type != "cpu":
            return Sequences.of(self.embed_words(tokens.ids), tokens.lengths)
        words, places = torch.unique(tokens.ids, return_inverse=True)
        return Sequences(self.embed_words(words[None])[0], places, tokens.lengths)

    def read_items(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return the states after each word, `(B, L, D)`, both directions averaged, and how many there are."""
        return self._average(read_all(self.rnn, self.arrange(tokens))), tokens.lengths

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also words `(B, L, D)`."""
        if tokens.lengths.device.type != "cpu":
            return self._read_padded(tokens)
        of_caption = self.backward_reads == "caption" or not self.rnn.bidirectional
        if self.pooling is None and not self.keep_items and of_caption:
            return self.finish(read_last(self.rnn, self.arrange(tokens)).mean(dim=0))
        states = read_all(self.rnn, self.arrange(tokens))
        items, lengths = self._average(states), tokens.lengths
        vectors = self._pick_last(states, lengths) if self.pooling is None else self.pooling(items, lengths)
        embeddings = self.finish(vectors)
        return Embeddings(embeddings, items, lengths) if self.keep_items else embeddings

    def _pick_last(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return the last state of each direction, averaged, `(B, D)`; see `backward_reads`."""
        width, last = self.rnn.hidden_size, states[torch.arange(len(states)), lengths - 1]
        if self.rnn.bidirectional and self.backward_reads == "caption":
            last = torch.cat([last[:, :width], states[:, 0, width:]], dim=1)
        return self._average(last)

    def _average(self, states: Tensor) -> Tensor:
        """Return states `(…, directions * D)` with the directions averaged."""
        return average_directions(states) if self.rnn.bidirectional else states

    @property
    def has_fixed_shapes(self) -> bool:
        """Whether padded captions can be read as they are: in one direction, for the last state."""
        return not self.rnn.bidirectional and self.pooling is None and not self.keep_items

    def _read_padded(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)` of captions whose lengths are on the device: no number of them is read."""
        states = self.rnn(self.embed_words(tokens.ids))[0].float()
        last = (tokens.lengths - 1)[:, None, None].expand(-1, 1, states.shape[-1])
        return self.finish(states.gather(1, last)[:, 0])


class GRUTextEncoder(RecurrentTextEncoder):
    """A `torch.nn.GRU`, whose formulas are those of the Theano release of Kiros et al. (2014)."""

    network = nn.GRU
    replayable = property(lambda self: self.has_fixed_shapes)  # of this class alone


class LSTMTextEncoder(RecurrentTextEncoder):
    """A `torch.nn.LSTM` without peepholes; the caption is its hidden state."""

    network = nn.LSTM
    replayable = property(lambda self: self.has_fixed_shapes)

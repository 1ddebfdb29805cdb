"""The caption decoder of VSRN (Li et al. 2019): S2VT with attention over the regions of an image.

An encoder reads the regions one by one, a decoder writes the words one by one. Before each word the decoder attends to
the encoder's output for every region. The decoder is trained with teacher forcing.

The original attends with `v · tanh(U [e_r; h_t])` for each region r at each step t. `U [e_r; h_t] = U_e e_r + U_h h_t`,
of which the first product is the same at all steps and is computed once here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence


class Memory(NamedTuple):
    """What the decoder attends to: the encoder's output for the regions of each image, and its product with `U_e`."""

    regions: Tensor  # (B, R, H)
    keys: Tensor  # (B, R, H)
    padding: Tensor | None = None  # (B, R) bool, True for padding; None: no padding

    def select(self, images: Tensor | slice) -> Memory:
        """Return the memory of the given images."""
        padding = None if self.padding is None else self.padding[images]
        return Memory(self.regions[images], self.keys[images], padding)


class CaptionDecoder(nn.Module):
    """Writes captions from regions.

    Args:
        words: V, the size of the vocabulary.
        region_dim: D', width of a region.
        hidden_size: H, width of the states of encoder and decoder.
        word_dim: width of a word embedding.
        dropout: dropout on the inputs of encoder and decoder, in training.
    """

    def __init__(
        self, words: int, *, region_dim: int, hidden_size: int = 512, word_dim: int = 300, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.project = nn.Linear(region_dim, hidden_size)
        self.encoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.embed = nn.Embedding(words, word_dim)
        self.attend = nn.Linear(2 * hidden_size, hidden_size)  # U
        self.rate = nn.Linear(hidden_size, 1, bias=False)  # v
        self.cell = nn.GRUCell(word_dim + hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, words)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_normal_(self.project.weight)
        nn.init.xavier_normal_(self.out.weight)

    def encode(self, regions: Tensor, lengths: Tensor | None = None) -> tuple[Memory, Tensor]:
        """Read regions `(B, R, D')` in their order; return the memory and the first state `(B, H)`.

        The first `lengths`, `(B,)`, regions of each image are read; None: all.
        """
        encoded, (last,) = self.encoder(self.dropout(self.project(regions)))
        keys = functional.linear(encoded, self.attend.weight[:, : last.shape[-1]], self.attend.bias)
        if lengths is None:
            return Memory(encoded, keys), last
        places = torch.arange(regions.shape[1], device=regions.device)
        memory = Memory(encoded, keys, places >= lengths[:, None])
        return memory, encoded[torch.arange(len(lengths), device=lengths.device), lengths - 1]

    def step(self, words: Tensor, states: Tensor, memory: Memory) -> Tensor:
        """Return the states `(B, H)` after one more word of each caption, embedded as `(B, word_dim)`."""
        of_states = self.attend.weight[:, states.shape[1] :]
        ratings = self.rate(torch.tanh(memory.keys + functional.linear(states, of_states)[:, None]))
        if memory.padding is not None:
            ratings = ratings.masked_fill(memory.padding[:, :, None], -torch.inf)
        context = (ratings.softmax(dim=1).transpose(1, 2) @ memory.regions).squeeze(1)
        following: Tensor = self.cell(self.dropout(torch.cat([words, context], dim=1)), states)
        return following

    def predict(self, states: Tensor) -> Tensor:
        """Return the logits `(..., V)` of the next words after states `(..., H)`."""
        logits: Tensor = self.out(states)
        return logits

    def forward(self, regions: Tensor, words: PackedSequence, lengths: Tensor | None = None) -> Tensor:
        """Return the logits `(T, V)` after each of the T words of a batch of captions, in the order of `words.data`.

        Captions that have ended are skipped, and the logits of all steps are one matrix product.

        Args:
            regions: `(B, R, D')`.
            words: the captions as ids.
            lengths: number of regions of each image, `(B,)`; None: all.
        """
        memory, states = self.encode(regions, lengths)
        if words.sorted_indices is not None:
            memory, states = memory.select(words.sorted_indices), states[words.sorted_indices]
        sizes = words.batch_sizes.tolist()
        history = []
        for embedded, size in zip(self.embed(words.data).split(sizes), sizes, strict=True):
            if size < len(states):
                memory, states = memory.select(slice(size)), states[:size]
            states = self.step(embedded, states, memory)
            history.append(states)
        return self.predict(torch.cat(history))

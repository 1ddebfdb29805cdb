"""The modules of VSE++ and VSRN and their losses as the original codes compute them, for `original_step.py`.

Written anew from descriptions (fartashf/vsepp, KunpengLi1994/VSRN), operation by operation, since the time of a step is
compared: captions packed, padded again and gathered at their ends; convolutions of width 1 over the regions; norms as
squares, a sum, a root and a quotient; a caption decoder that takes all 59 steps, for every caption, with its attention
computed anew for each. The parameters of each are in the order of ours, of which they are copies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

MAX_LEN = 60
"""Most ids of a caption that VSRN's decoder writes."""


def scale(vectors: Tensor) -> Tensor:
    """Return vectors divided by their L2 norm along dimension 1."""
    norms = vectors.pow(2).sum(dim=1, keepdim=True).sqrt()
    return vectors / norms


class TextEncoder(nn.Module):
    """Captions to the last state of a GRU."""

    def __init__(self, words: int, word_dim: int, embed_size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, word_dim)
        self.rnn = nn.GRU(word_dim, embed_size, batch_first=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return vectors `(B, D)` of captions `(B, L)`, the longest first."""
        packed = pack_padded_sequence(self.embed(ids), lengths, batch_first=True)
        padded, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        ends = (lengths - 1).view(-1, 1, 1).expand(-1, 1, padded.shape[2])
        return scale(padded.gather(1, ends).squeeze(1))


class Relations(nn.Module):
    """A graph convolution of VSRN over regions `(B, D, N)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv1d(width, width, 1) for _ in range(3))
        self.W = nn.Sequential(nn.Conv1d(width, width, 1), nn.BatchNorm1d(width))
        nn.init.zeros_(self.W[1].weight)

    def forward(self, regions: Tensor) -> Tensor:
        """Return the related regions."""
        values = self.g(regions).permute(0, 2, 1)
        relations = torch.matmul(self.theta(regions).permute(0, 2, 1), self.phi(regions))
        gathered = torch.matmul(relations / relations.shape[-1], values).permute(0, 2, 1).contiguous()
        change: Tensor = self.W(gathered)
        return change + regions


class Captioner(nn.Module):
    """The decoder of VSRN: all steps, for every caption."""

    def __init__(self, words: int, embed_size: int, hidden_size: int, word_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(embed_size, hidden_size)
        self.encoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.embed = nn.Embedding(words, word_dim)
        self.first = nn.Linear(2 * hidden_size, hidden_size)
        self.second = nn.Linear(hidden_size, 1, bias=False)
        self.decoder = nn.GRU(word_dim + hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, words)

    def forward(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Return log-probabilities `(B, 59, V)` of regions `(B, N, D)` and labels `(B, 61)`."""
        size, count, _ = regions.shape
        encoded, state = self.encoder(self.project(regions.reshape(size * count, -1)).view(size, count, -1))
        history = []
        for step in range(MAX_LEN - 1):
            repeated = state.squeeze(0).unsqueeze(1).repeat(1, count, 1)
            joined = torch.cat([encoded, repeated], dim=2).view(size * count, -1)
            weights = self.second(torch.tanh(self.first(joined))).view(size, count).softmax(dim=1)
            context = torch.bmm(weights.unsqueeze(1), encoded).squeeze(1)
            entered = torch.cat([self.embed(labels[:, step]), context], dim=1).unsqueeze(1)
            output, state = self.decoder(entered, state)
            history.append(self.out(output.squeeze(1)).log_softmax(dim=1).unsqueeze(1))
        return torch.cat(history, dim=1)


class VSEPP(nn.Module):
    """VSE++ on one feature for each image."""

    def __init__(self, words: int, img_dim: int, word_dim: int, embed_size: int, **_: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(img_dim, embed_size)
        self.text = TextEncoder(words, word_dim, embed_size)

    def forward(self, images: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return match(scale(self.fc(images)), self.text(ids, lengths))


class VSRN(nn.Module):
    """VSRN on 36 regions for each image, with the norms of all data but `f30k_precomp`."""

    def __init__(
        self, words: int, img_dim: int, word_dim: int, embed_size: int, *, hidden_size: int, decoded_dim: int
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(img_dim, embed_size)
        self.blocks = nn.Sequential(*(Relations(embed_size) for _ in range(4)))
        self.img_rnn = nn.GRU(embed_size, embed_size, batch_first=True)
        self.text = TextEncoder(words, word_dim, embed_size)
        self.captioner = Captioner(words, embed_size, hidden_size, decoded_dim)

    def forward(self, images: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the loss of a batch."""
        related = self.blocks(scale(self.fc(images)).permute(0, 2, 1))
        regions = scale(related.permute(0, 2, 1))
        _, states = self.img_rnn(regions)
        loss = match(scale(states[0]), self.text(ids, lengths))
        labels, mask = label(ids, lengths)
        chosen = self.captioner(regions, labels).gather(2, labels[:, 1:MAX_LEN, None]).squeeze(2)
        return loss - (chosen * mask[:, 1:MAX_LEN]).sum() / len(images)


def label(ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ids `(B, 61)` of captions, padded, and 1 for each of them and one id more."""
    labels, mask = ids.new_zeros(len(ids), MAX_LEN + 1), torch.zeros(len(ids), MAX_LEN + 1)
    for row, length in enumerate(lengths.tolist()):
        count = min(length, MAX_LEN)
        labels[row, :count] = ids[row, :count]
        labels[row, count - 1] = ids[row, length - 1]  # <end>
        mask[row, : count + 1] = 1
    return labels, mask


def match(images: Tensor, texts: Tensor, margin: float = 0.2) -> Tensor:
    """Return the hinge loss of the hardest negatives."""
    scores = images.mm(texts.t())
    matching = scores.diag().view(-1, 1)
    of_texts = (margin + scores - matching.expand_as(scores)).clamp(min=0)
    of_images = (margin + scores - matching.t().expand_as(scores)).clamp(min=0)
    own = torch.eye(len(scores)) > 0.5
    of_texts, of_images = of_texts.masked_fill(own, 0), of_images.masked_fill(own, 0)
    return of_texts.max(1)[0].sum() + of_images.max(0)[0].sum()
